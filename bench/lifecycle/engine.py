# SPDX-License-Identifier: Apache-2.0
"""The engine alone: finding and running an empty servable while versions come and go."""
import collections
import statistics
import subprocess

from pairs import row
from servers import BUILD

WHAT = {"find": "Manager::GetHandle", "run": "Engine::Find and Run of an empty servable"}
RATE_MIN, SHARED_MIN = 5.0, 0.95


def run(rounds):
    output = subprocess.run([BUILD / "bench" / "lifecycle" / "engine_alone", str(3 * rounds), "2"], check=True,
                            capture_output=True, text=True).stdout
    rates, published = collections.defaultdict(list), 0
    for line in output.splitlines():
        what, threads, managers, rate, versions = line.split()
        rates[what, threads, managers].append(float(rate))
        published += int(versions)
    for what, name in WHAT.items():
        one = statistics.median(rates[what, "1", "shared"])
        yield row(f"{name}, 1 thread, versions switched all the time ({published} in all)",
                  f"{one:.1f}M/s per core", f">= {RATE_MIN:.0f}M/s", one >= RATE_MIN, figures=rates[what, "1", "shared"])
        shared, own = rates[what, "2", "shared"], rates[what, "2", "own"]
        got = statistics.median(a / b for a, b in zip(shared, own))
        yield row("the same, 2 threads, against 2 that share nothing",
                  f"{got:.2f}x ({statistics.median(shared):.1f}M/s per core against {statistics.median(own):.1f})",
                  f">= {SHARED_MIN}x", got >= SHARED_MIN, shared=shared, own=own)
