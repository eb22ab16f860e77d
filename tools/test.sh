#!/bin/sh
# Run the tests of a build folder, then again with the wide registers masked off, so that
# every kernel level this processor has is exercised: tools/test.sh FOLDER
set -eu
build=$1
STINT_MODELS=${STINT_MODELS:-$PWD/.cache/models}
export STINT_MODELS
[ -d ../shared/goldens ] || echo "SKIP: ../shared is not here; parity tests against it are skipped"
meson test -C "$build" --no-rebuild --print-errorlogs
again() { # LEVEL SUITE...: the same tests with what is above the level masked off
    level=$1
    shift
    STINT_CPU=$level "$build/stint" version >/dev/null 2>&1 || return 0
    for suite in "$@"; do
        echo "again with STINT_CPU=$level: $suite"
        STINT_CPU=$level meson test -C "$build" --no-rebuild --print-errorlogs \
            --suite "$suite" --logbase "$level-$suite"
    done
}
again avx2 isa real
again c isa
echo "clients that people have, against $build/stint serve"
tests/http/run.sh "$build/stint"
