#!/usr/bin/env python3
"""Ask a model for the function calls of a BFCL data set through `stint run` and judge them.

  tools/bfcl.py STINT DATA_DIR [--model NAME_OR_PATH] [--rows N] [--only SET,...]
                [--choice auto|required] [--show]

DATA_DIR holds SET.jsonl.gz with rows {"messages", "functions", "ground_truth"}: the sets
simple_python, multiple, parallel and irrelevance.  Printed of each set:

  valid   answers in which every call names a given function and its arguments satisfy the
          function's schema; cut answers (-n tokens) are counted apart
  names   answers that call the functions of the ground truth, as often as it does (of
          irrelevance: that call none)
  args    of the ground truth's arguments in answers with the right names: given and equal
          to an accepted value
  exact   answers all of whose calls have an accepted value for every argument

Exit 0 only when every answer that is not cut is valid."""
import argparse
import collections
import gzip
import itertools
import json
import os
import subprocess
import sys
import time

SETS = ("simple_python", "multiple", "parallel", "irrelevance")
TYPES = {"dict": "object", "float": "number", "tuple": "array"}


def schema_of(parameters):
    """BFCL's parameters as JSON Schema: its own type names mapped, "any" left out."""
    if not isinstance(parameters, dict):
        return parameters
    out = {}
    for key, value in parameters.items():
        if key == "type" and isinstance(value, str):
            if value != "any":
                out[key] = TYPES.get(value, value)
        elif key == "properties":
            out[key] = {name: schema_of(v) for name, v in value.items()}
        elif key in ("items", "additionalProperties"):
            out[key] = schema_of(value)
        elif key in ("required", "enum", "description", "default", "minItems", "maxItems",
                     "minimum", "maximum"):
            out[key] = value
    if "enum" in out and not out["enum"]:
        del out["enum"]
    return out


