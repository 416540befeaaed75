# SPDX-License-Identifier: Apache-2.0
"""What rows in a Redis cluster cost on loopback: three masters and three replicas, on the same CPUs."""
import collections
import os
import statistics
import struct
import subprocess
import sys

from pairs import row
from servers import BUILD, ROOT

sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
import redis_cluster  # noqa: E402

ROWS = 200_000
PROGRAM = BUILD / "bench" / "tables" / "redis_alone"
LAYOUTS = {"sparse": (64, 0.55, "64 hashes"), "dense": (1023, 0.8, "blocks of 1,023")}


def measured(cluster, kind, rounds):
    parts = LAYOUTS[kind][0]
    rows = [struct.pack("<q", key) * 32 for key in range(ROWS)]
    flag = f"--partitions={parts}" if kind == "sparse" else f"--block_rows={parts}"
    address = cluster.addresses()[0]
    redis_cluster.push(BUILD / "penstock", address, f"bench_{kind}", rows if kind == "dense" else dict(enumerate(rows)), flag)
    output = subprocess.run([PROGRAM, address, f"bench_{kind}", kind, str(ROWS), str(parts), str(rounds)], check=True,
                            capture_output=True, text=True).stdout
    figures = collections.defaultdict(list)
    for line in output.splitlines():
        if line.startswith(("bare_", "store_", "miss_", "hit_")):
            name, figure = line.split()
            figures[name].append(float(figure))
    return figures


def run(rounds):
    with redis_cluster.Cluster() as cluster:
        for kind, (_, cpu_max, layout) in LAYOUTS.items():
            figures = measured(cluster, kind, rounds)
            cpu = statistics.median(figures["store_cpu_us"])
            yield row(f"500 rows of 256 bytes in a Redis cluster, {layout}: CPU of a row", f"{cpu:.3g} us",
                      f"<= {cpu_max} us", cpu <= cpu_max, figures=figures["store_cpu_us"])
            time, bare = (statistics.median(figures[name]) for name in ("store_us", "bare_us"))
            yield row("the same: time, p50, against a bare sender of the same commands",
                      f"{time:.0f} us, {time / bare:.2f}x", "<= 1.2x", time <= 1.2 * bare, figures=figures["store_us"])
            miss, hit = (statistics.median(figures[name]) for name in ("miss_cpu_us", "hit_cpu_us"))
            yield row("the same with a cache of hot rows that has none of them: CPU of a row, against no cache",
                      f"{miss:.3g} us, {miss / cpu:.2f}x", "<= 1.1x", miss <= 1.1 * cpu, figures=figures["miss_cpu_us"])
            yield row("the same with a cache that has all of them: CPU of a row", f"{hit:.3g} us", "", True,
                      figures=figures["hit_cpu_us"])
