#!/usr/bin/env python3
"""Every header compiles alone: check_headers.py CC [FLAG...], from the project's root."""
import glob
import subprocess
import sys

rooms = ("base gguf kernels stats template tokenizer model engine expert task eval cli").split()
wrong = headers = 0
for room in rooms:
    for path in sorted(glob.glob(f"{room}/*.h")):
        headers += 1
        command = sys.argv[1:] + ["-std=c17", "-D_POSIX_C_SOURCE=200809L", "-I.", "-Wall",
                                  "-Wextra", "-Werror", "-fsyntax-only", "-x", "c", path]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            wrong += 1
            print(done.stderr.strip())
print(f"headers: {headers} compiled alone, {wrong} failed")
sys.exit(1 if wrong or not headers else 0)
