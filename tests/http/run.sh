#!/bin/sh
# Talk to a real server with the clients that people have: tests/http/run.sh STINT [PYTEST...]
#
# Makes environments of its own in .cache/http from the package registries: Python's in
# venv and litellm, Node's (with a Node of its own) in node.  A registry that cannot be reached is said
# loudly, and what needs it is skipped.
set -eu
stint=$(realpath "$1")
shift
here=tests/http
cache=$PWD/.cache/http
mkdir -p "$cache"

same() { # FILE STAMP: was this very file installed?
    cmp -s "$1" "$2"
}

python_clients() { # FOLDER REQUIREMENTS
    same "$2" "$1/stamp" && return
    echo "http: installing Python clients into $1"
    rm -rf "$1"
    python3 -m venv "$1" &&
        "$1/bin/pip" install --quiet --disable-pip-version-check -r "$2" &&
        cp "$2" "$1/stamp"
}

python_clients "$cache/venv" $here/requirements.txt || {
    echo "SKIP: THE HTTP CLIENT TESTS: Python's registry could not be reached"
    exit 0
}
python_clients "$cache/litellm" $here/requirements-litellm.txt ||
    echo "SKIP: LITELLM: Python's registry could not be reached"

if ! same $here/package.json "$cache/node/stamp"; then
    echo "http: installing Node clients into $cache/node"
    mkdir -p "$cache/node"
    cp $here/package.json "$cache/node/package.json"
    if (cd "$cache/node" && command -v npm >/dev/null &&
        npm install --no-audit --no-fund --loglevel=error); then
        cp $here/package.json "$cache/node/stamp"
    else
        echo "SKIP: NODE'S HTTP CLIENTS: npm is not here, or its registry cannot be reached"
    fi
fi

STINT_EXE=$stint HTTP_TESTS_CACHE=$cache
STINT_MODELS=${STINT_MODELS:-$PWD/.cache/models}
export STINT_EXE HTTP_TESTS_CACHE STINT_MODELS
export PYTHONDONTWRITEBYTECODE=1
exec "$cache/venv/bin/python" -m pytest -q -p no:cacheprovider -c /dev/null \
    --rootdir $here -rs "${@:-$here}"
