#!/usr/bin/env python3
"""What bench/peers.py measured: a line, tables in Markdown, and a page of its own with drawings.

  report.py results.json OUT_DIR        writes table.md and index.html again
"""
import html
import json
import pathlib
import re
import sys

NAMES = {"firesteel": "Firesteel", "as-is": "TorchScript, as it is", "frozen": "TorchScript, frozen", "optimized": "TorchScript, optimized", "eager": "eager", "aoti": "AOTInductor, Python",
         "aoti-c++": "AOTInductor, C++", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
# One colour for each, readable on light and dark; Firesteel's stands out.
COLOURS = {"firesteel": "#e4572e", "as-is": "#9aa5b1", "frozen": "#8793a0", "optimized": "#75818f", "eager": "#b7bfc8", "aoti": "#6fb98f", "aoti-c++": "#3a9b6f", "onnxruntime": "#4f86c6", "openvino": "#8367c7"}


def model_names():
    text = (pathlib.Path(__file__).resolve().parent / "zoo.py").read_text()
    return re.findall(r'"(\w+)"', text.split("ORDER = [")[1].split("]")[0])


# ---- what follows from the numbers ----

def ran(result):
    return {e: x for e, x in result["engines"].items() if "p50_ms" in x and x.get("right")}


def best_peer(result):
    peers = {e: x["p50_ms"] for e, x in ran(result).items() if e != "firesteel"}
    return min(peers, key=peers.get) if peers else None


def ratio(result, a, b):
    """(median, low, high) over the rounds; a tie when 1 lies between low and high."""
    xs, ys = (result["engines"][e]["turn_medians_ms"] for e in (a, b))
    r = sorted(x / y for x, y in zip(xs, ys))
    if not r:
        x, y = result["engines"][a]["p50_ms"], result["engines"][b]["p50_ms"]
        return x / y, x / y, x / y
    return r[len(r) // 2], r[len(r) // 10], r[min(len(r) - 1, len(r) * 9 // 10)]


def percent(result, engine):
    """Of what the roof allows: arithmetic, or reading the weights once, whichever takes longer."""
    roof = result["roof"]
    floor_ms = max(2 * result["macs"] / roof["gflops"], result["parameters"] * 4 / roof["read_gbs"]) / 1e6
    return 100 * floor_ms / result["engines"][engine]["p50_ms"] if result["macs"] else None


def verdict(result):
    peer = best_peer(result)
    if not peer or "firesteel" not in ran(result):
        return ""
    median, low, high = ratio(result, "firesteel", peer)
    return f"{median:.2f} ({low:.2f} to {high:.2f}){' a tie' if low <= 1 <= high else ''}"


def ms(value):
    return f"{value:.1f}" if value >= 100 else f"{value:.2f}" if value >= 1 else f"{value:.3f}" if value >= 0.1 else f"{value:.4f}"


def why_not(x):
    if not x:
        return "not run"
    if "error" in x["build"]:
        return "refused"
    if "error" in x:
        return "failed"
    return "WRONG" if x.get("right") is False else "not run"


def line(name, result):
    cells = [f"{NAMES[e]} {ms(x['p50_ms'])}" if "p50_ms" in x and x.get("right") else f"{NAMES[e]} {why_not(x)}" for e, x in result["engines"].items()]
    return f"{name}: {', '.join(cells)}; to the best peer {verdict(result) or '-'}"


# ---- Markdown ----

def table(results, title, cell, last=()):
    engines = [e for e in NAMES if any(e in r["engines"] for r in results.values())]
    out = [f"### {title}", "", "| model | " + " | ".join(NAMES[e] for e in engines) + "".join(f" | {name}" for name, _ in last) + " |", "|" + "---|" * (len(engines) + len(last) + 1)]
    for name, r in results.items():
        cells = []
        for e in engines:
            x = r["engines"].get(e)
            try:
                cells.append(cell(r, e, x))
            except (KeyError, TypeError):
                cells.append(why_not(x))
        out.append(f"| {name} | " + " | ".join(cells + [text(r) for _, text in last]) + " |")
    return "\n".join(out) + "\n\n"


def tables(results):
    def latency(r, e, x):
        if not x["right"]:
            return "WRONG"
        text = ms(x["p50_ms"])
        return f"**{text}**" if e == min(ran(r), key=lambda k: r["engines"][k]["p50_ms"]) else text

    def roof_text(r):
        share = percent(r, "firesteel") if "firesteel" in ran(r) else None
        return f"{share:.0f} %" if share else "-"

    def best_text(r):
        return NAMES[best_peer(r)] if best_peer(r) else "-"

    text = table(results, "Latency, median ms (bold: the fastest)", latency, [("best peer", best_text), ("Firesteel to it", verdict), ("of roof", roof_text)])
    text += table(results, "Process start to first result, ms", lambda r, e, x: ms(x["start_us"] / 1e3))
    text += table(results, "Peak resident memory, MB", lambda r, e, x: f"{x['peak_kb'] / 1024:.0f}")
    text += table(results, "p99 over median", lambda r, e, x: f"{x['p99_ms'] / x['p50_ms']:.2f}")
    text += table(results, "Compiled or converted in, s", lambda r, e, x: f"{x['build']['build_s']:.1f}")
    text += table(results, "Artifact, MB", lambda r, e, x: f"{x['build']['artifact_bytes'] / 1e6:.3g}")
    reasons = [f"- {name}, {NAMES[e]}: {x.get('error') or x['build'].get('error')}" for name, r in results.items() for e, x in r["engines"].items() if x.get("error") or x["build"].get("error")]
    return text + ("### Why some did not run\n\n" + "\n".join(reasons) + "\n" if reasons else "")


# ---- the page ----

def bars(result, name):
    """Horizontal bars of p50, the scale being the slowest; a tick marks what the roof allows."""
    rows = sorted(ran(result).items(), key=lambda item: item[1]["p50_ms"])
    if not rows:
        return ""
    slowest, left, width, step = rows[-1][1]["p50_ms"], 170, 430, 20
    out = [f'<svg viewBox="0 0 {left + width + 90} {step * len(rows) + 6}" role="img" aria-label="{html.escape(name)}">']
    for i, (engine, x) in enumerate(rows):
        y, w = i * step, max(1.0, width * x["p50_ms"] / slowest)
        weight = ' font-weight="600"' if engine == "firesteel" else ""
        out.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end"{weight}>{html.escape(NAMES[engine])}</text><rect x="{left}" y="{y + 3}" width="{w:.1f}" height="14" rx="2" fill="{COLOURS[engine]}"/>'
                   f'<text x="{left + w + 6:.1f}" y="{y + 14}"{weight}>{ms(x["p50_ms"])} ms</text>')
    share = percent(result, rows[0][0])
    if share:
        at = left + width * rows[0][1]["p50_ms"] * share / 100 / slowest
        out.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{step * len(rows)}" class="roof"><title>what the roof allows</title></line>')
    return "\n".join(out + ["</svg>"])


def summary(results):
    """Firesteel against the best peer of every model, on one logarithmic axis around 1."""
    import math

    rows = [(name, *ratio(r, "firesteel", best_peer(r)), best_peer(r)) for name, r in results.items() if best_peer(r) and "firesteel" in ran(r)]
    if not rows:
        return ""
    rows.sort(key=lambda row: row[1])
    span = max(1.5, *(max(row[3], 1 / row[2]) for row in rows))
    left, width, step = 170, 460, 20

    def x(value):
        return left + width / 2 + width / 2 * math.log(value) / math.log(span)

    height = step * len(rows) + 24
    out = [f'<svg viewBox="0 0 {left + width + 150} {height}" role="img" aria-label="Firesteel to the best peer">', f'<line x1="{x(1)}" x2="{x(1)}" y1="0" y2="{height - 20}" class="axis"/>']
    for i, (name, median, low, high, peer) in enumerate(rows):
        y, tie = i * step, low <= 1 <= high
        colour = "var(--quiet)" if tie else "#2e9e5b" if median < 1 else "#c8452f"
        out.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{html.escape(name)}</text><line x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{y + 10}" y2="{y + 10}" stroke="{colour}" stroke-width="2"/>'
                   f'<circle cx="{x(median):.1f}" cy="{y + 10}" r="4.5" fill="{colour}"/><text x="{left + width + 8}" y="{y + 14}">{median:.2f} of {html.escape(NAMES[peer])}{", tie" if tie else ""}</text>')
    out.append(f'<text x="{x(1) - 8:.1f}" y="{height - 4}" text-anchor="end">faster</text><text x="{x(1) + 8:.1f}" y="{height - 4}">slower</text></svg>')
    return "\n".join(out)


