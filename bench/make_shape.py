#!/usr/bin/env python3
"""Write a GGUF of the shape of a 0.5B Qwen2 with random weights, to measure speed on.

  bench/make_shape.py FORMAT FILE [--layers N]

FORMAT is q4_0, q4_k_m or q8_0.  The mix of tensor formats is what llama-quantize makes of
this shape: rows of 896 columns are no whole K-quant block, so q4_k_m has Q5_0 and Q8_0
there and Q4_K and Q6_K in ffn_down only.  The vocabulary is the 256 bytes and fillers: any
text tokenises, and nothing sensible is said."""
import argparse
import os
import random
import struct
import sys

LAYERS, EMBD, FF, HEADS, KV_HEADS, VOCAB = 24, 896, 4864, 14, 2, 151936
KV_DIM = EMBD // HEADS * KV_HEADS
ALIGN = 32
TILE = 1 << 20  # bytes of random blocks that a tensor repeats: speed does not see them

U32, F32, STRING, ARRAY, I32 = 4, 6, 8, 9, 5
TYPES = {"F32": 0, "Q4_0": 2, "Q5_0": 6, "Q8_0": 8, "Q4_K": 12, "Q6_K": 14}
BLOCKS = {"F32": (1, 4), "Q4_0": (32, 18), "Q5_0": (32, 22), "Q8_0": (32, 34),
          "Q4_K": (256, 144), "Q6_K": (256, 210)}
FILE_TYPES = {"q4_0": 2, "q8_0": 7, "q4_k_m": 15}


def half(x):
    return struct.pack("<e", x)


def block(kind, rng):
    """One random block; its scales give weights a deviation of about 0.02."""
    if kind == "Q4_0":
        return half(.005) + rng.randbytes(16)
    if kind == "Q5_0":
        return half(.0025) + rng.randbytes(20)
    if kind == "Q8_0":
        return half(.0003) + rng.randbytes(32)
    if kind == "Q4_K":
        return half(1e-4) + half(7.5e-4) + rng.randbytes(140)
    assert kind == "Q6_K"
    scales = bytes(rng.randrange(-16, 17) & 255 for _ in range(16))
    return rng.randbytes(192) + scales + half(1.2e-4)


