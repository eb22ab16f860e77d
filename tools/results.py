#!/usr/bin/env python3
"""Fit and judge stint on labelled data sets and print docs/results.md's tables.

  tools/results.py STINT DATA_DIR [--models NAME_OR_PATH,...] [--only SET,...] [--seed N]

DATA_DIR holds one folder a set with JSON lines {"text", "label"}.  Every choice is made by
`stint fit` on the training rows; the rows judged are handed to it as dev, which it only
reports on, and zero-shot is judged on some of the same rows by `stint decide
--zero-shot`."""
import argparse
import collections
import gzip
import json
import math
import os
import random
import subprocess
import sys
import tempfile

# name, folder, training file, judged file, instructions, examples a label (None: all)
SETS = [
    ("clinc150", "clinc150", "train.jsonl", "dev.jsonl", "What does the user want?", None),
    ("clinc150, 10 a label", "clinc150", "train.jsonl", "dev.jsonl",
     "What does the user want?", 10),
    ("snips", "snips", "train.jsonl", "test.jsonl", "What does the user want?", None),
    ("sms_spam", "sms_spam", "train.jsonl", "test.jsonl", "Is this text message spam?",
     None),
    ("deepset_injections", "deepset_injections", "train.jsonl", "test.jsonl",
     "Does this text try to change a model's instructions?", None),
    ("davidson_toxicity", "davidson_toxicity", "train.jsonl.gz", "test.jsonl.gz",
     "What kind of language is this?", None),
]


def read(path):
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def sample(rows, per_label, seed):
    if per_label is None:
        return rows
    rng = random.Random(seed)
    by_label = collections.defaultdict(list)
    for row in rows:
        by_label[row["label"]].append(row)
    return [r for label in sorted(by_label)
            for r in rng.sample(by_label[label], min(per_label, len(by_label[label])))]


def write_rows(path, rows):
    with open(path, "w", encoding="utf-8") as f:
        for row in rows:
            f.write(json.dumps({"input": row["text"], "label": row["label"]}) + "\n")


def write_task(folder, models, instructions, labels):
    with open(os.path.join(folder, "task.yaml"), "w", encoding="utf-8") as f:
        f.write("task: results\nmodels: [%s]\n" % ", ".join(map(json.dumps, models)))
        f.write("question:\n  type: choice\n  instructions: %s\n  choices:\n"
                % json.dumps(instructions))
        for label in labels:
            f.write("    - {value: %s}\n" % json.dumps(label))
        f.write("input: {max_tokens: 512, on_too_long: truncate_middle}\n")
        f.write("data: {train: train.jsonl, dev: dev.jsonl}\n")


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit("%s: %s" % (" ".join(command), done.stderr.strip()))
    return done.stdout


def ece(confidences, right):
    bins = [0.0] * 15
    for c, r in zip(confidences, right):
        bins[min(14, int(c * 15))] += c - r
    return sum(map(abs, bins)) / len(right)


def zero_shot(stint, folder, rows, labels):
    out = run([stint, "decide", os.path.join(folder, "task.yaml"), "--zero-shot",
               "--input", os.path.join(folder, "some.jsonl"), "--jsonl"])
    answers = [json.loads(line) for line in out.splitlines()]
    conf = [a["confidence"] for a in answers]
    right = [a["answer"] == r["label"] for a, r in zip(answers, rows)]
    f1 = []
    for label in labels:
        both = sum(a["answer"] == label for a in answers) + \
            sum(r["label"] == label for r in rows)
        hits = sum(ok and r["label"] == label for ok, r in zip(right, rows))
        if both:
            f1.append(2 * hits / both)
    rng = random.Random(0)
    noise = sum(ece(conf, [rng.random() < c for c in conf]) for _ in range(200)) / 200
    nll = -sum(math.log(max(1e-6, a["probabilities"][r["label"]]))
               for a, r in zip(answers, rows)) / len(rows)
    return {"accuracy": sum(right) / len(rows), "macro_f1": sum(f1) / len(f1), "nll": nll,
            "ece": ece(conf, right), "ece_noise": noise,
            "us": sum(a["us"] for a in answers) / len(answers)}


def line(name, reads, weight, score, cost):
    print("| %s | %s | %s | %.2f | %.2f | %.3f | %.3f (%.3f) | %s |" % (
        name, reads, weight, 100 * score["accuracy"], 100 * score["macro_f1"],
        score["nll"], score["ece"], score["ece_noise"], cost))


def judge(args, spec):
    name, folder, train, dev, instructions, per_label = spec
    data = os.path.join(args.data, folder)
    rows = sample(read(os.path.join(data, train)), per_label, args.seed)
    labels = sorted({r["label"] for r in rows})
    judged = [r for r in read(os.path.join(data, dev)) if r["label"] in set(labels)]
    with tempfile.TemporaryDirectory() as tmp:
        write_rows(os.path.join(tmp, "train.jsonl"), rows)
        write_rows(os.path.join(tmp, "dev.jsonl"), judged)
        write_task(tmp, args.models.split(","), instructions, labels)
        fit = [args.stint, "fit", os.path.join(tmp, "task.yaml"), "--json", "--no-readout",
               "--seed", str(args.seed)]
        report = json.loads(run(fit))
        print("\n## %s\n\n%d rows to learn from, %d labels, %d rows judged, fitted in "
              "%.0f s.\n" % (name, len(rows), len(labels), len(judged), report["seconds"]))
        print("| expert | reads | weight | accuracy % | macro-F1 % | NLL | ECE (floor) "
              "| a decision |\n|---|---|---|---|---|---|---|---|")
        if args.zero_shot_rows:
            some = random.Random(args.seed).sample(judged,
                                                   min(args.zero_shot_rows, len(judged)))
            write_rows(os.path.join(tmp, "some.jsonl"), some)
            score = zero_shot(args.stint, tmp, some, labels)
            line("zero-shot (%d rows)" % len(some), "", "", score,
                 "%.2f ms" % (score["us"] / 1000))
        for e in report["experts"]:
            line(e["name"], e["pooling"], "%.2f" % e["weight"], e["dev"],
                 "%.2f ms" % (e["us"] / 1000))
        line("**pool**", "", "", report["pool"]["dev"],
             "%.2f ms" % (report["pool"]["us"] / 1000))
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stint")
    parser.add_argument("data")
    parser.add_argument("--models", default="all-minilm-l6-v2,smollm2-135m-instruct")
    parser.add_argument("--only", default="", help="names of sets, separated by ;")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--zero-shot-rows", type=int, default=200,
                        help="most rows of a set that zero-shot is judged on; 0: none")
    args = parser.parse_args()
    args.stint = os.path.abspath(args.stint)
    for spec in SETS:
        if not args.only or spec[0] in args.only.split(";"):
            judge(args, spec)


if __name__ == "__main__":
    main()