STYLE = """
:root { --ink: #1c2530; --paper: #ffffff; --quiet: #6b7785; --rule: #d9dee4 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaef; --paper: #14181d; --quiet: #93a0ad; --rule: #333c46 } }
body { margin: 2rem auto; max-width: 62rem; padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper) }
h1, h2, h3 { line-height: 1.2; font-weight: 600 } h3 { margin: 1.6rem 0 .2rem }
p, .note { color: var(--quiet) } svg { width: 100%; max-width: 46rem; display: block } svg text { fill: var(--ink); font-size: 12px }
.axis { stroke: var(--rule); stroke-width: 1 } .roof { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 3 3 }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto } td, th { padding: .25rem .6rem; border-bottom: 1px solid var(--rule); text-align: right; white-space: nowrap }
td:first-child, th:first-child { text-align: left }
"""


def table_html(markdown):
    out = []
    for block in markdown.split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|") and not line.startswith("|---")]
        if block.startswith("### "):
            out.append(f"<h2>{html.escape(block[4:])}</h2>")
        elif rows:
            cells = [[re.sub(r"\*\*(.*?)\*\*", r"<b>\1</b>", html.escape(c.strip())) for c in row.strip("|").split("|")] for row in rows]
            out.append("<table>" + "".join("<tr>" + "".join(f"<{'th' if i == 0 else 'td'}>{c}</{'th' if i == 0 else 'td'}>" for c in row) + "</tr>" for i, row in enumerate(cells)) + "</table>")
        elif block.startswith("- "):
            out.append("<ul class='note'>" + "".join(f"<li>{html.escape(item[2:])}</li>" for item in block.splitlines()) + "</ul>")
    return "\n".join(out)


