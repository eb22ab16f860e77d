#!/usr/bin/env python3
"""Hold stint to the JSON Schema suites and print docs/json-schema.md.

  tools/json_schema_table.py STINT DATA_DIR > docs/json-schema.md

DATA_DIR holds json_schema_test_suite (the official suite, one row a test) and
jsonschemabench (real schemas with valid and invalid instances).  Every row goes through
`stint grammar check --jsonl --any-order`: right when the mask lets exactly the valid
instances be written, refused when the schema is not compiled, else wrong."""
import collections
import gzip
import json
import os
import re
import subprocess
import sys

DRAFTS = [("2020-12", "draft2020-12"), ("2019-09", "draft2019-09"), ("7", "draft7")]
DRAFT7 = "http://json-schema.org/draft-07/schema#"


def rows_of(path):
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def check(stint, rows):
    """The answers to rows with `schema` and `tests`, in their order."""
    lines = "".join(json.dumps({"schema": row["schema"],
                                "tests": [{"data": t["data"]} for t in row["tests"]]}) + "\n"
                    for row in rows)
    run = subprocess.run([stint, "grammar", "check", "--jsonl", "--any-order", "--times"],
                         input=lines, capture_output=True, text=True)
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    if len(answers) != len(rows) or run.returncode:
        sys.exit(f"{len(answers)} answers to {len(rows)} rows: {run.stderr[-300:]}")
    return answers


def verdicts(row, answer):
    """right, refused or wrong for each test of a row."""
    if not answer["compiled"]:
        return ["refused"] * len(row["tests"])
    return ["right" if accepts == test["valid"] else "wrong"
            for test, accepts in zip(row["tests"], answer["accepts"])]


def suite(stint, folder, name):
    rows = rows_of(os.path.join(folder, name + ".jsonl.gz"))
    for row in rows:
        row["tests"] = [{"data": row["data"], "valid": row["valid"]}]
        if name == "draft7" and isinstance(row["schema"], dict):
            row["schema"].setdefault("$schema", DRAFT7)
    return rows, check(stint, rows)


def keyword_of(file):
    return re.sub(r"\.json$", "", file)


def print_suite(results):
    table = collections.defaultdict(dict)
    for draft, (rows, answers) in results.items():
        for row, answer in zip(rows, answers):
            counts = table[keyword_of(row["file"])].setdefault(draft, collections.Counter())
            counts[verdicts(row, answer)[0]] += 1
    drafts = list(results)
    print("| part of the suite | " + " | ".join(drafts) + " |")
    print("|---|" + "---|" * len(drafts))
    total = {draft: collections.Counter() for draft in drafts}
    for name in sorted(table, key=lambda n: (n.count("/"), n)):
        cells = []
        for draft in drafts:
            counts = table[name].get(draft, collections.Counter())
            total[draft] += counts
            cells.append(cell(counts))
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("| **all** | " + " | ".join(f"**{cell(total[d])}**" for d in drafts) + " |")


def cell(counts):
    """Tests, then what was not right."""
    if not counts:
        return ""
    text = str(sum(counts.values()))
    for what in ("refused", "wrong"):
        if counts[what]:
            text += f", {counts[what]} {what}"
    return text


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


def print_bench(rows, answers):
    families = collections.defaultdict(list)
    for row, answer in zip(rows, answers):
        families[row["family"]].append((row, answer))
    print("| family | schemas | compiled | instances | invalid let through | valid not let "
          "| compile p50 ms | p95 ms |")
    print("|---|---|---|---|---|---|---|---|")
    for name, pairs in sorted(families.items()) + [("**all**", list(zip(rows, answers)))]:
        compiled = [(r, a) for r, a in pairs if a["compiled"]]
        tests = [(t["valid"], accepts) for r, a in compiled
                 for t, accepts in zip(r["tests"], a["accepts"])]
        times = [a["compile_us"] / 1000 for _, a in compiled]
        print(f"| {name} | {len(pairs)} | {len(compiled)} ({len(compiled) / len(pairs):.1%}) "
              f"| {len(tests)} | {sum(a and not v for v, a in tests)} "
              f"| {sum(v and not a for v, a in tests)} "
              f"| {percentile(times, .5):.2f} | {percentile(times, .95):.2f} |")


def print_refusals(answers):
    """What was refused, by its message without the names in it."""
    kinds = collections.Counter()
    hints = {}
    for answer in answers:
        if answer["compiled"]:
            continue
        where = (answer["pointer"] + ": ") if answer["pointer"] else ""
        message = answer["message"].split(where + answer["keyword"] + ": ")[-1]
        message = re.sub(r"'[^']*'", "'...'", message)
        kinds[(answer["keyword"], message)] += 1
        hints[(answer["keyword"], message)] = answer.get("hint", "")
    print("| keyword | what is refused | rows | what to write instead |")
    print("|---|---|---|---|")
    for (keyword, message), n in sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0])):
        word = f"`{keyword}`" if keyword else ""
        cells = [word, message, str(n), hints[(keyword, message)]]
        print("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")


INTRO = """# JSON Schema: what is held, and how well

A text held to a schema is written so that every byte keeps it valid: `stint run --schema`, extract tasks and tool
calls. What cannot be held exactly is refused when the schema is compiled, with its JSON pointer, the keyword and a way to
rewrite it; nothing is skipped. Every finished text is checked once more by a validator that shares no code with the
automata.

This page is made by `tools/json_schema_table.py build/stint ../shared/data`. Each instance goes through `stint grammar
check --jsonl --any-order`: *right* when the mask lets exactly the valid instances be written, *refused* when the schema is
not compiled, else *wrong*.

## Choices

- Draft 2020-12, unless `$schema` names 2019-09, 7, 6 or 4; each keyword means what it meant there. Rows of the suite for
  draft 7 say so with a `$schema` that the tool adds.
- `format` is asserted, as in the suite's `optional/format`; its `format.json` says that by default it is not, so those
  tests count as wrong. Formats that no draft names are annotations.
- `hostname` has no labels that begin with `xn--`: whether one is valid depends on what it stands for, which no finite
  automaton can tell. The suite's 15 valid ones count as wrong.
- `contentEncoding`, `contentMediaType` and `contentSchema` are annotations, as drafts 2019-09 and 2020-12 have it; draft 7
  lets them assert, and is refused there.
- Numbers with bounds or multiples are written as plain decimals. Members stand in the schema's order (`--any-order`: in
  any); one space, or none, may follow `:` and `,`. Arrays and objects nest at most 128 deep.
- Schemas elsewhere (remote `$ref`, meta-schemas) are refused: nothing is fetched.

## The official suite

Tests in each part, and how many of them were refused or wrong.
"""


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    stint, data = sys.argv[1:]
    results = {draft: suite(stint, os.path.join(data, "json_schema_test_suite"), name)
               for draft, name in DRAFTS}
    bench = rows_of(os.path.join(data, "jsonschemabench", "give_part.jsonl.gz"))
    answers = check(stint, bench)
    print(INTRO)
    print_suite(results)
    print("\n## Real schemas\n\nThe given part of JSONSchemaBench (MaskBench), each schema with "
          "valid and invalid instances. Compile times are\nof one thread of this machine, until "
          "the first byte could be written.\n")
    print_bench(bench, answers)
    print("\n### Refused among them\n")
    print_refusals(answers)
    print("\n### Refused in the suite\n")
    print_refusals([a for _, all_answers in results.values() for a in all_answers])


if __name__ == "__main__":
    main()
