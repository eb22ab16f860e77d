#!/bin/sh
# The main job on our own example: ask a small model, fit experts on examples, ask again.
#   tools/demo.sh STINT
set -eu
stint=$1
task=examples/support/task.yaml
STINT_MODELS=${STINT_MODELS:-$PWD/.cache/models}
export STINT_MODELS

step() {
    printf '\n\033[1m%s\033[0m\n' "$*"
}

rm -f examples/support/support.stint # what an earlier run fitted
step "1. Zero-shot: the model reads the contract and answers, without any example"
"$stint" decide "$task" --input examples/support/golden.jsonl --zero-shot --report
step "2. Fit: experts on the labelled examples"
"$stint" fit "$task"
step "3. The same messages again, side by side, and three of them in full"
"$stint" decide "$task" --input examples/support/golden.jsonl --compare --bars 3
