# SPDX-License-Identifier: Apache-2.0
"""What a table of 10 million rows of 256 bytes costs, without a network. The files take 2.9 GB: PENSTOCK_TABLE_FOLDER says
where they are kept; without it they are made in a temporary folder."""
import collections
import os
import statistics
import subprocess
import tempfile

from pairs import row
from servers import BUILD

ROWS = 10_000_000
PROGRAM = BUILD / "bench" / "tables" / "tables_alone"


def run(rounds):
    with tempfile.TemporaryDirectory() as temporary:
        folder = os.environ.get("PENSTOCK_TABLE_FOLDER", temporary)
        if not os.path.exists(f"{folder}/table.json"):
            subprocess.run([PROGRAM, "make", folder, str(ROWS)], check=True)
        output = subprocess.run([PROGRAM, "measure", folder, str(rounds)], check=True, capture_output=True, text=True).stdout
    figures = collections.defaultdict(list)
    for line in output.splitlines():
        name, figure = line.split()
        figures[name].append(float(figure))

    def limited(case, name, unit, limit):
        value = statistics.median(figures[name])
        return row(case, f"{value:.3g} {unit}".strip(), f"<= {limit} {unit}".strip(), value <= limit, figures=figures[name])

    yield limited("500 rows of 256 bytes of 10 million, in memory: time, p50", "warm_us", "us", 60)
    yield limited("the same: CPU of a row", "warm_cpu_us", "us", 0.15)
    yield limited("a table of 10 million rows: opened, with its index", "open_ms", "ms", 50)
    yield limited("the same: anonymous memory of a row", "memory_bytes", "bytes", 1)
    yield limited("the same: index of a row", "index_bytes", "bytes", 30)
    yield row("the same: the index is made", f"{figures['index_ms'][0] / 1000:.2f} s", "none", True)
    cold, touched = figures["cold_ms"][0], figures["touched_ms"][0]
    yield row("500 rows that are only on the disk, against touching one after the other",
              f"{touched / cold:.1f}x faster ({cold:.2f} ms against {touched:.2f})", ">= 3x", touched >= 3 * cold)