def page(results):
    roofs = [r["roof"] for r in results.values()]
    told = f"{max(r['gflops'] for r in roofs):.0f} GFLOP/s ({roofs[0]['level']})" if roofs else ""
    models = "\n".join(f"<h3>{html.escape(name)}</h3>\n<div class='note'>{2 * r['macs'] / 1e6:.4g} MFLOP, {r['parameters'] * 4 / 1e6:.3g} MB of weights; to the best peer: {verdict(r) or '-'}</div>\n{bars(r, name)}"
                       for name, r in results.items())
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Firesteel and its peers</title><style>{STYLE}</style>
<h1>Firesteel and its peers</h1>
<p>Batch 1, float32, one thread pinned to one CPU; a process for each engine, in turns; outputs checked first. The CPU's own measured roof: {told}. Dashed lines: what that roof
allows. A tie: 1 lies within the spread of the rounds.</p>
<h2>Firesteel to the best peer</h2>
{summary(results)}
<h2>Each model, median ms</h2>
{models}
{table_html(tables(results))}
</html>
"""


if __name__ == "__main__":
    measured, folder = json.loads(pathlib.Path(sys.argv[1]).read_text()), pathlib.Path(sys.argv[2])
    (folder / "table.md").write_text(tables(measured))
    (folder / "index.html").write_text(page(measured))
