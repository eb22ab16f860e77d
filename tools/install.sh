#!/bin/sh
# Install the Debian packages of the named groups (tools/packages.txt) that are missing.
#   tools/install.sh build models        asks for nothing when all are there
# As root or with sudo it installs; otherwise it prints the exact line to run.
set -eu
here=$(dirname "$0")
wanted=""
for group in "$@"; do
    wanted="$wanted $(sed -n "s/^$group //p" "$here/packages.txt" | tr '\n' ' ')"
done
command -v dpkg-query >/dev/null 2>&1 || {
    echo "install.sh: not a Debian system; install the equivalents of:$wanted" >&2
    exit 0
}
missing=""
for package in $wanted; do
    case " $missing " in *" $package "*) continue ;; esac
    state=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [ "$state" = "install ok installed" ] || missing="$missing $package"
done
# A pip that is already on the path serves as well as Debian's.
if python3 -m pip --version >/dev/null 2>&1; then
    missing=$(printf '%s' "$missing" | sed 's/ python3-pip\b//')
fi
# And so does an npm with its Node.
if npm --version >/dev/null 2>&1; then
    missing=$(printf '%s' "$missing" | sed 's/ nodejs\b//; s/ npm\b//')
fi
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo"
elif command -v sudo >/dev/null 2>&1 && [ -t 0 ]; then
    as_root="sudo"
else
    echo "These packages are missing. Run, as root:" >&2
    echo "  apt-get update && apt-get install -y --no-install-recommends$missing" >&2
    exit 1
fi
echo "installing:$missing"
$as_root apt-get update -q >/dev/null
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -q -y --no-install-recommends $missing
