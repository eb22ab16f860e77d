#!/usr/bin/env python3
"""Measure stint beside other programs on this machine, in turns, and write the table.

  bench/peers/compare.py [--stint PROGRAM] [--rounds N] [--only ROW,...] [--print]
                         [FOLDER ...]

Each FOLDER holds another build of llama-bench and llama-server to compare with, beside
.cache/peers/bin, which bench/peers/setup.sh makes.  The sides of a row take turns; figures
are medians.  Results are kept in .cache/peers/results.json, so that rows can be measured
one at a time, and go to docs/performance.md and docs/performance.svg; with --print the medians
are shown and nothing is kept.

Rows: prefill, decode, decode_16, options, extract, extract_16, heads, encoder, neighbour,
start."""
import argparse
import json
import math
import multiprocessing
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import llama  # noqa: E402
import listed  # noqa: E402
import orders  # noqa: E402
import report  # noqa: E402

CACHE = ".cache/peers"
SMOLLM = ".cache/models/smollm2-135m-instruct.gguf"
MINILM = ".cache/models/all-minilm-l6-v2.gguf"
SHAPES = {f"0.5B shape {f.upper()}": f".cache/shapes/qwen2-0.5b-{f}.gguf"
          for f in ("q4_0", "q4_k_m", "q8_0")}
MODELS = {"SmolLM2-135M Q4_1": SMOLLM, **SHAPES}
N_VOCAB = 49152  # of SmolLM2
PROMPT, MADE, DEPTH = 512, 32, 128  # as in stint bench
TEXT_TOKENS = 20
BATCHES = (16, 32, 64, 128)
MASKS = {"stint": None, "stint, STINT_CPU=avx2": "avx2"}


class Run:
    """What one call measures with, and what it has measured."""

    def __init__(self, args):
        self.stint = args.stint
        self.rounds = args.rounds
        self.threads = len(os.sched_getaffinity(0))
        self.folders = [os.path.join(CACHE, "bin"), *args.folders]
        self.rows = {}

    def add(self, row, what, side, unit, value, share=None):
        if value is None:
            return
        cell = self.rows.setdefault(row, {}).setdefault(what, {}).setdefault(
            side, {"unit": unit, "values": [], "shares": []})
        cell["values"].append(value)
        if share is not None:
            cell["shares"].append(share)
        print(f"{row:10} {what:24} {side:26} {value:10.2f} {unit}"
              + (f"  {100 * share:5.1f} % of the limit" if share is not None else ""),
              flush=True)

    def bench(self, model, names, mask, extra=()):
        """One process of stint bench: its JSON."""
        env = dict(os.environ)
        env.pop("STINT_CPU", None)
        if mask:
            env["STINT_CPU"] = mask
        out = subprocess.run([self.stint, "bench", "-m", model, "--only", names, "--json",
                              "--runs", "3", *extra],
                             check=True, stdout=subprocess.PIPE, env=env)
        return json.loads(out.stdout)

    def peer_name(self, folder):
        return "llama.cpp" if folder == self.folders[0] else os.path.basename(
            os.path.normpath(folder if os.path.basename(folder) != "bin"
                             else os.path.dirname(folder)))


def add_bench(run, row, what, side, out, name, unit):
    figure = out[name]
    value = next(v for k, v in figure.items() if k.endswith("_per_s"))
    run.add(row, what, side, unit, value, figure["limit_share"])


def measure_prefill_decode(run, wanted):
    for what, model in MODELS.items():
        for _ in range(run.rounds):
            for side, mask in MASKS.items():
                out = run.bench(model, ",".join(wanted), mask)
                for row in wanted:
                    add_bench(run, row, what, side, out, row, "tokens/s")
                keep_limits(run, side, out)
            for folder in run.folders:
                name = run.peer_name(folder)
                if "prefill" in wanted:
                    run.add("prefill", what, name, "tokens/s",
                            llama.bench(folder, model, run.threads, PROMPT, 0))
                if "decode" in wanted:
                    run.add("decode", what, name, "tokens/s",
                            llama.bench(folder, model, run.threads, 0, MADE, DEPTH))


