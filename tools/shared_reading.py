#!/usr/bin/env python3
"""How much longer do k questions about a text take than one?

    stint serve --model smollm2=FILE.gguf --listen 127.0.0.1:8080 &
    tools/shared_reading.py http://127.0.0.1:8080 smollm2 [WORDS] [ROUNDS]

Each round asks one question and then eight about texts that were never seen before, so
nothing of them is kept.  Prints tokens, medians and their ratio.
"""
import json
import random
import statistics
import sys
import time
import urllib.request

WORDS = ("the parcel invoice customer refund money late week order account delivery team "
         "server room temperature call please help card payment shop").split()


def predicate(said):
    return {"type": "predicate", "instructions": f"The writer {said}."}


def choice(asked, *values):
    return {"type": "choice", "instructions": asked,
            "choices": [{"value": v} for v in values]}


def score(asked, *labels):
    return {"type": "score", "instructions": asked, "levels": [{"label": l} for l in labels]}


QUESTIONS = [
    predicate("asks for a refund"),
    predicate("is angry"),
    predicate("mentions a delivery"),
    predicate("wants a call back"),
    choice("Which team owns it?", "billing", "shipping", "tech"),
    choice("Which language is it?", "English", "German"),
    score("How urgent is it?", "can wait", "soon", "now"),
    score("How polite is it?", "rude", "neutral", "kind"),
]


def ask(url, model, n_words, questions):
    text = " ".join(random.choice(WORDS) for _ in range(n_words))
    body = json.dumps({"model": model, "input": text, "questions": questions}).encode()
    request = urllib.request.Request(url + "/v1/decisions", body,
                                     {"content-type": "application/json"})
    start = time.monotonic()
    with urllib.request.urlopen(request) as answer:
        got = json.load(answer)
    return time.monotonic() - start, got["usage"]["input_tokens"]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    url, model = sys.argv[1], sys.argv[2]
    n_words = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 5
    one, eight = [], []
    for i in range(rounds):
        one.append(ask(url, model, n_words, [QUESTIONS[i % len(QUESTIONS)]]))
        eight.append(ask(url, model, n_words, QUESTIONS))
    seconds = [statistics.median(t for t, _ in rows) for rows in (one, eight)]
    tokens = [statistics.median(n for _, n in rows) for rows in (one, eight)]
    print(f"one question    {seconds[0]:.3f} s  {tokens[0]:.0f} tokens")
    print(f"eight           {seconds[1]:.3f} s  {tokens[1]:.0f} tokens")
    print(f"ratio           {seconds[1] / seconds[0]:.2f}    {tokens[1] / tokens[0]:.2f}")


if __name__ == "__main__":
    main()