def tile(kind, rng):
    return b"".join(block(kind, rng) for _ in range(TILE // BLOCKS[kind][1]))


def string(s):
    data = s.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, v):
    if kind == STRING:
        return string(v)
    return struct.pack({U32: "<I", F32: "<f", I32: "<i"}[kind], v)


def scalar(key, kind, v):
    return string(key) + struct.pack("<I", kind) + value(kind, v)


def array(key, kind, values):
    return (string(key) + struct.pack("<IIQ", ARRAY, kind, len(values)) +
            b"".join(value(kind, v) for v in values))


def byte_letters():
    """The printable letters that stand for bytes in byte-level BPE vocabularies."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [b for b in range(256) if b not in kept]
    return [chr(b) for b in kept] + [chr(256 + i) for i in range(len(other))]


def metadata(layers, form):
    letters = byte_letters()
    tokens = letters + ["\u0120t", "<|endoftext|>"]
    types = [1] * (len(tokens) - 1) + [3]
    fillers = VOCAB - len(tokens)
    tokens += [f"filler{i}" for i in range(fillers)]
    types += [1] * fillers
    eos = len(letters) + 1
    return [
        scalar("general.architecture", STRING, "qwen2"),
        scalar("general.name", STRING, f"random weights, 0.5B shape, {form}"),
        scalar("general.file_type", U32, FILE_TYPES[form]),
        scalar("general.quantization_version", U32, 2),
        scalar("qwen2.block_count", U32, layers),
        scalar("qwen2.context_length", U32, 32768),
        scalar("qwen2.embedding_length", U32, EMBD),
        scalar("qwen2.feed_forward_length", U32, FF),
        scalar("qwen2.attention.head_count", U32, HEADS),
        scalar("qwen2.attention.head_count_kv", U32, KV_HEADS),
        scalar("qwen2.rope.freq_base", F32, 1e6),
        scalar("qwen2.attention.layer_norm_rms_epsilon", F32, 1e-6),
        scalar("tokenizer.ggml.model", STRING, "gpt2"),
        scalar("tokenizer.ggml.pre", STRING, "qwen2"),
        array("tokenizer.ggml.tokens", STRING, tokens),
        array("tokenizer.ggml.token_type", I32, types),
        array("tokenizer.ggml.merges", STRING, ["\u0120 t"]),
        scalar("tokenizer.ggml.bos_token_id", U32, eos),
        scalar("tokenizer.ggml.eos_token_id", U32, eos),
    ]


def more_bits(layer, layers):
    """The layers that the _M mixes give more bits: both ends and every third between."""
    return (layer < layers // 8 or layer >= 7 * layers // 8 or
            (layer - layers // 8) % 3 == 2)


def formats(form, layer, layers):
    """Format of (attn_v, ffn_down, the other matrices of a layer)."""
    if form != "q4_k_m":
        return (form.upper(),) * 3
    more = more_bits(layer, layers)
    return "Q8_0" if more else "Q5_0", "Q6_K" if more else "Q4_K", "Q5_0"


def tensors(form, layers):
    """(name, shape with the row length first, format)"""
    out = [("token_embd.weight", (EMBD, VOCAB), "Q8_0"),
           ("output_norm.weight", (EMBD,), "F32")]
    for i in range(layers):
        v, down, rest = formats(form, i, layers)
        parts = [
            ("attn_norm.weight", (EMBD,), "F32"), ("ffn_norm.weight", (EMBD,), "F32"),
            ("attn_q.weight", (EMBD, EMBD), rest), ("attn_q.bias", (EMBD,), "F32"),
            ("attn_k.weight", (EMBD, KV_DIM), rest), ("attn_k.bias", (KV_DIM,), "F32"),
            ("attn_v.weight", (EMBD, KV_DIM), v), ("attn_v.bias", (KV_DIM,), "F32"),
            ("attn_output.weight", (EMBD, EMBD), rest),
            ("ffn_gate.weight", (EMBD, FF), rest), ("ffn_up.weight", (EMBD, FF), rest),
            ("ffn_down.weight", (FF, EMBD), down),
        ]
        out += [(f"blk.{i}.{name}", shape, kind) for name, shape, kind in parts]
    return out


def size(shape, kind):
    per, bytes_ = BLOCKS[kind]
    rows = shape[1] if len(shape) > 1 else 1
    return shape[0] // per * bytes_ * rows


def padded(n):
    return (n + ALIGN - 1) // ALIGN * ALIGN


def header(meta, all_tensors):
    out = [b"GGUF", struct.pack("<IQQ", 3, len(all_tensors), len(meta)), *meta]
    offset = 0
    for name, shape, kind in all_tensors:
        out.append(string(name) + struct.pack("<I", len(shape)) +
                   struct.pack(f"<{len(shape)}Q", *shape) +
                   struct.pack("<IQ", TYPES[kind], offset))
        offset += padded(size(shape, kind))
    data = b"".join(out)
    return data + b"\0" * (padded(len(data)) - len(data))


def write_tensor(f, name, shape, kind, tiles):
    left = size(shape, kind)
    pad = padded(left) - left
    if kind == "F32":
        f.write(struct.pack("<f", 0 if name.endswith("bias") else 1) * (left // 4))
        left = 0
    while left:
        part = tiles[kind][:left]
        f.write(part)
        left -= len(part)
    f.write(b"\0" * pad)


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("format", choices=FILE_TYPES)
    p.add_argument("file")
    p.add_argument("--layers", type=int, default=LAYERS)
    args = p.parse_args()
    rng = random.Random(5)
    all_tensors = tensors(args.format, args.layers)
    tiles = {kind: tile(kind, rng) for kind in BLOCKS if kind != "F32"}
    part = args.file + ".part"
    with open(part, "wb") as f:
        f.write(header(metadata(args.layers, args.format), all_tensors))
        for name, shape, kind in all_tensors:
            write_tensor(f, name, shape, kind, tiles)
    os.rename(part, args.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
