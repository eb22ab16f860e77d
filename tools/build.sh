#!/bin/sh
# Configure once, then build: tools/build.sh FOLDER [MESON OPTION...]
set -eu
build=$1
shift
[ -f "$build/build.ninja" ] || meson setup "$build" "$@" >"$build.log" 2>&1 || {
    cat "$build.log" >&2
    exit 1
}
rm -f "$build.log"
ninja -C "$build" --quiet
