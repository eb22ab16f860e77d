#!/usr/bin/env python3
"""Ten minutes of mixed load on one server, whose resident size must stay flat: run by hand.

  tests/http/soak.py STINT [SECONDS [CLIENTS]]

Chat, streams that are read and streams that are left, decisions, a fitted task, embeddings,
bodies that are wrong.  Exit status 0 when every answer was what it should be and the second
half of the run grew by less than 2 %."""
import http.client
import json
import os
import random
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
os.environ["STINT_EXE"] = os.path.realpath(sys.argv[1])
os.environ.setdefault("HTTP_TESTS_CACHE", os.path.join(ROOT, ".cache", "http"))
os.environ.setdefault("STINT_MODELS", os.path.join(ROOT, ".cache", "models"))
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 600
CLIENTS = int(sys.argv[3]) if len(sys.argv) > 3 else 8
sys.path.insert(0, HERE)
from conftest import MODEL, Server, contract_question, fitted  # noqa: E402

QUESTION = contract_question()

WORDS = "parcel invoice refund angry late broken where when order login card twice".split()


def text(draw):
    return " ".join(draw.choices(WORDS, k=draw.randint(3, 40)))


def chat(draw):
    return "/v1/chat/completions", {
        "model": MODEL, "max_tokens": draw.randint(1, 24), "seed": draw.randint(0, 9),
        "temperature": draw.choice([0, 1]), "stream": draw.random() < 0.4,
        "messages": [{"role": "user", "content": text(draw)}]}, 200


def held(draw):
    """One of a few schemas, as an application has them; new ones fill their cache first."""
    first = draw.randrange(6)
    return "/v1/chat/completions", {
        "model": MODEL, "max_tokens": 48, "messages": [{"role": "user", "content": text(draw)}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {
            "type": "object", "properties": {"k": {"enum": WORDS[first:first + 4]}},
            "required": ["k"], "additionalProperties": False}}}}, 200


def decision(draw):
    return "/v1/decisions", {
        "model": MODEL, "input": text(draw), "questions": [
            {"type": "choice", "instructions": "Which team?",
             "choices": [{"value": w} for w in draw.sample(WORDS, 5)]},
            {"type": "predicate", "instructions": "The writer is angry."}]}, 200


def task(draw):
    """The task's own question: its fitted experts answer."""
    return "/v1/decisions", {"model": "support", "input": text(draw),
                             "questions": [QUESTION]}, 200


def vector(draw):
    return "/v1/embeddings", {"model": "all-minilm-l6-v2", "input": [text(draw)]}, 200


def wrong(draw):
    return draw.choice(["/v1/chat/completions", "/v1/decisions", "/v1/embeddings"]), {
        "model": draw.choice([MODEL, "nobody"]), text(draw): [1, 2]}, 400


KINDS = [chat, chat, held, decision, task, vector, wrong]


class Client(threading.Thread):
    """One connection after the other, until it is told to stop."""

    def __init__(self, server, seed, until):
        super().__init__()
        self.server, self.draw, self.until = server, random.Random(seed), until
        self.done, self.wrong = 0, []

    def ask(self, connection, leaves):
        path, body, want = self.draw.choice(KINDS)(self.draw)
        connection.request("POST", path, json.dumps(body),
                           {"Content-Type": "application/json"})
        if leaves:
            time.sleep(self.draw.random() * 0.05)
            return
        answer = connection.getresponse()
        content = answer.read()
        self.done += 1
        if answer.status not in (want, 429):
            self.wrong.append(f"{path} {answer.status} {content[:200]!r}")
        if answer.status == 429:
            time.sleep(0.2)

    def run(self):
        while time.monotonic() < self.until:
            connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=120)
            for _ in range(20):
                leaves = self.draw.random() < 0.05
                self.ask(connection, leaves)
                if leaves:
                    break
            connection.close()


def main():
    server = Server("--model", MODEL, "--model", "all-minilm-l6-v2", "--task",
                    str(fitted("support")))
    until = time.monotonic() + SECONDS
    clients = [Client(server, i, until) for i in range(CLIENTS)]
    for c in clients:
        c.start()
    sizes, started = [], time.monotonic()
    while any(c.is_alive() for c in clients):
        time.sleep(min(10, max(1, SECONDS / 60)))
        sizes.append(server.resident_kb())
        print(f"{time.monotonic() - started:5.0f} s  {sizes[-1] / 1024:8.1f} MB  "
              f"{sum(c.done for c in clients)} answers", flush=True)
    for c in clients:
        c.join()
    bad = [w for c in clients for w in c.wrong]
    for line in bad[:10]:
        print("wrong:", line)
    middle, end = sizes[len(sizes) // 2], sizes[-1]
    grown = end / middle - 1
    print(f"{sum(c.done for c in clients)} answers, {len(bad)} wrong; resident "
          f"{middle / 1024:.1f} -> {end / 1024:.1f} MB in the second half ({grown:+.2%})")
    server.stop()
    return 0 if not bad and grown < 0.02 else 1


if __name__ == "__main__":
    sys.exit(main())
