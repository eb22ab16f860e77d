#!/usr/bin/env python3
"""Extraction on labelled data sets: validity and F1 of fields, as a table for docs/results.md.

  tools/fields.py STINT DATA_DIR [--model NAME_OR_PATH] [--rows N] [--only SET,...] [--fit]
                  [--write docs/results.md]

DATA_DIR holds one folder a set with JSON lines {"text", "output"} and schema.json.  The model
is shown examples of the training rows by `stint decide` (with --fit as `stint fit` chooses).
Fields are counted here, in another way than the program's own: a unit is a path and a value,
texts with white space evened out, numbers by value, each item of a list a unit of the list."""
import argparse
import collections
import json
import os
import random
import re
import subprocess
import sys
import tempfile

# name, training file, judged file, instructions
SETS = [
    ("sroie_receipts", "train.jsonl", "dev.jsonl", "Read this receipt."),
    ("snips", "train.jsonl", "test.jsonl", "What does the user want, and with what?"),
    ("e2e_restaurants", "train.jsonl", "test.jsonl", "What does this text say of the place?"),
]


def read(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def plain(value):
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str):
        return re.sub(r"\s+", " ", value).strip()
    return json.dumps(value, sort_keys=True)


def units(value, path=""):
    """A multiset of (path, value) of an object."""
    found = collections.Counter()
    if isinstance(value, dict):
        for name, inner in value.items():
            found += units(inner, path + "/" + name)
    elif isinstance(value, list):
        for item in value:
            found[path, plain(item)] += 1
    elif value is not None:
        found[path, plain(value)] += 1
    return found


def write_task(folder, data, spec, model):
    """The contract, and its examples: rows without a required member are left out."""
    name, train, _, instructions = spec
    with open(os.path.join(data, "schema.json"), encoding="utf-8") as f:
        required = json.load(f).get("required", [])
    with open(os.path.join(folder, "train.jsonl"), "w", encoding="utf-8") as f:
        f.writelines(json.dumps({"input": r["text"], "output": r["output"]}) + "\n"
                     for r in read(os.path.join(data, train))
                     if all(name in r["output"] for name in required))
    with open(os.path.join(folder, "task.yaml"), "w", encoding="utf-8") as f:
        f.write("task: %s\nmodels: [%s]\nquestion:\n  type: extract\n" % (name,
                                                                        json.dumps(model)))
        f.write("  instructions: %s\n" % json.dumps(instructions))
        f.write("  schema: %s\n" % json.dumps(os.path.join(data, "schema.json")))
        f.write("output: {max_tokens: 400}\n")
        f.write("data: {train: train.jsonl}\n")
    return os.path.join(folder, "task.yaml")


def run(command, fine=(0,)):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in fine:
        sys.exit("%s: %s" % (" ".join(command), done.stderr.strip()))
    return done.stdout


def judge(args, spec):
    """One line of the table."""
    name, _, judged, _ = spec
    data = os.path.abspath(os.path.join(args.data, name))
    rows = read(os.path.join(data, judged))
    rows = random.Random(args.seed).sample(rows, min(args.rows, len(rows)))
    with tempfile.TemporaryDirectory() as tmp:
        task = write_task(tmp, data, spec, args.model)
        some = os.path.join(tmp, "rows.jsonl")
        with open(some, "w", encoding="utf-8") as f:
            f.writelines(json.dumps({"input": r["text"]}) + "\n" for r in rows)
        if args.fit:
            run([args.stint, "fit", task])
        # 8: some rows have no answer, which their lines say
        out = run([args.stint, "decide", task, "--input", some, "--jsonl"], (0, 8))
    answers = [json.loads(line) for line in out.splitlines()]
    hits = given = wanted = whole = 0
    for row, answer in zip(rows, answers, strict=True):
        ours, theirs = units(answer.get("output", {})), units(row["output"])
        hits += sum((ours & theirs).values())
        given += sum(ours.values())
        wanted += sum(theirs.values())
        whole += ours == theirs
    good = [a for a in answers if "output" in a]
    tokens, steps = sum(a["tokens"] for a in good), sum(a["steps"] for a in good)
    return "| %s | %d | %d | %.1f | %.3f | %.3f | **%.3f** | %.0f %% | %.0f %% | %.0f ms |" % (
        name, len(rows), max(a["examples"] for a in good), 100 * len(good) / len(rows),
        hits / given, hits / wanted, 2 * hits / (given + wanted), 100 * whole / len(rows),
        100 * (1 - steps / tokens), sum(a["us"] for a in good) / len(good) / 1000)


HEAD = ("| set | rows | examples | valid % | precision | recall | F1 of fields | whole rows | "
        "steps saved | a row |\n|---|---|---|---|---|---|---|---|---|---|")
BEGIN, END = "<!-- fields.py -->", "<!-- end of fields.py -->"


def put(path, table):
    """Put the table between its marks in a Markdown file."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    if BEGIN not in text or END not in text:
        sys.exit("%s: no place for the table: %s ... %s" % (path, BEGIN, END))
    before, rest = text.split(BEGIN, 1)
    with open(path, "w", encoding="utf-8") as f:
        f.write(before + BEGIN + "\n" + table + "\n" + END + rest.split(END, 1)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stint")
    parser.add_argument("data")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--rows", type=int, default=100, help="most rows judged of a set")
    parser.add_argument("--only", default="", help="names of sets, separated by commas")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fit", action="store_true", help="let `stint fit` choose examples")
    parser.add_argument("--write", help="a Markdown file with the table's marks")
    args = parser.parse_args()
    args.stint = os.path.abspath(args.stint)
    lines = [HEAD]
    print(HEAD)
    for spec in SETS:
        if args.only and spec[0] not in args.only.split(","):
            continue
        lines.append(judge(args, spec))
        print(lines[-1])
        sys.stdout.flush()
    if args.write:
        put(args.write, "\n".join(lines))


if __name__ == "__main__":
    main()
