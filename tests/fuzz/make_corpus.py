#!/usr/bin/env python3
"""Write the small seed files of the binary formats: tests/fuzz/make_corpus.py

The files are committed; run this again only to add one.  Text formats keep their seeds as
plain files in corpus/NAME.
"""
import json
import os
import struct

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")


def text(s):
    data = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(data)) + data


def key(name, kind, value):
    return text(name) + struct.pack("<I", kind) + value


def array(name, kind, n, values):
    return key(name, 9, struct.pack("<IQ", kind, n) + values)


def tensor(name, dims, kind, offset):
    shape = struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
    return text(name) + shape + struct.pack("<IQ", kind, offset)


def gguf(keys, tensors=(), data=b"", version=3, align=32, counts=None):
    n_tensors, n_keys = counts or (len(tensors), len(keys))
    head = b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_keys)
    head += b"".join(keys) + b"".join(tensors)
    return head + b"\0" * (-len(head) % align) + data


SCALARS = [
    key("u8", 0, b"\x07"), key("i8", 1, b"\xff"), key("u16", 2, b"\1\2"),
    key("i16", 3, b"\xff\xff"), key("u32", 4, struct.pack("<I", 7)),
    key("i32", 5, struct.pack("<i", -7)), key("f32", 6, struct.pack("<f", 1e-5)),
    key("bool", 7, b"\1"), key("string", 8, text("text")),
    key("u64", 10, struct.pack("<Q", 1 << 40)), key("i64", 11, struct.pack("<q", -1)),
    key("f64", 12, struct.pack("<d", 0.5)),
]
ARRAYS = [
    array("strings", 8, 3, text("a") + text("") + text(b"\xff\0")),
    array("ints", 5, 2, struct.pack("<ii", -1, 1)),
    array("floats", 6, 2, struct.pack("<ff", 0, 1)),
    array("bools", 7, 2, b"\0\1"), array("none", 4, 0, b""),
]
TWO = [tensor("a", [3, 2], 0, 0), tensor("b", [32, 2], 8, 32)]

GGUF = {
    "scalars": gguf(SCALARS),
    "arrays": gguf(ARRAYS),
    "tensors": gguf([], TWO, b"\1" * 128),
    "all-v2": gguf(SCALARS + ARRAYS, TWO, b"\1" * 128, version=2),
    "align-64": gguf([key("general.alignment", 4, struct.pack("<I", 64))],
                     [tensor("t", [256], 12, 64)], b"\0" * 208, align=64),
    "v1": gguf([], version=1),
    "big-endian": gguf([], version=0x03000000),
    "many-keys": gguf([], counts=(0, 1 << 61)),
    "many-tensors": gguf([], counts=((1 << 64) - 1, 0)),
    "long-string": gguf([text("k") + struct.pack("<IQ", 8, (1 << 64) - 1)], counts=(0, 1)),
    "nested": gguf([array("n", 9, 1, struct.pack("<IQ", 4, 0))]),
    "overlap": gguf([], [tensor("a", [16], 0, 0), tensor("b", [16], 0, 32)], b"\0" * 128),
    "wrapped-offset": gguf([], [tensor("a", [16], 0, (1 << 64) - 64)], b"\0" * 128),
    "wrapped-shape": gguf([], [tensor("a", [1 << 33, 1 << 33], 0, 0)], b"\0" * 128),
}


IS_LORA = [key("general.type", 8, text("adapter")), key("adapter.type", 8, text("lora")),
           key("general.architecture", 8, text("llama")),
           key("adapter.lora.alpha", 6, struct.pack("<f", 8))]


def factors(name, rank_a, rank_b, kind=0):
    """A [4 columns, rank] and B [rank, 3 rows] in a block of 96 bytes each."""
    return [tensor(name + ".weight.lora_a", [4, rank_a], kind, 0),
            tensor(name + ".weight.lora_b", [rank_b, 3], kind, 96)]


LORA = {
    "good": gguf(IS_LORA, factors("blk.0.attn_q", 6, 6), b"\1" * 192),
    "half": gguf(IS_LORA, factors("blk.1.ffn_up", 6, 6, 1), b"\1" * 192),
    "no-alpha": gguf(IS_LORA[:3], factors("blk.0.attn_q", 6, 6), b"\1" * 192),
    "alpha-nan": gguf(IS_LORA[:3] + [key("adapter.lora.alpha", 6, b"\xff" * 4)],
                      factors("blk.0.attn_q", 6, 6), b"\1" * 192),
    "ranks": gguf(IS_LORA, factors("blk.0.attn_q", 6, 5), b"\1" * 192),
    "one-factor": gguf(IS_LORA, factors("blk.0.attn_q", 6, 6)[:1], b"\1" * 96),
    "integers": gguf(IS_LORA, factors("blk.0.attn_q", 6, 6, 24), b"\1" * 192),
    "no-tensor": gguf(IS_LORA),
    "no-adapter": gguf(IS_LORA[1:], factors("blk.0.attn_q", 6, 6), b"\1" * 192),
    "unknown-key": gguf(IS_LORA + [key("adapter.alora.x", 4, struct.pack("<I", 1))],
                        factors("blk.0.attn_q", 6, 6), b"\1" * 192),
    "long-name": gguf(IS_LORA, factors("blk.0." + "x" * 200, 6, 6), b"\1" * 192),
}


