#!/usr/bin/env python3
"""House style that a machine can judge: check_style.py [ROOT].

Every C file: opens with a comment that names it, no tabs, no trailing blanks, at most 90
columns, no // comments, no banned function, functions of at most 100 lines (kernels and
tables apart), headers guarded by their path.  Exit 0 only when nothing is found."""
import os
import re
import sys

ROOMS = ("base gguf kernels stats net template tokenizer model grammar engine expert task eval serve cli "
         "tests bench").split()
COLUMNS = 90
FUNCTION_LINES = 100
LONG_FUNCTIONS = ("kernels/",)  # register tiles are one idea however long
BANNED = {  # function -> what to use
    "strcpy": "memcpy with a checked length",
    "strcat": "st_buf",
    "sprintf": "snprintf or st_buf_fmt",
    "vsprintf": "vsnprintf",
    "gets": "st_file_read",
    "strtok": "an explicit loop",
    "atoi": "strtol with checks",
    "atof": "strtod with checks",
    "alloca": "st_alloc",
    "system": "nothing: rooms start no shells",
    "tmpnam": "mkstemp",
    "mktemp": "mkstemp",
    "rand": "st_rng",
}
LIBRARY_BANNED = {"exit": "return an error", "abort": "return an error",
                  "printf": "return text to the caller", "perror": "st_err_set"}
ALLOC = re.compile(r"(?<![\w.>])(malloc|calloc|realloc|strdup|free)\s*\(")
CALL = re.compile(r"(?<![\w.>])(\w+)\s*\(")


def strip(text):
    """Code with comments and string bodies blanked, line structure kept."""
    out, i, n = [], 0, len(text)
    slashes = []
    while i < n:
        two = text[i:i + 2]
        if two == "/*":
            end = text.find("*/", i + 2)
            end = n if end < 0 else end + 2
            out.append(re.sub(r"[^\n]", " ", text[i:end]))
            i = end
        elif two == "//":
            slashes.append(text.count("\n", 0, i) + 1)
            end = text.find("\n", i)
            end = n if end < 0 else end
            i = end
        elif text[i] in "\"'":
            quote, j = text[i], i + 1
            while j < n and text[j] != quote and text[j] != "\n":
                j += 2 if text[j] == "\\" else 1
            out.append(quote + " " * (j - i - 1) + quote)
            i = j + 1
        else:
            out.append(text[i])
            i += 1
    return "".join(out), slashes


def long_functions(code):
    """(line, length) of each function body that opens in column 0."""
    start = None
    for number, line in enumerate(code.split("\n"), 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            yield start, number - start + 1
            start = None


def check(path, rel):
    text = open(path, encoding="utf-8").read()
    code, slashes = strip(text)
    found = [(n, "// comment: write /* */") for n in slashes]
    if not text.startswith(f"/* {rel} - "):
        found.append((1, f'must open with "/* {rel} - what it is."'))
    for n, line in enumerate(text.split("\n"), 1):
        if "\t" in line:
            found.append((n, "tab"))
        if line != line.rstrip():
            found.append((n, "trailing blank"))
        if len(line) > COLUMNS:
            found.append((n, f"{len(line)} columns"))
    library = not rel.startswith(("cli/", "tests/", "bench/"))
    for n, line in enumerate(code.split("\n"), 1):
        for call in CALL.findall(line):
            hint = BANNED.get(call) or (LIBRARY_BANNED.get(call) if library else None)
            if hint:
                found.append((n, f"{call}(): use {hint}"))
        if library and rel != "base/mem.c" and ALLOC.search(line):
            found.append((n, "use base/mem.h"))
    if not rel.startswith(LONG_FUNCTIONS):
        for n, length in long_functions(code):
            if length > FUNCTION_LINES:
                found.append((n, f"function of {length} lines"))
    if rel.endswith(".h"):
        guard = re.sub(r"\W", "_", rel).upper()
        if f"#ifndef {guard}\n#define {guard}\n" not in text:
            found.append((1, f"guard must be {guard}"))
    return found


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else "."
    files = wrong = 0
    names = {}
    for room in ROOMS:
        for folder, _, entries in os.walk(os.path.join(root, room)):
            for name in sorted(entries):
                if not name.endswith((".c", ".h")):
                    continue
                path = os.path.join(folder, name)
                rel = os.path.relpath(path, root)
                files += 1
                for line, what in check(path, rel):
                    print(f"{rel}:{line}: {what}")
                    wrong += 1
                if name in names:
                    print(f"{rel}:1: file name also used by {names[name]}")
                    wrong += 1
                names[name] = rel
    print(f"style: {files} files read, {wrong} findings")
    return 1 if wrong or not files else 0


sys.exit(main())
