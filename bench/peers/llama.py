"""Drivers of llama.cpp's own programs: llama-bench, llama-batched-bench, llama-server."""
import concurrent.futures
import http.client
import json
import os
import random
import socket
import subprocess
import time

STREAMS = 16
READY_S = 60


def bench(folder, model, threads, prompt, made, depth=0):
    """Tokens a second of one repetition (after llama-bench's own warm-up)."""
    out = subprocess.run(
        [os.path.join(folder, "llama-bench"), "-m", model, "-t", str(threads), "-r", "1",
         "-p", str(prompt), "-n", str(made), "-d", str(depth), "-o", "json"],
        check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(out.stdout)[0]["avg_ts"]


def batched(folder, model, threads, prompt, made):
    """Tokens a second of STREAMS streams made in step, or None without the program."""
    program = os.path.join(folder, "llama-batched-bench")
    if not os.path.exists(program):
        return None
    out = subprocess.run(
        [program, "-m", model, "-t", str(threads), "-c", "4096", "-npp", str(prompt),
         "-ntg", str(made), "-npl", str(STREAMS), "--output-format", "jsonl"],
        check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    rows = [json.loads(line) for line in out.stdout.splitlines()
            if line.startswith("{")]
    return rows[-1]["speed_tg"]


class Server:
    """llama-server, from start to stop."""

    def __init__(self, folder, model, threads, slots, ctx):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        begin = time.perf_counter()
        self.process = subprocess.Popen(
            [os.path.join(folder, "llama-server"), "-m", model, "-t", str(threads),
             "-np", str(slots), "-c", str(ctx * slots), "--host", "127.0.0.1",
             "--port", str(self.port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not self.healthy():
            if self.process.poll() is not None or time.perf_counter() - begin > READY_S:
                self.stop()
                raise RuntimeError("llama-server does not start")
            time.sleep(0.002)
        self.ready_s = time.perf_counter() - begin

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def healthy(self):
        try:
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=READY_S)
            c.request("GET", "/health")
            return c.getresponse().status == 200
        except OSError:
            return False

    def post(self, path, body):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        c.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = c.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"llama-server: {answer.status} {data[:200]!r}")
        return json.loads(data)

    def all(self, path, bodies):
        """All at once; seconds until the last answer, and the answers."""
        with concurrent.futures.ThreadPoolExecutor(len(bodies)) as pool:
            begin = time.perf_counter()
            answers = list(pool.map(lambda b: self.post(path, b), bodies))
            return time.perf_counter() - begin, answers

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            for line in f:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return 0

    def stop(self):
        self.process.terminate()
        self.process.wait()


def decode_streams(server, n_vocab, prompt, made):
    """Tokens a second that STREAMS requests get together, their prompts in the cache."""
    rng = random.Random(2)
    bodies = []
    for slot in range(STREAMS):
        ids = [rng.randrange(256, n_vocab) for _ in range(prompt)]
        bodies.append({"prompt": ids, "id_slot": slot, "cache_prompt": True,
                       "ignore_eos": True, "temperature": 0, "n_predict": 1})
    server.all("/completion", bodies)
    for body in bodies:
        body["n_predict"] = made
    seconds, answers = server.all("/completion", bodies)
    return sum(a["tokens_predicted"] for a in answers) / seconds


def decide_listed(server, instructions, messages, names):
    """Requests a second of as many as there are messages, all waiting, the options as a
    JSON-schema enum.  The instructions are in every slot's cache."""
    def body(message):
        return {"messages": [{"role": "system", "content": instructions},
                             {"role": "user", "content": message}],
                "temperature": 0, "max_tokens": 48, "cache_prompt": True,
                "response_format": {"type": "json_schema", "json_schema": {
                    "name": "answer", "strict": True, "schema": {"enum": names}}}}

    path = "/v1/chat/completions"
    seconds, answers = server.all(path, [body(m) for m in messages])
    for a in answers:
        if json.loads(a["choices"][0]["message"]["content"]) not in names:
            raise RuntimeError("llama-server gave no option")
    usage = answers[0]["usage"]
    return len(messages) / seconds, usage["prompt_tokens"]


def extract(server, prompts, schema, streams, check):
    """Requests a second when every prompt is answered with JSON held to the schema, one
    after the other or `streams` at a time; the prompts' common beginning is in the cache
    of every slot.  Also the tokens of an answer, and how many were cut."""
    def body(prompt):
        return {"prompt": prompt, "json_schema": schema, "temperature": 0,
                "n_predict": 160, "cache_prompt": True}

    path = "/completion"
    common = os.path.commonprefix(prompts)
    server.all(path, [body(common + p[-40:]) | {"n_predict": 1} for p in prompts[:streams]])
    begin = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(streams) as pool:
        answers = list(pool.map(lambda p: server.post(path, body(p)), prompts))
    seconds = time.perf_counter() - begin
    cut = 0
    for a in answers:
        if a["stop_type"] == "limit":
            cut += 1
        else:
            check(a["content"])
    tokens = sum(a["tokens_predicted"] for a in answers)
    return len(prompts) / seconds, tokens / len(prompts), cut
