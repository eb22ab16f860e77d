#!/bin/sh
# Compiles the kernels and check_kernels for 64-bit ARM and runs them under qemu-user.
#
#     tools/check_neon.sh PROGRAM SOURCE...      (meson test check_neon does it)
#
# Only base and kernels are needed, and no library.  Exit 77 (skipped) where the cross
# compiler or the emulator is missing: apt-get install gcc-aarch64-linux-gnu
# libc6-dev-arm64-cross qemu-user
set -eu
cc=${AARCH64_CC:-aarch64-linux-gnu-gcc}
qemu=${AARCH64_QEMU:-qemu-aarch64}
root=$(dirname "$0")/..
for tool in "$cc" "$qemu"; do
    if ! command -v "$tool" >/dev/null 2>&1; then
        echo "SKIP: $tool is not installed: the NEON kernels are NOT checked"
        exit 77
    fi
done
program=$1
shift
"$cc" -std=c17 -O2 -Wall -Wextra -Werror -Wno-format-truncation -ffp-contract=off \
    -D_POSIX_C_SOURCE=200809L -I"$root" "$@" -static -o "$program" -lm
exec "$qemu" "$program"
