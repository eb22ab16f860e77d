#!/bin/sh
# Make the certificates of tests/test_http_tls.c again: an authority, a server, a client, and a
# client of another authority.  Not secret: nothing else trusts them.
set -eu
cd "$(dirname "$0")"
days=36500
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days $days \
        -keyout "$1.key" -out "$1.pem" -subj "/CN=stint tests $1" 2>/dev/null
}
signed() { # NAME AUTHORITY EXTENSION
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" \
        -out "$1.csr" -subj "/CN=$1" 2>/dev/null
    printf '%s\n' "$3" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days $days \
        -extfile "$1.ext" -out "$1.pem" 2>/dev/null
    rm -f "$1.csr" "$1.ext" "$2.srl"
}
authority authority
authority stranger
signed server authority "subjectAltName=DNS:localhost,IP:127.0.0.1"
signed client authority "extendedKeyUsage=clientAuth"
signed intruder stranger "extendedKeyUsage=clientAuth"
rm -f authority.key stranger.key stranger.pem
