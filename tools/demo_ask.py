#!/usr/bin/env python3
"""Ask the server whose log is named: its task `support`, then a question of our own.
  tools/demo_ask.py LOG"""
import json
import re
import sys
import time
import urllib.request

TEXT = "You took the money twice for one pair of shoes, give it back."


def port(log):
    """Where it listens, once it is ready."""
    for _ in range(600):
        with open(log, encoding="utf-8") as f:
            text = f.read()
        if '"ready"' in text:
            return int(re.search(r"port (\d+)", text).group(1))
        time.sleep(0.1)
    sys.exit(f"the server does not get ready:\n{text}")


def ask(base, path, body):
    print(f"POST {path} {json.dumps(body)}")
    request = urllib.request.Request(base + path, json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        told = json.load(answer)
    told.get("probabilities", []).sort(key=lambda p: -p["probability"])
    del told.get("probabilities", [])[3:]  # of thirteen
    print(json.dumps(told, ensure_ascii=False), end="\n\n")


def main():
    base = f"http://127.0.0.1:{port(sys.argv[1])}"
    ask(base, "/v1/tasks/support", {"input": TEXT})
    ask(base, "/v1/decisions", {
        "model": "smollm2-135m-instruct", "input": TEXT,
        "questions": [{"type": "score", "name": "anger", "instructions": "How angry is this?",
                       "levels": [{"label": "calm"}, {"label": "annoyed"},
                                  {"label": "furious"}]}]})


main()
