#!/bin/sh
# The root folder that deploy/Containerfile ships runs the program, read-only and with
# nothing around it: tests/image_runs.sh STINT
set -eu
program=$1
model=../shared/goldens/logits/llama-gqa/model-f32.gguf
unshare -rm true 2>/dev/null || {
    echo "SKIP: this system lets nobody make a root of their own (unshare)"
    exit 77
}
[ -f "$model" ] || {
    echo "SKIP: $model is not here"
    exit 77
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tools/image_root.sh "$work/root" "$program"
name=$(basename "$program")
[ "$(find "$work/root" -type f -perm -100 -name "*sh" | wc -l)" = 0 ]
cp "$model" "$work/root/models/tiny.gguf"
in_image() { # in a shell of its own: what it runs takes that shell's place
    exec unshare -rm sh -c 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" &&
        exec env -i PATH=/usr/sbin:/usr/bin STINT_MODELS=/models STINT_CACHE=/cache chroot "$@"' "$work/root" \
        "$work/root" "$@"
}
(in_image "/usr/bin/$name" version)
(in_image "/usr/bin/$name" serve --model tiny --listen 127.0.0.1:0) 2>"$work/log" &
server=$!
while ! grep -q '"event":"ready"' "$work/log"; do
    kill -0 "$server" 2>/dev/null || {
        cat "$work/log"
        exit 1
    }
    sleep 0.05
done
kill "$server"
wait "$server" || {
    cat "$work/log"
    exit 1
}
cat "$work/log"
