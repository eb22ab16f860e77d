#!/usr/bin/env python3
"""Every header compiles alone: check_headers.py CC [FLAG...], from the project's root."""
import glob
import subprocess
import sys

rooms = ("base net gguf kernels stats template tokenizer model grammar engine expert task eval cli").split()
# Headers of one instruction set, and those written over the names of such a header.
avx2 = ["-mavx2", "-mfma", "-mf16c"]
avx512 = avx2 + ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"]
over = avx2 + ["-include", "kernels/vec_avx2.h"]
flags = {"kernels/vec_avx2.h": avx2, "kernels/vec_avx512.h": avx512,
         "kernels/ops_vec.h": over, "kernels/attn_vec.h": over,
         "kernels/kv8_float.h": over, "kernels/unpack_vec.h": over,
         "kernels/table_vec.h": over}
# tools/check_neon.sh compiles the first; the others are parts of a table's file.
foreign = {"kernels/vec_neon.h", "kernels/block_vec.h", "kernels/dots_maddubs.h",
           "kernels/kv8_vec.h"}
wrong = headers = 0
for room in rooms:
    for path in sorted(glob.glob(f"{room}/*.h")):
        if path in foreign:
            continue
        headers += 1
        command = sys.argv[1:] + ["-std=c17", "-D_POSIX_C_SOURCE=200809L", "-I.", "-Wall",
                                  "-Wextra", "-Werror", "-fsyntax-only", *flags.get(path, []), "-x", "c", path]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            wrong += 1
            print(done.stderr.strip())
print(f"headers: {headers} compiled alone, {wrong} failed")
sys.exit(1 if wrong or not headers else 0)
