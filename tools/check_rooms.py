#!/usr/bin/env python3
"""Compare every #include between rooms with the table of levels in ARCHITECTURE.md's house.

check_rooms.py [ROOT]: prints each include that goes up or sideways; exit 0 only when none."""
import os
import re
import sys

# Each room and the rooms it may include.  `base` is always allowed.
ALLOWED = {
    "base": set(),
    "kernels": set(),
    "stats": set(),
    "net": set(),
    "gguf": set(),
    "template": set(),
    "tokenizer": {"gguf"},
    "model": {"gguf", "kernels"},
    "grammar": {"tokenizer"},
    "engine": {"model", "tokenizer", "grammar", "kernels", "gguf"},
    "expert": {"engine", "template", "stats", "model", "tokenizer", "gguf", "kernels"},
    "task": {"expert", "engine", "grammar", "template", "stats", "model", "tokenizer", "gguf"},
    "bench": {"engine", "model", "kernels", "grammar", "tokenizer", "gguf"},
    "eval": {"task", "expert", "stats"},
    "serve": {"task", "expert", "engine", "grammar", "template", "stats", "model", "tokenizer",
              "net"},
}
ALL = set(ALLOWED)
ALLOWED["cli"] = ALL - {"cli"}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else "."
    wrong = checked = 0
    for room in sorted(ALLOWED):
        for folder, _, names in os.walk(os.path.join(root, room)):
            for name in sorted(names):
                if not name.endswith((".c", ".h")):
                    continue
                path = os.path.join(folder, name)
                for number, line in enumerate(open(path, encoding="utf-8"), 1):
                    found = INCLUDE.match(line)
                    if not found:
                        continue
                    checked += 1
                    target = found.group(1).split("/")[0]
                    if "/" not in found.group(1):
                        print(f'{path}:{number}: write "{room}/{found.group(1)}"')
                    elif target in {room, "base"} | ALLOWED[room]:
                        continue
                    else:
                        print(f"{path}:{number}: {room} may not include {target}")
                    wrong += 1
    for room in sorted(ALLOWED):
        if os.path.isdir(os.path.join(root, room)) and not os.path.exists(
            os.path.join(root, room, "README.md")
        ):
            print(f"{room}: no README.md with the room's rules")
            wrong += 1
    print(f"rooms: {checked} includes read, {wrong} wrong")
    return 1 if wrong or not checked else 0


sys.exit(main())
