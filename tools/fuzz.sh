#!/bin/sh
# Fuzz every parser: tools/fuzz.sh [SECONDS [NAME...]]
# Builds with clang, AddressSanitizer and UBSan in build-fuzz; each target runs SECONDS
# (default 300).  New inputs stay in build-fuzz/corpus; a crash is written to build-fuzz
# and ends the run with its exit status.  Copy a crash into tests/fuzz/corpus/NAME once it
# is fixed: `make test` replays that folder.
set -eu
seconds=${1:-300}
[ $# -eq 0 ] || shift
build=build-fuzz
CC=${CLANG:-$(command -v clang || command -v clang-14 || true)}
[ -n "$CC" ] || {
    echo "fuzz.sh: clang is not installed (apt-get install clang)" >&2
    exit 1
}
export CC
[ -f "$build/build.ninja" ] || meson setup "$build" -Dfuzz=true -Dtests=disabled \
    -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
ninja -C "$build" --quiet fuzzers
[ $# -gt 0 ] || set -- $(cd tests/fuzz && ls fuzz_*.c | sed 's/^fuzz_//; s/\.c$//')
for name; do
    mkdir -p "$build/corpus/$name"
    log="$build/$name.log"
    "$build/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$build/crash-$name-" \
        "$build/corpus/$name" "tests/fuzz/corpus/$name" >"$log" 2>&1 || {
        tail -n 60 "$log" >&2
        echo "fuzz: $name: FAILED; the input is in $build/crash-$name-*" >&2
        exit 1
    }
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "fuzz: $name: $runs inputs in $seconds s, clean"
done
