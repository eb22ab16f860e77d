#!/usr/bin/env python3
"""Measure `stint serve` beside llama-server: the same model, the same requests, in turns.

  bench/serve/compare.py [--stint PROGRAM] [--rounds N] [--seconds S] [--streams 1,16,64]
                         [--only ROW,...] [--write]

llama-server is that of bench/peers/setup.sh (.cache/peers/bin).  Both servers are up all the
time, only one is asked at a time, and the sides take turns; figures are medians over rounds.
llama-server has a slot for each of up to sixteen streams, and all its slots have seen the
prompts before.  With --write the table goes to docs/performance.md.

Rows:
  listed   a message to one of 77 topics that the system message lists; JSON-schema enum
  fitted   a message to one of 13 options of examples/support: a fitted task here, the same
           options in the system message with a JSON-schema enum there
  extract  an order's six fields held to a JSON schema
  chat     a short answer to a message: 64 tokens, nothing held
  rule     what a rule answers without a model, one stream, by wrk: HTTP and JSON alone"""
import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "peers")]
import listed  # noqa: E402
import llama  # noqa: E402
import load  # noqa: E402
import orders  # noqa: E402
import report  # noqa: E402

SMOLLM = ".cache/models/smollm2-135m-instruct.gguf"
SLOTS, CTX = 16, 2048
CHAT = "/v1/chat/completions"
BEGIN, END = "<!-- served: begin -->", "<!-- served: end -->"
TITLES = {"listed": "77 options listed", "fitted": "a fitted task",
          "extract": "six fields as JSON", "chat": "chat, 64 tokens"}


def schema(value):
    return {"type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": value}}


def chat(messages, **more):
    return {"model": "smollm2", "messages": messages, "temperature": 0, **more}


def system_user(instructions, text):
    return [{"role": "system", "content": instructions}, {"role": "user", "content": text}]


def content(answer):
    return answer["choices"][0]["message"]["content"]


def check_listed(answer):
    if json.loads(content(answer)) not in listed.NAMES:
        raise load.Answer(f"not an option: {answer}")


def check_order(answer):
    if answer["choices"][0]["finish_reason"] != "length":
        orders.check(content(answer))


