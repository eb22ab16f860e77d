#!/bin/sh
# Run the tests of a build folder, then again with the wide registers masked off, so that
# every kernel level this processor has is exercised: tools/test.sh FOLDER
set -eu
build=$1
STINT_MODELS=${STINT_MODELS:-$PWD/.cache/models}
export STINT_MODELS
[ -d ../shared/goldens ] || echo "SKIP: ../shared is not here; parity tests against it are skipped"
meson test -C "$build" --no-rebuild --print-errorlogs
for isa in avx2 c; do
    if STINT_CPU=$isa "$build/stint" version >/dev/null 2>&1; then
        echo "again with STINT_CPU=$isa"
        STINT_CPU=$isa meson test -C "$build" --no-rebuild --print-errorlogs --suite isa \
            --logbase "isa-$isa"
    fi
done