def safet(header, data=b""):
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(head)) + head + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


SAFET = {
    "empty": safet({}),
    "two": safet({"__metadata__": {"format": "pt"}, "a": entry("F32", [2, 3], 0, 24),
                  "b": entry("I64", [], 24, 32)}, b"\1" * 32),
    "zero": safet({"a": entry("U8", [0, 9], 0, 0), "b": entry("BF16", [1], 0, 2)}, b"\1\1"),
    "overlap": safet({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 1, 3)}, b"\1" * 3),
    "hole": safet({"a": entry("U8", [1], 1, 2)}, b"\1" * 2),
    "wrapped": safet({"a": entry("F32", [1 << 62], 0, 0)}),
    "twice": safet(b'{"a":{},"a":{}}'),
    "long": struct.pack("<Q", (1 << 64) - 1) + b"{}",
    "deep": safet(b'{"a":' + b"[" * 3000),
}


def vocab(model, pre, options, unk, tokens, merges, text):
    """A vocabulary as fuzz_tokenizer.c takes it: tokens are (type, score 0..41, spelling)."""
    rows = [bytes([6 * score + kind]) + spelling.encode() for kind, score, spelling in tokens]
    parts = [b"\xfe".join(rows), b"\xfe".join(m.encode() for m in merges), text]
    return bytes([model, pre, options, unk]) + b"\xff".join(parts)


WORDS = [(3, 0, "<s>"), (2, 0, "<unk>"), (1, 5, "ll"), (1, 9, "he"), (1, 3, "hell"),
         (1, 7, "11"), (4, 0, "<call>"), (3, 0, "<|im_end|>"), (1, 2, "\u2581a"), (5, 1, "b")]
JOINS = ["l l", "h e", "he ll", "1 1"]
SAID = ("hello  <call> 1111 e\u0301 a\n\n<|im_end|>!? \u4e2d\u6587 'S x\u00b2".encode()
        + b"\0\x80\xc3")
VOCABS = {f"bpe-{i}": vocab(0, i, 0, 1, WORDS, JOINS, SAID) for i in range(9)}
VOCABS |= {
    "spm": vocab(1, 0, 4, 1, WORDS, [], SAID),
    "spm-no-bytes": vocab(1, 0, 3, 1, WORDS + [(1, 4, c) for c in "helo1a \u2581"], [], SAID),
    "gemma4": vocab(2, 0, 0, 1, WORDS + [(1, 4, c) for c in "helo1"], JOINS, SAID),
    "wordpiece": vocab(3, 0, 0, 1, [(3, 0, "[CLS]"), (2, 0, "[UNK]"), (3, 0, "[SEP]"),
                                    (1, 0, "\u2581hell"), (1, 0, "o"), (1, 0, "\u2581e")],
                       [], SAID),
    "wordpiece-hash": vocab(3, 0, 0, 1, [(3, 0, "[CLS]"), (2, 0, "[UNK]"), (3, 0, "[SEP]"),
                                         (1, 0, "hell"), (1, 0, "##o"), (1, 0, "##\u00b2")],
                            [], SAID),
    "unknown-is-bos": vocab(3, 0, 0, 0, [(3, 0, "[CLS]"), (1, 0, "\u2581a")], [], b"a b"),
    "twice": vocab(1, 0, 0, 0, [(3, 0, "<s>"), (1, 0, "<s>")], [], b"a"),
    "bad-merge": vocab(0, 0, 0, 0, [(3, 0, "<s>")], ["zz z"], b"a"),
    "file": gguf([key("tokenizer.ggml.model", 8, text("llama")),
                  array("tokenizer.ggml.tokens", 8, 4,
                        b"".join(map(text, ("<unk>", "<s>", "\u2581a", "b")))),
                  array("tokenizer.ggml.scores", 6, 4, struct.pack("<ffff", 0, 0, -1, -2)),
                  array("tokenizer.ggml.token_type", 5, 4, struct.pack("<iiii", 2, 3, 1, 1))]),
}


def kept(payload=b"", order=0x01020304, version=1, n=None, key="00112233445566778899aabbccddeeff"):
    """A file of the cache; fuzz_cache.c puts sums that hold into it."""
    n = len(payload) if n is None else n
    return (struct.pack("<8sIIQQ", b"stintkep", order, version, n, 0) + (key * 2).encode()
            + b"\0" * 32 + payload)


KEPT = {
    "empty": kept(), "some": kept(b"payload"), "long": kept(b"\1" * 5000),
    "newer": kept(b"a", version=2), "other-order": kept(b"a", order=0x04030201),
    "other-key": kept(b"a", key="f" * 32), "half-written": kept(n=1 << 20),
    "wrapped": kept(b"a", n=(1 << 64) - 127), "head": kept()[:100],
}


def main():
    for folder, files in (("cache", KEPT), ("gguf", GGUF), ("lora", LORA),
                          ("safetensors", SAFET), ("tokenizer", VOCABS)):
        os.makedirs(os.path.join(HERE, folder), exist_ok=True)
        for name, data in files.items():
            with open(os.path.join(HERE, folder, name), "wb") as out:
                out.write(data)


if __name__ == "__main__":
    main()