def satisfies(value, schema):
    """What BFCL's schemas use of JSON Schema, read plainly."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    right = {"object": isinstance(value, dict), "array": isinstance(value, list),
             "string": isinstance(value, str), "boolean": isinstance(value, bool),
             "number": is_number, "integer": is_number and value == int(value),
             "null": value is None}
    if "type" in schema and not right[schema["type"]]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        return (all(name in value for name in schema.get("required", [])) and
                all(satisfies(v, properties[k]) for k, v in value.items()
                    if k in properties))
    if isinstance(value, list):
        return (schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 1e9) and
                all(satisfies(v, schema.get("items", {})) for v in value))
    if is_number:
        return schema.get("minimum", value) <= value <= schema.get("maximum", value)
    return True


def same(value, accepted):
    """As BFCL compares: texts without case, blanks and signs; numbers by value."""
    def plain(x):
        if isinstance(x, str):
            return "".join(c for c in x.lower() if c not in " ,./-_*^'\"")
        if isinstance(x, list):
            return [plain(v) for v in x]
        if isinstance(x, dict):
            return {k: plain(v) for k, v in x.items()}
        return x
    if isinstance(value, dict) and isinstance(accepted, dict):
        return (all(k in accepted for k in value) and
                all(k in value and any(same(value[k], a) for a in options)
                    or k not in value and "" in options
                    for k, options in accepted.items()
                    if isinstance(options, list)))
    return plain(value) == plain(accepted)


def argument_hits(arguments, truth):
    """(arguments of the ground truth that are right, how many there are)."""
    right = 0
    for name, options in truth.items():
        right += (any(same(arguments[name], o) for o in options) if name in arguments
                  else "" in options)
    return right, len(truth)


def judge(answer, row):
    tools = {f["name"]: schema_of(f["parameters"]) for f in row["functions"]}
    calls = [(c["function"]["name"], json.loads(c["function"]["arguments"]))
             for c in answer.get("tool_calls", [])]
    truth = [next(iter(t.items())) for t in row["ground_truth"]]
    out = {"cut": answer["finish"] == "length",
           "valid": all(name in tools and satisfies(arguments, tools[name])
                        for name, arguments in calls),
           "names": collections.Counter(n for n, _ in calls) ==
                    collections.Counter(n for n, _ in truth),
           "right": 0, "of": 0, "exact": False, "calls": len(calls)}
    if out["names"] and truth:
        best = max(itertools.islice(itertools.permutations(calls), 720),
                   key=lambda order: sum(argument_hits(a, t)[0] if n == m else -1000
                                         for (n, a), (m, t) in zip(order, truth)))
        extra = any(k not in t for (_, a), (_, t) in zip(best, truth) for k in a)
        for (_, arguments), (_, wanted) in zip(best, truth):
            right, of = argument_hits(arguments, wanted)
            out["right"] += right
            out["of"] += of
        out["exact"] = out["right"] == out["of"] and not extra
    elif out["names"]:
        out["exact"] = True
    return out


def ask(args, rows, choice):
    """The answers of one process, and the seconds it took."""
    lines = "\n".join(json.dumps({
        "messages": row["messages"], "tool_choice": choice,
        "tools": [{"type": "function", "function": {
            "name": f["name"], "description": f["description"],
            "parameters": schema_of(f["parameters"])}} for f in row["functions"]],
    }) for row in rows)
    begin = time.perf_counter()
    done = subprocess.run(
        [args.stint, "run", "-m", args.model, "--jsonl", "-n", str(args.tokens),
         "--max-tool-calls", str(args.max_calls)],
        input=lines, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    cut = any(a["finish"] == "length" for a in answers)  # which is an error in the end
    if len(answers) != len(rows) or (done.returncode != 0) != cut:
        sys.stderr.write(done.stderr)
        sys.exit(f"bfcl.py: stint run ends with {done.returncode}, "
                 f"{len(answers)} answers to {len(rows)} rows")
    return answers, time.perf_counter() - begin


def share(n, of):
    return f"{100 * n / of:.1f} %" if of else "-"


def measure(args, name):
    with gzip.open(os.path.join(args.data, name + ".jsonl.gz"), "rt", encoding="utf-8") as f:
        rows = [json.loads(line) for line in itertools.islice(f, args.rows)]
    choice = args.choice or ("auto" if name == "irrelevance" else "required")
    answers, seconds = ask(args, rows, choice)
    found = [judge(a, r) for a, r in zip(answers, rows)]
    if args.show:
        for a, r, j in zip(answers, rows, found):
            print(json.dumps({"question": r["messages"][-1]["content"], "answer": a,
                              "truth": r["ground_truth"], "judged": j}))
    cut = sum(j["cut"] for j in found)
    valid = sum(j["valid"] and not j["cut"] for j in found)
    print(f"{name:14} {choice:9} rows {len(rows):4}  valid {share(valid, len(rows) - cut):8}"
          f" cut {cut:3}  names {share(sum(j['names'] for j in found), len(found)):8}"
          f" args {share(sum(j['right'] for j in found), sum(j['of'] for j in found)):8}"
          f" exact {share(sum(j['exact'] for j in found), len(found)):8}"
          f" {len(rows) / seconds:.2f} rows/s", flush=True)
    return valid == len(rows) - cut


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("stint")
    p.add_argument("data")
    p.add_argument("--model", default=".cache/models/smollm2-135m-instruct.gguf")
    p.add_argument("--rows", type=int, default=50, help="of each set")
    p.add_argument("--only", default=",".join(SETS))
    p.add_argument("--choice", choices=("auto", "required"),
                   help="tool_choice; required, and auto of irrelevance, when not given")
    p.add_argument("--tokens", type=int, default=400)
    p.add_argument("--max-calls", type=int, default=8)
    p.add_argument("--show", action="store_true", help="print every row, answer and judgement")
    args = p.parse_args()
    whole = [measure(args, name) for name in args.only.split(",")]
    return 0 if all(whole) else 1


if __name__ == "__main__":
    sys.exit(main())
