# SPDX-License-Identifier: Apache-2.0
"""How long a request to a table in n shards takes, with and without hedges: a simulation from measured times of one shard
(bench/results/shard_times.json). Its seed is fixed, so it always prints the same. Prints a Markdown table for docs/scale-out.md.

A request sends a call to each shard and waits for the last answer. A call that has no answer after `delay` is sent to the other
copy of the shard as well; the first answer counts. The delay and the number of such hedges follow src/remote/budgets.h: the time
in which 95 of 100 calls are answered, but at least a millisecond; for 5 of 100 calls to a shard, and 20 at once. The times of
calls are independent of each other: what slows all shards at the same time is not in here."""
import json
import pathlib

import numpy

TIMES = pathlib.Path(__file__).resolve().parents[1] / "results" / "shard_times.json"
SHARDS = (1, 16, 64)
REQUESTS = 10_000
SEED = 1
HEDGE_SHARE, HEDGES_AT_ONCE, DELAY_MIN_US = 0.05, 20, 1000


class Times:
    """Draws times of one shard, in microseconds."""

    def __init__(self, quantiles):
        self.shares, self.us = numpy.array(quantiles).T

    def draw(self, random, shape):
        return numpy.interp(random.random(shape), self.shares, self.us)

    def hedge_delay(self):
        return max(numpy.interp(0.95, self.shares, self.us), DELAY_MIN_US)


def simulate(times, shards, hedges, requests=REQUESTS):
    """The times of the requests, and how many hedges a call had."""
    random = numpy.random.default_rng(SEED)
    calls = times.draw(random, (requests, shards))
    if not hedges:
        return calls.max(axis=1), 0.0
    delay = times.hedge_delay()
    second = delay + times.draw(random, calls.shape)
    tokens, sent = numpy.full(shards, float(HEDGES_AT_ONCE)), 0
    for row, others in zip(calls, second):
        tokens = numpy.minimum(HEDGES_AT_ONCE, tokens + HEDGE_SHARE)
        late = (row > delay) & (tokens >= 1)
        row[late] = numpy.minimum(row[late], others[late])
        tokens -= late
        sent += int(late.sum())
    return calls.max(axis=1), sent / calls.size


def main():
    print("| A call to a shard | Shards | p50 | p99 | p99 with hedges | Hedges |\n|---|---|---|---|---|---|")
    for case in json.loads(TIMES.read_text())["rows"]:
        times = Times(case["quantiles"])
        for shards in SHARDS:
            plain, _ = simulate(times, shards, hedges=False)
            hedged, sent = simulate(times, shards, hedges=True)
            p50, p99 = numpy.quantile(plain, (0.5, 0.99)) / 1000
            print(f"| {case['rows']} rows{', busy CPU' if case['is_busy'] else ''} | {shards} | {p50:.2f} ms | {p99:.2f} ms "
                  f"| {numpy.quantile(hedged, 0.99) / 1000:.2f} ms | {100 * sent:.2f} % |")


if __name__ == "__main__":
    main()
