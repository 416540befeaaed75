# SPDX-License-Identifier: Apache-2.0
"""What tables cost without a network: 10 million rows of 256 bytes, in memory and on the disk; and 4 GB in 1 GB of memory.
The files take up to 4.6 GB: PENSTOCK_TABLE_FOLDER says where those of the first one are kept; all others are temporary."""
import collections
import contextlib
import os
import statistics
import subprocess
import tempfile

from pairs import row
from servers import BUILD

ROWS = 10_000_000
LARGE_ROWS, HOT_ROWS, MEMORY = 16_000_000, 50_000, 1 << 30
PROGRAM = BUILD / "bench" / "tables" / "tables_alone"


def figures_of(command, folder, number, **more):
    output = subprocess.run([PROGRAM, command, folder, str(number)], check=True, capture_output=True, text=True, **more).stdout
    figures = collections.defaultdict(list)
    for line in output.splitlines():
        name, figure = line.split()
        figures[name].append(float(figure))
    return figures


def run(rounds):
    with tempfile.TemporaryDirectory() as temporary:
        folder = os.environ.get("PENSTOCK_TABLE_FOLDER", temporary)
        if not os.path.exists(f"{folder}/table.json"):
            figures_of("make", folder, ROWS)
        figures = figures_of("measure", folder, rounds)

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


@contextlib.contextmanager
def memory_limit(limit):
    """A cgroup in that of this process, for processes that have so much memory, page cache included. None if none can be made."""
    with open("/proc/self/cgroup", encoding="ascii") as file:
        own = [line.rstrip("\n").split(":", 2) for line in file]
    places = [(f"/sys/fs/cgroup/memory{path}", "memory.limit_in_bytes") for _, kinds, path in own if kinds == "memory"]
    places += [(f"/sys/fs/cgroup{path}", "memory.max") for _, kinds, path in own if not kinds]
    for folder, name in places:
        group = f"{folder}/penstock-bench-{os.getpid()}"
        with contextlib.ExitStack() as cleanup:
            try:
                os.mkdir(group)
                cleanup.callback(os.rmdir, group)
                # Without O_CREAT, because the kernel has such a file or not.
                with open(f"{group}/{name}", "r+", encoding="ascii") as file:
                    file.write(str(limit))
            except OSError:
                continue
            yield group
            return
    yield None


def entering(group):
    """What a child does before it becomes the program."""
    def enter():
        with open(f"{group}/cgroup.procs", "w", encoding="ascii") as file:
            file.write("0")
    return None if group is None else enter


def run_past_memory(_):
    with tempfile.TemporaryDirectory() as folder, memory_limit(MEMORY) as group:
        figures_of("make", folder, LARGE_ROWS)
        free = figures_of("hot", folder, HOT_ROWS)
        # Pages that are in memory already would not count for the group.
        figures_of("drop", folder, 0)
        tight = figures_of("hot", folder, HOT_ROWS, preexec_fn=entering(group))
    hot, any_row = tight["hot_us"][0], tight["any_us"][0]
    times = hot / free["hot_us"][0]
    where = "1 GB of memory" if group else "memory that had none of it (no cgroup could be made)"
    yield row(f"a table of 4 GB in {where}: 500 of 50,000 hot rows, p50, while every tenth request is for any rows; "
              "against unlimited memory",
              f"{hot:.1f} us, {times:.2f}x ({any_row / 1000:.2g} ms for any rows)", "<= 1.5x", times <= 1.5,
              tight=tight, free=free)
