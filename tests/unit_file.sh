#!/bin/sh
# systemd reads the unit and the socket, and finds the unit hardened: tests/unit_file.sh STINT
set -eu
command -v systemd-analyze >/dev/null 2>&1 || {
    echo "SKIP: systemd-analyze is not here"
    exit 77
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# As it will be installed, but for the place of the program and of its manual.
sed "s|/usr/local/bin/stint|$(realpath "$1")|; /^Documentation=/d" deploy/stint.service >"$work/stint.service"
cp deploy/stint.socket "$work/"
said=$(systemd-analyze verify "$work/stint.service" "$work/stint.socket" 2>&1) || true
echo "$said"
[ -z "$said" ]
systemd-analyze security --offline=yes --threshold=20 "$work/stint.service" | tail -1
