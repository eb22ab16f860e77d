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

orders=examples/orders/task.yaml

rm -f examples/support/support.stint examples/orders/orders.stint # of an earlier run
step "1. Zero-shot: the model reads the contract and answers, without any example"
"$stint" decide "$task" --input examples/support/golden.jsonl --zero-shot --report
step "2. Fit: experts on the labelled examples"
"$stint" fit "$task"
step "3. The same messages again, side by side, and three of them in full"
"$stint" decide "$task" --input examples/support/golden.jsonl --compare --bars 3
step "4. Extraction: the fields of a text, held to a JSON Schema, without any contract"
"$stint" extract --schema examples/orders/order.json --model smollm2-135m-instruct \
    --examples examples/orders/train.jsonl "three oak stools for 29.50 EUR each, order 4471-B"
step "5. With a contract: checks after the model; examples and probabilities are fitted"
"$stint" check "$orders"
"$stint" fit "$orders"
step "6. Forty messages that nothing was fitted on: valid answers, F1 of fields, steps saved"
"$stint" decide "$orders" --input examples/orders/golden.jsonl --report
step "7. The same task over HTTP: its own question, then one that nobody had prepared"
log=$(mktemp)
"$stint" serve --task "$task" --model smollm2-135m-instruct --listen 127.0.0.1:0 2>"$log" &
server=$!
trap 'kill $server 2>/dev/null; rm -f "$log"' EXIT
python3 tools/demo_ask.py "$log"
kill $server
wait $server # 0: nothing was cut
