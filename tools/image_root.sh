#!/bin/sh
# Lay out the root folder of a container for one program: the program, the libraries that it
# loads, the loader, a user, and empty folders to mount things on.
#   tools/image_root.sh FOLDER PROGRAM
set -eu
root=$1
program=$2
[ ! -e "$root" ] || {
    echo "image_root.sh: $root is there already" >&2
    exit 1
}
name=$(basename "$program")
mkdir -p "$root/usr/bin" "$root/etc" "$root/models" "$root/tasks" "$root/data" "$root/cache" \
    "$root/tmp"
cp "$program" "$root/usr/bin/$name"
# "libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x...)" and "/lib64/ld-linux-x86-64.so.2 (0x...)"
ldd "$program" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) .*/\1/p' |
    sort -u | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done
printf 'root:x:0:0:root:/:/\nstint:x:10001:10001:stint:/data:/\n' >"$root/etc/passwd"
printf 'root:x:0:\nstint:x:10001:\n' >"$root/etc/group"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
chmod -R u=rwX,go=rX "$root"
chmod 700 "$root/data" "$root/cache"
chmod 1777 "$root/tmp"
[ "$(id -u)" != 0 ] || chown 10001:10001 "$root/data" "$root/cache"