def keep_limits(run, side, out):
    for name, unit, scale in (("int8_macs_per_s", "G MAC/s", 1e9),
                              ("read_bytes_per_s", "GB/s", 1e9)):
        run.add("limits", name, side, unit, out["limits"][name] / scale)


def measure_decode_16(run):
    what = "SmolLM2-135M Q4_1"
    for _ in range(run.rounds):
        for side, mask in MASKS.items():
            out = run.bench(SMOLLM, "decode_16", mask)
            add_bench(run, "decode_16", what, side, out, "decode_16", "tokens/s")
        for folder in run.folders:
            name = run.peer_name(folder)
            run.add("decode_16", what, f"{name}, llama-batched-bench", "tokens/s",
                    llama.batched(folder, SMOLLM, run.threads, DEPTH, MADE))
            with llama.Server(folder, SMOLLM, run.threads, llama.STREAMS, 1024) as server:
                run.add("decode_16", what, f"{name}, llama-server", "tokens/s",
                        llama.decode_streams(server, N_VOCAB, DEPTH, MADE))


def measure_options(run):
    what = "SmolLM2-135M Q4_1"
    warm = [m.upper() for m in listed.MESSAGES]
    for _ in range(run.rounds):
        for side, mask in MASKS.items():
            out = run.bench(SMOLLM, "options,options_free", mask)
            add_bench(run, "options", what, side, out, "options", "requests/s")
            add_bench(run, "options", what + ", free", side, out, "options_free",
                      "requests/s")
        for folder in run.folders:
            with llama.Server(folder, SMOLLM, run.threads, llama.STREAMS, 1024) as server:
                llama.decide_listed(server, listed.INSTRUCTIONS, warm, listed.NAMES)
                speed, tokens = llama.decide_listed(server, listed.INSTRUCTIONS,
                                                    listed.MESSAGES, listed.NAMES)
                run.add("options", what, f"{run.peer_name(folder)}, llama-server",
                        "requests/s", speed)
                print(f"  (its prompts have about {tokens} tokens)", flush=True)


def measure_extract(run, row, streams):
    """Orders of six fields as JSON held to a schema.  A repetition of stint's asks each
    order once, or twice with many streams, and so do the others."""
    what = "SmolLM2-135M Q4_1"
    prompts = orders.PROMPTS * (1 if streams == 1 else 2)
    for _ in range(run.rounds):
        for side, mask in MASKS.items():
            add_bench(run, row, what, side, run.bench(SMOLLM, row, mask), row, "requests/s")
        for folder in run.folders:
            with llama.Server(folder, SMOLLM, run.threads, streams, 1024) as server:
                speed, tokens, cut = llama.extract(server, prompts, orders.SCHEMA, streams,
                                                   orders.check)
                run.add(row, what, f"{run.peer_name(folder)}, llama-server", "requests/s",
                        speed)
                print(f"  (its answers have {tokens:.0f} tokens; {cut} were cut)", flush=True)


def measure_heads(run):
    for _ in range(run.rounds):
        for side, mask in MASKS.items():
            out = run.bench(SMOLLM, "heads", mask)
            add_bench(run, "heads", "SmolLM2-135M Q4_1, middle layer", side, out, "heads",
                      "texts/s")


def encoder_texts(run):
    """Sentences of TEXT_TOKENS tokens, control tokens with them, and their ids."""
    things = ["my new card", "the last payment", "your mobile app", "a bank transfer",
              "this monthly statement", "the exchange rate", "my savings account",
              "the loan contract"]
    asks = ["please tell me today why", "could someone there explain how", "i do not see where",
            "nobody in your shop knows when", "we would really like to know if",
            "my mother keeps asking me whether", "it is still not clear to us why",
            "for the third time now i ask when"]
    ends = ["was changed without a word", "will be ready for use again",
            "shows another amount than before", "has not been sent out yet",
            "can be closed from abroad", "needs a second signature"]
    texts = [f"{a} {t} {e}, thank you" for a in asks for t in things for e in ends]
    rows = "\n".join(json.dumps({"text": t, "special": True}) for t in texts)
    out = subprocess.run([run.stint, "tokenize", "-m", MINILM, "--jsonl"], input=rows,
                         check=True, stdout=subprocess.PIPE, text=True)
    ids = [json.loads(line)["ids"] for line in out.stdout.splitlines()]
    right = [(t, i) for t, i in zip(texts, ids) if len(i) == TEXT_TOKENS]
    if len(right) < 64:
        raise RuntimeError(f"only {len(right)} sentences have {TEXT_TOKENS} tokens")
    return [t for t, _ in right], [i for _, i in right]


