"""The orders of `stint bench` (bench/orders.h), so that everybody is asked the same."""
import json
import os
import re

_HERE = os.path.dirname(os.path.abspath(__file__))


def _literals(text, macros):
    """A run of C string literals and macros as one text."""
    out = []
    for literal, name in re.findall(r'"((?:[^"\\]|\\.)*)"|\b(ORDERS_\w+)\b', text):
        out.append(macros[name] if name else json.loads(f'"{literal}"'))
    return "".join(out)


def _read():
    with open(os.path.join(_HERE, "..", "orders.h"), encoding="utf-8") as f:
        source = f.read().replace("\\\n", " ")
    macros = {}
    for name, body in re.findall(r"#define (ORDERS_[A-Z]+)[ \t]([^\n]*)", source):
        macros[name] = _literals(body, macros)
    body = re.search(r"orders_messages\[\] = \{(.*?)\n\};", source, re.S).group(1)
    messages, run = [], []
    for literal, comma in re.findall(r'"((?:[^"\\]|\\.)*)"\s*(,?)', body):
        run.append(json.loads(f'"{literal}"'))
        if comma:
            messages.append("".join(run))
            run = []
    return macros, messages


_MACROS, MESSAGES = _read()
SCHEMA = json.loads(_MACROS["ORDERS_SCHEMA"])
PROMPTS = [_MACROS["ORDERS_BEFORE"] + m + _MACROS["ORDERS_BEHIND"] for m in MESSAGES]


def check(text):
    """The text is an object as SCHEMA has it, as far as a bench needs to know."""
    value = json.loads(text)
    right = {"string": str, "integer": int, "boolean": bool}
    if list(value) != SCHEMA["required"] or any(
            not isinstance(value[k], right[s["type"]])
            for k, s in SCHEMA["properties"].items()):
        raise RuntimeError(f"not an order: {text}")
