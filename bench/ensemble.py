# SPDX-License-Identifier: Apache-2.0
"""What an ensemble costs beside its models, without a network."""
import collections
import statistics
import subprocess

from pairs import row
from servers import BUILD

CPU_MAX_US, PATH_MAX_US = 5, 10


def run(rounds):
    output = subprocess.run([BUILD / "bench" / "ensemble_alone", str(rounds)], check=True, capture_output=True, text=True).stdout
    figures = collections.defaultdict(list)
    for line in output.splitlines():
        name, figure = line.split()
        figures[name].append(float(figure))

    def beyond(name, model):
        return statistics.median(a - b for a, b in zip(figures[name], figures[model]))

    cpu = beyond("one", "model") / 1000
    yield row("an ensemble of one cheap step on the event loop, CPU beyond the model itself",
              f"{cpu:.2f} us ({statistics.median(figures['model']) / 1000:.2f} us alone)", f"<= {CPU_MAX_US} us",
              cpu <= CPU_MAX_US, figures=figures)
    time = beyond("pooled1", "pooled")
    yield row("an ensemble of one step in a slot, time beyond the model itself",
              f"{time:.2f} us ({statistics.median(figures['pooled']):.2f} us alone)", f"<= {CPU_MAX_US} us", time <= CPU_MAX_US)
    path = beyond("beyond_three", "beyond_longest")
    whole = beyond("three", "longest")
    bare = beyond("beyond_bare3", "beyond_bare"), beyond("bare3", "bare")
    yield row("an ensemble of three steps side by side that sleep for 2 ms, time beyond the longest of them, "
              "against such a step alone",
              f"{path:+.1f} us (medians of the whole time: {whole:+.1f} us); three bare threads: {bare[0]:+.1f} us "
              f"({bare[1]:+.1f} us)", f"<= +{PATH_MAX_US} us", path <= PATH_MAX_US)
