"""From results to the tables of docs/performance.md and the picture beside them."""
import json
import os
import re
from xml.sax.saxutils import escape

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
OURS, AVX2 = "stint", "stint, STINT_CPU=avx2"
TITLES = {  # rows that compare speeds, in the order of the table
    "prefill": "prefill of 512 tokens",
    "decode": "decode, one stream",
    "decode_16": "decode, 16 streams",
    "options": "77 options listed, 16 waiting",
    "extract": "six fields as JSON, one stream",
    "extract_16": "six fields as JSON, 16 streams",
    "heads": "states for fitted heads, 20-token texts",
    "encoder": "states for fitted heads, 20-token texts",
}


def keep(path, about, rows, median):
    """Merge rows measured now into the file of results."""
    results = {"about": about, "rows": {}}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            results["rows"] = json.load(f)["rows"]
    for row, whats in rows.items():
        results["rows"][row] = {
            what: {side: {"unit": cell["unit"], "value": median(cell["values"]),
                          "least": min(cell["values"]), "most": max(cell["values"]),
                          "share": median(cell["shares"]) if cell["shares"] else None}
                   for side, cell in sides.items()}
            for what, sides in whats.items()}
    with open(path, "w", encoding="utf-8") as f:
        json.dump(results, f, indent=1)


def number(x):
    return f"{x:,.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def table(head, rows):
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(out + ["| " + " | ".join(r) + " |" for r in rows]) + "\n"


def figure(cell):
    if not cell:
        return "–"
    share = "" if cell["share"] is None else f" ({100 * cell['share']:.0f} %)"
    return number(cell["value"]) + share


def others(sides):
    return {k: v for k, v in sides.items() if not k.startswith("stint")}


def fastest(sides):
    rest = others(sides)
    return max(rest, key=lambda k: rest[k]["value"]) if rest else None


def speeds(rows):
    out = []
    for row, title in TITLES.items():
        for what, sides in rows.get(row, {}).items():
            peer = fastest(sides)
            ratios = [f"{sides[s]['value'] / sides[peer]['value']:.1f}x"
                      for s in (OURS, AVX2) if peer and s in sides]
            out.append([title, what, figure(sides.get(OURS)), figure(sides.get(AVX2)),
                        "<br>".join(f"{name} {number(c['value'])}"
                                    for name, c in others(sides).items()) or "–",
                        ", ".join(ratios) or "–", next(iter(sides.values()))["unit"]])
    return table(["work", "model", "stint (of the limit)", "with AVX2 (of its limit)",
                  "others", "stint, with AVX2: times the fastest other", "unit"], out)


def limits(rows):
    out = [[side] + [figure(rows["limits"].get(name, {}).get(side))
                     for name in ("int8_macs_per_s", "read_bytes_per_s")]
           for side in (OURS, AVX2)]
    return table(["", "int8, G multiplications a second", "memory read, GB/s"], out)


def neighbours(rows):
    out = []
    for name in ("prefill", "decode"):
        whats = rows.get(f"neighbour {name}", {})
        for side, quiet in whats.get("quiet", {}).items():
            busy = whats["busy neighbour"][side]
            out.append([name, side, number(quiet["value"]), number(busy["value"]),
                        f"{100 * busy['value'] / quiet['value']:.0f} %"])
    return table(["work", "program", "quiet, tokens/s", "beside a busy process", "kept"],
                 out)


def starts(rows):
    out = [[what.split(", ", 1)[1], side, number(c["value"]), c["unit"]]
           for row in ("start", "memory") for what, sides in rows.get(row, {}).items()
           for side, c in sides.items()]
    return table(["", "program", "", "unit"], out)


def text(results):
    rows, about = results["rows"], results["about"]
    parts = [f"{about['cpu']}, {about['threads']} processors, load {about['load']:.1f} "
             f"before the run, {about['date']}; {about['llama.cpp']}.\n"]
    if "limits" in rows:
        parts.append(limits(rows))
    parts.append(speeds(rows))
    if "neighbour decode" in rows:
        parts.append(neighbours(rows))
    if "start" in rows:
        parts.append(starts(rows))
    return "\n".join(parts)


# ---- the picture ----

WIDTH, LABELS, BAR, GAP, GROUP = 860, 330, 16, 4, 18
COLOURS = {OURS: "#1f6feb", AVX2: "#79b8ff", "stint --exact": "#79b8ff"}
OTHER = "#9a9a9a"


def groups(rows):
    """(title, sides) of each comparison that has another program in it."""
    for row, title in TITLES.items():
        for what, sides in rows.get(row, {}).items():
            if others(sides):
                yield f"{title}: {what}", sides


def bars(title, sides, y):
    most = max(c["value"] for c in sides.values())
    room = WIDTH - LABELS - 120
    out = [f'<text x="8" y="{y + 12}" class="title">{escape(title)}</text>']
    y += BAR + GAP
    for side, cell in sides.items():
        width = max(1, room * cell["value"] / most)
        label = f"{number(cell['value'])} {cell['unit']}"
        out += [
            f'<text x="{LABELS - 8}" y="{y + 12}" text-anchor="end">{escape(side)}</text>',
            f'<rect x="{LABELS}" y="{y}" width="{width:.1f}" height="{BAR}" '
            f'fill="{COLOURS.get(side, OTHER)}"/>',
            f'<text x="{LABELS + width + 6:.1f}" y="{y + 12}">{escape(label)}</text>']
        y += BAR + GAP
    return out, y + GROUP


def picture(results):
    body, y = [], 16
    for title, sides in groups(results["rows"]):
        part, y = bars(title, sides, y)
        body += part
    style = ("text { font: 13px sans-serif; fill: #24292f } "
             ".title { font-weight: bold }")
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
        f'viewBox="0 0 {WIDTH} {y}" role="img" aria-label="speeds side by side">',
        f"<style>{style}</style>", f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>',
        *body, "</svg>", ""])


def write(results_path, document, image):
    with open(results_path, encoding="utf-8") as f:
        results = json.load(f)
    with open(document, encoding="utf-8") as f:
        old = f.read()
    marked = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.S)
    if not marked.search(old):
        raise RuntimeError(f"{document} has no place for the tables")
    new = marked.sub(lambda _: f"{BEGIN}\n{text(results)}\n{END}", old)
    with open(document, "w", encoding="utf-8") as f:
        f.write(new)
    with open(image, "w", encoding="utf-8") as f:
        f.write(picture(results))