class Encoders:
    """The process that holds the encoder in PyTorch and ONNX Runtime."""

    def __init__(self, threads, ids):
        path = os.path.join(CACHE, "ids.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(ids, f)
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "encoders.py")
        self.process = subprocess.Popen(
            [os.path.join(CACHE, "venv/bin/python"), script, str(threads), path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True)
        self.versions = json.loads(self.process.stdout.readline())

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def least_cosine(ours, theirs):
    def cosine(a, b):
        return (sum(x * y for x, y in zip(a, b)) /
                math.sqrt(sum(x * x for x in a) * sum(y * y for y in b)))
    return min(cosine(a, b) for a, b in zip(ours, theirs))


def embeddings(run, texts):
    out = subprocess.run([run.stint, "embed", "-m", MINILM, "--jsonl"],
                         input="\n".join(json.dumps({"text": t}) for t in texts),
                         check=True, stdout=subprocess.PIPE, text=True)
    return [json.loads(line)["embedding"] for line in out.stdout.splitlines()]


def measure_encoder(run):
    what, small = "MiniLM-L6", "MiniLM-L6, the other in int8"
    texts, ids = encoder_texts(run)
    others = Encoders(run.threads, ids)
    names = {"onnx": f"ONNX Runtime {others.versions['onnxruntime']}",
             "onnx-int8": f"ONNX Runtime {others.versions['onnxruntime']}, int8",
             "torch": f"PyTorch {others.versions['torch']}"}
    ours = embeddings(run, texts)
    for kind, name in names.items():
        cosine = least_cosine(ours, others.ask(f"vectors {kind}")["vectors"])
        run.add("cosines", "stint embed, least", name, "cosine", cosine)
        if kind != "onnx-int8" and cosine < .9999:
            raise RuntimeError(f"{name} gives other embeddings: cosine {cosine}")
    best = {kind: max(BATCHES, key=lambda b, k=kind: others.ask(f"{k} {b}")["texts_per_s"])
            for kind in names}
    for _ in range(2 * run.rounds + 1):
        for side, mask in MASKS.items():
            out = run.bench(MINILM, "heads", mask)
            add_bench(run, "encoder", what, side, out, "heads", "texts/s")
            add_bench(run, "encoder", small, side, out, "heads", "texts/s")
        add_bench(run, "encoder", what, "stint --exact",
                  run.bench(MINILM, "heads", None, ["--exact"]), "heads", "texts/s")
        for kind, name in names.items():
            run.add("encoder", small if kind == "onnx-int8" else what, name, "texts/s",
                    others.ask(f"{kind} {best[kind]}")["texts_per_s"])
    others.stop()


def spin(cpu):
    os.sched_setaffinity(0, {cpu})
    while True:
        pass


def measure_neighbour(run):
    """Quiet, then with a busy process on the last processor, side by side."""
    cpu = max(os.sched_getaffinity(0))
    for _ in range(run.rounds):
        for busy in (False, True):
            what = "busy neighbour" if busy else "quiet"
            neighbour = multiprocessing.Process(target=spin, args=(cpu,), daemon=True)
            if busy:
                neighbour.start()
            out = run.bench(SMOLLM, "prefill,decode", None)
            for name in ("prefill", "decode"):
                add_bench(run, f"neighbour {name}", what, "stint", out, name, "tokens/s")
            for folder in run.folders:
                peer = run.peer_name(folder)
                run.add("neighbour prefill", what, peer, "tokens/s",
                        llama.bench(folder, SMOLLM, run.threads, PROMPT, 0))
                run.add("neighbour decode", what, peer, "tokens/s",
                        llama.bench(folder, SMOLLM, run.threads, 0, MADE, DEPTH))
            if busy:
                neighbour.terminate()
                neighbour.join()


def process_cost(command):
    """Seconds and peak resident bytes of a process."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{command} fails")
    process.returncode = 0
    return time.perf_counter() - begin, usage.ru_maxrss * 1024


def measure_start(run):
    what = "SmolLM2-135M Q4_1"
    file_bytes = os.path.getsize(SMOLLM)
    process_cost([run.stint, "run", "-m", SMOLLM, "-n", "1", "hello"])  # warms the caches
    for _ in range(3 * run.rounds):
        seconds, resident = process_cost([run.stint, "run", "-m", SMOLLM, "-n", "1", "hello"])
        run.add("start", what + ", first answer", "stint run", "ms", 1000 * seconds)
        run.add("memory", what + ", beyond the file", "stint run", "MiB",
                (resident - file_bytes) / 2**20)
        for folder in run.folders:
            name = f"{run.peer_name(folder)}, llama-server"
            begin = time.perf_counter()
            with llama.Server(folder, SMOLLM, run.threads, 1, 4096) as server:
                server.post("/v1/chat/completions", {
                    "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1})
                run.add("start", what + ", first answer", name, "ms",
                        1000 * (time.perf_counter() - begin))
                run.add("start", what + ", ready", name, "ms", 1000 * server.ready_s)
                run.add("memory", what + ", beyond the file", name, "MiB",
                        (server.resident_bytes() - file_bytes) / 2**20)


ROWS = {"prefill": None, "decode": None, "decode_16": measure_decode_16,
        "options": measure_options,
        "extract": lambda run: measure_extract(run, "extract", 1),
        "extract_16": lambda run: measure_extract(run, "extract_16", llama.STREAMS),
        "heads": measure_heads, "encoder": measure_encoder,
        "neighbour": measure_neighbour, "start": measure_start}


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        lines = f.read().splitlines()
    model = next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")),
                 "?")
    version = os.path.join(CACHE, "llama-version")
    llama_version = "?"
    if os.path.exists(version):
        with open(version, encoding="utf-8") as f:
            llama_version = ", ".join(f.read().split("\n")).strip(", ")
    return {"cpu": model, "threads": len(os.sched_getaffinity(0)),
            "load": os.getloadavg()[0], "date": time.strftime("%Y-%m-%d"),
            "llama.cpp": llama_version}


def show(rows):
    """Medians, and how many times the fastest other program stint is."""
    for row, whats in rows.items():
        for what, sides in whats.items():
            medians = {s: statistics.median(c["values"]) for s, c in sides.items()}
            others = [v for s, v in medians.items() if not s.startswith("stint")]
            for side, value in medians.items():
                times = f"  {value / max(others):.2f}x" if others else ""
                print(f"median {row:10} {what:24} {side:26} {value:10.2f}{times}")


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--stint", default="build/stint")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--only", default=",".join(ROWS))
    p.add_argument("--print", action="store_true", help="keep and write nothing")
    p.add_argument("folders", nargs="*")
    args = p.parse_args()
    wanted = args.only.split(",")
    for name in wanted:
        if name not in ROWS:
            p.error(f"no row {name}; there are {', '.join(ROWS)}")
    run = Run(args)
    about = machine()
    both = [name for name in ("prefill", "decode") if name in wanted]
    if both:
        measure_prefill_decode(run, both)
    for name in wanted:
        if ROWS[name]:
            ROWS[name](run)
    if args.print:
        show(run.rows)
        return 0
    report.keep(os.path.join(CACHE, "results.json"), about, run.rows, statistics.median)
    report.write(os.path.join(CACHE, "results.json"), "docs/performance.md",
                 "docs/performance.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