def support():
    """Options and messages of examples/support."""
    with open("examples/support/task.yaml", encoding="utf-8") as f:
        text = f.read()
    options = re.findall(r'\{value: (\w+), description: "([^"]*)"\}', text)
    with open("examples/support/golden.jsonl", encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    return options, [r.get("input") or r["text"] for r in rows]


def workloads():
    """Row -> (path and bodies here, path and bodies there, check)."""
    listing = [chat(system_user(listed.INSTRUCTIONS, m), max_tokens=48,
                    response_format=schema({"enum": listed.NAMES})) for m in listed.MESSAGES]
    extract = [chat([{"role": "user", "content": p}], max_tokens=160,
                    response_format=schema(orders.SCHEMA)) for p in orders.PROMPTS]
    talk = [chat([{"role": "user", "content": m}], max_tokens=64) for m in listed.MESSAGES]
    options, messages = support()
    instructions = ("Which team of an online shop should handle this customer message? "
                    "Answer with the team's name alone. The teams are:\n" +
                    "\n".join(f"- {v}: {d}" for v, d in options) + "\n- none of these")
    teams = schema({"enum": [v for v, _ in options] + ["none of these"]})
    there = [chat(system_user(instructions, m), max_tokens=16, response_format=teams)
             for m in messages]
    here = [{"input": m} for m in messages]
    return {"listed": ((CHAT, listing), (CHAT, listing), check_listed),
            "fitted": (("/v1/tasks/support", here), (CHAT, there), None),
            "extract": ((CHAT, extract), (CHAT, extract), check_order),
            "chat": ((CHAT, talk), (CHAT, talk), None)}


class Stint:
    """stint serve with the model and a fitted copy of examples/support."""

    def __init__(self, program, rule):
        self.folder = tempfile.mkdtemp()
        task = os.path.join(self.folder, "support")
        shutil.copytree("examples/support", task)
        with open(os.path.join(task, "task.yaml"), "a", encoding="utf-8") as f:
            f.write(f"rules:\n  - {{if: {{matches: '^{rule}$'}}, answer: refund}}\n")
        env = dict(os.environ, STINT_MODELS=os.path.abspath(".cache/models"))
        subprocess.run([program, "fit", os.path.join(task, "task.yaml")], check=True, env=env,
                       stdout=subprocess.DEVNULL)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.process = subprocess.Popen(
            [program, "serve", "--model", f"smollm2={SMOLLM}", "--task", task, "--ctx",
             str(CTX), "--listen", f"127.0.0.1:{self.port}", "--log-level", "error"], env=env)
        for _ in range(500):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz").read()
                return
            except OSError:
                time.sleep(.02)
        raise RuntimeError("stint serve does not start")

    def stop(self):
        self.process.terminate()
        if self.process.wait():
            raise RuntimeError("stint serve did not end well")
        shutil.rmtree(self.folder)


def measure_rule(port, rule, seconds):
    """Latency in milliseconds of what a rule answers, by wrk with one connection."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as f:
        f.write('wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
                f"wrk.body = [[{json.dumps({'input': rule})}]]\n"
                "done = function(s, l)\n io.write(string.format(\n  "
                "'{\"p50\": %f, \"p99\": %f, \"n\": %d, \"bad\": %d}\\n', "
                "l:percentile(50) / 1000, l:percentile(99) / 1000, s.requests, "
                "s.errors.status + s.errors.read + s.errors.timeout))\nend\n")
        f.flush()
        out = subprocess.run(["wrk", "-t1", "-c1", f"-d{seconds}", "-s", f.name,
                              f"http://127.0.0.1:{port}/v1/tasks/support"],
                             check=True, stdout=subprocess.PIPE, text=True).stdout
    result = json.loads(out.splitlines()[-1])
    if result["bad"]:
        raise RuntimeError(f"wrk: {result}")
    return result


def measure(sides, row, work, streams, args):
    figures = {name: [] for name in sides}
    for round_ in range(args.rounds + 1):  # the first warms
        for (name, port), (path, bodies) in zip(sides.items(), work[:2]):
            first = round_ == 0
            figure = load.closed(port, path, bodies, min(streams, SLOTS) if first else streams,
                                 0 if first else args.seconds,
                                 min(streams, SLOTS) if first else streams, work[2])
            if not first:
                figures[name].append(figure)
    cells = {name: {k: statistics.median(f[k] for f in got) for k in got[0]}
             for name, got in figures.items()}
    times = cells["stint"]["per_s"] / cells["llama-server"]["per_s"]
    for name, c in cells.items():
        print(f"{row:8} {streams:3} streams  {name:13} {c['per_s']:9.2f}/s  p50 {c['p50']:9.1f}"
              f"  p95 {c['p95']:9.1f}  p99 {c['p99']:9.1f} ms"
              + (f"  {times:.1f}x" if name == "stint" else ""), flush=True)
    return cells


def table(results, rule):
    rows = []
    for (row, streams), cells in results.items():
        ours, theirs = cells["stint"], cells["llama-server"]
        both = [f"{report.number(c['per_s'])} | " + " / ".join(
            report.number(c[p]) for p in ("p50", "p95", "p99")) for c in (ours, theirs)]
        rows.append([TITLES[row], str(streams), *both,
                     f"{ours['per_s'] / theirs['per_s']:.1f}x"])
    text = report.table(["work", "streams", "stint, requests/s", "p50 / p95 / p99, ms",
                         "llama-server, requests/s", "p50 / p95 / p99, ms", "times"], rows)
    if rule:
        text += (f"\nHTTP and JSON alone, one stream (a rule's answer, `wrk`): p50 "
                 f"{rule['p50']:.3f} ms, p99 {rule['p99']:.3f} ms.\n")
    return text


def write(text):
    path = "docs/performance.md"
    with open(path, encoding="utf-8") as f:
        old = f.read()
    marked = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.S)
    if not marked.search(old):
        raise RuntimeError(f"{path} has no place for the table")
    with open(path, "w", encoding="utf-8") as f:
        f.write(marked.sub(lambda _: f"{BEGIN}\n{text}\n{END}", old))


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--stint", default="build/stint")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=float, default=10)
    p.add_argument("--streams", default="1,16,64")
    p.add_argument("--only", default="listed,fitted,extract,chat,rule")
    p.add_argument("--write", action="store_true", help="put the table into the document")
    args = p.parse_args()
    wanted, rule = args.only.split(","), "unsubscribe me"
    work = workloads()
    ours = Stint(args.stint, rule)
    results, alone = {}, None
    try:
        with llama.Server(".cache/peers/bin", SMOLLM, len(os.sched_getaffinity(0)), SLOTS,
                          CTX) as theirs:
            sides = {"stint": ours.port, "llama-server": theirs.port}
            for row in (r for r in work if r in wanted):
                for streams in map(int, args.streams.split(",")):
                    results[row, streams] = measure(sides, row, work[row], streams, args)
            if "rule" in wanted:
                alone = measure_rule(ours.port, rule, args.seconds)
                print(f"rule       1 stream   stint  p50 {alone['p50']:.3f}  p99 "
                      f"{alone['p99']:.3f} ms")
    finally:
        ours.stop()
    if args.write:
        write(table(results, alone))
    return 0


if __name__ == "__main__":
    sys.exit(main())
