# SPDX-License-Identifier: Apache-2.0
"""Keeps the rows of the benchmarks that have a plot (bench/results/<scenario>.json), and draws the plots of docs/performance.md
from those that are there. `bench/run --keep` does it for what it measured; `python bench/plots.py` only draws.

Rows of the scenarios serialization_<language> have
    language="C++", codec="penstock_client", write=[multiple of one copy, ...], read=[multiple of one copy, ...]
and those of throughput
    model="identity", server="GraphPipe", clients=1, rows_per_second=123.4
Further members are for people. Those of shard_times have no plot: bench/scale_out/scatter.py reads them."""
import json
import math
import pathlib
import subprocess
import time
from xml.sax.saxutils import escape

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS, IMAGES = ROOT / "bench" / "results", ROOT / "docs" / "images"
WIDTH, LEFT, RIGHT, LINE, TOP = 820, 390, 40, 22, 64
# Colours that can be told apart on white and on black, also by those who see no red or green; shapes for everybody else.
STYLE = """text{font:13px sans-serif;fill:#1f2328}.title{font-size:15px}.group{font-weight:bold}.grid{stroke:#d8dee4}
.first{fill:#0969da}.second{fill:#bc4c00}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.grid{stroke:#30363d}.first{fill:#58a6ff}.second{fill:#f0883e}}"""


def is_kept(scenario):
    return scenario in ("throughput", "shard_times") or scenario.startswith("serialization_") and not scenario.endswith("_calls")


def keep(scenario, rows):
    RESULTS.mkdir(exist_ok=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True,
                            check=False).stdout.strip()
    text = ",\n".join("  " + json.dumps(row) for row in rows)
    (RESULTS / f"{scenario}.json").write_text(
        f'{{"scenario": "{scenario}", "commit": "{commit}", "date": "{time.strftime("%Y-%m-%d")}", "rows": [\n{text}\n]}}\n')


def kept(pattern):
    """The rows of all results whose names fit."""
    return [row for path in sorted(RESULTS.glob(pattern)) for row in json.loads(path.read_text())["rows"]]


def dot_plot(title, axis, series, groups):
    """An SVG with a line for each label and a dot for each of its two values, on a logarithmic axis. `series`: the names of
    the values. `groups`: {heading: {label: (value, value)}}."""
    values = [value for lines in groups.values() for pair in lines.values() for value in pair]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) + 1e-9)

    def x(value):
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(value) - low) / (high - low)
    bottom = TOP + LINE * sum(1 + len(lines) for lines in groups.values())
    height = bottom + 44
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">',
           f'<style>{STYLE}</style>', f'<text class="title" x="12" y="22">{escape(title)}</text>',
           f'<circle class="first" cx="18" cy="42" r="5"/><text x="30" y="46">{escape(series[0])}</text>',
           f'<rect class="second" x="{LEFT - 5}" y="37" width="10" height="10"/>',
           f'<text x="{LEFT + 12}" y="46">{escape(series[1])}</text>']
    for power in range(low, high + 1):
        at = x(10**power)
        out.append(f'<path class="grid" d="M{at:.0f} {TOP}V{bottom}"/>'
                   f'<text x="{at:.0f}" y="{bottom + 17}" text-anchor="middle">{10**power:,.{max(-power, 0)}f}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{bottom + 36}" text-anchor="middle">{escape(axis)}</text>')
    y = TOP
    for heading, lines in groups.items():
        out.append(f'<text class="group" x="12" y="{y + 16}">{escape(heading)}</text>')
        y += LINE
        for label, (first, second) in lines.items():
            out.append(f'<path class="grid" d="M{LEFT} {y + 11}H{WIDTH - RIGHT}"/>'
                       f'<text x="24" y="{y + 16}">{escape(label)}</text>'
                       f'<rect class="second" x="{x(second) - 5:.1f}" y="{y + 6}" width="10" height="10"/>'
                       f'<circle class="first" cx="{x(first):.1f}" cy="{y + 11}" r="5"/>')
            y += LINE
    return "\n".join([*out, "</svg>\n"])


def draw():
    IMAGES.mkdir(exist_ok=True)
    groups = {}
    for row in kept("serialization_*.json"):
        groups.setdefault(row["language"], {})[row["codec"]] = (row["write"][0], row["read"][0])
    if groups:
        (IMAGES / "serialization.svg").write_text(dot_plot(
            "Tensors to messages and back", "multiples of one copy of the tensor; less is better",
            ("request to bytes", "answer from bytes"), groups))
    rates = {}
    for row in kept("throughput.json"):
        rates.setdefault(row["model"], {}).setdefault(row["server"], {})[row["clients"]] = row["rows_per_second"]
    if rates:
        (IMAGES / "throughput.svg").write_text(dot_plot(
            "Rows per second of one core", "rows per second; more is better", ("1 client", "5 clients"),
            {model: {server: (each[1], each[5]) for server, each in servers.items()} for model, servers in rates.items()}))


if __name__ == "__main__":
    draw()
