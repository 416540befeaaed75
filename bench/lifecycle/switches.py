# SPDX-License-Identifier: Apache-2.0
"""Requests across version switches: none may fail, and those during a switch may take little longer than the others."""
import time

import numpy
from lifecycle.model_folders import SAMPLES, BasePath, scratch
from lifecycle.paced import PacedLoad, events, failures, percentile, split, wait_for
from messages import predict_request, warm_up
from pairs import row
from servers import penstock

# What, the model, and whether its versions have a request recorded that warms them up.
CASES = (("SavedModel", "digits", True), ("ONNX", "digits_onnx", True), ("SavedModel without warm-up", "digits", False))
PER_SECOND = {"digits": 2000, "digits_onnx": 4000}  # about a third of a core
REQUESTS_PER_ROUND, SWITCHES_PER_ROUND = 200_000, 10  # a million and 50 in all, if nothing else is asked for
AFTER_SECONDS = 0.02  # of a switch: memory goes back to the system
RATIO_MAX = 1.5


def one_switch(server, base, version):
    """(start, end) of it, by the clock of the records."""
    start = time.time()
    base.show(version)
    wait_for(server, "available", "m", version)
    return start, wait_for(server, "unloaded", "m", version - 1)[0] + AFTER_SECONDS


def run_one(kind, name, is_warm, rounds, folder):
    requests, switches = rounds * REQUESTS_PER_ROUND, rounds * SWITCHES_PER_ROUND
    base = BasePath(f"{folder}/{name}")
    pixels = numpy.random.default_rng(3).integers(0, 17, (1, 8, 8))
    for version in range(1, switches + 2):
        base.prepare_copy(version, SAMPLES / name / str(version % 2 + 1),
                          warm_up={"instances": pixels.tolist()} if is_warm else None)
    base.show(1)
    request = predict_request(pixels, content=True, name="images")
    with penstock(model=base.path, log_level="info") as server:
        warm_up(server.port, request)
        seconds = requests / PER_SECOND[name]
        load = PacedLoad(server.port, request, requests, PER_SECOND[name])
        begin, windows = time.time(), []
        for i in range(switches):
            time.sleep(max(0.0, begin + (i + 0.5) * seconds / switches - time.time()))
            windows.append(one_switch(server, base, i + 2))
        records = load.records()
        load_ms = [took for _, took in events(server)[0].values()]
    inside, outside = split(records, windows)
    got = percentile(inside, 99.9) / percentile(outside, 99.9)
    failed = failures(records)
    yield row(f"{len(records):,} requests across {len(windows)} switches of digits as {kind}, {PER_SECOND[name]}/s: failed",
              f"{failed}", "0", failed == 0, load_ms=load_ms)
    yield row(f"the same: p99.9 of the {len(inside):,} during switches against the others",
              f"{got:.2f}x ({percentile(inside, 99.9):.0f} us against {percentile(outside, 99.9):.0f}; "
              f"p99 {percentile(inside, 99):.0f} against {percentile(outside, 99):.0f}, "
              f"median {percentile(inside, 50):.0f} against {percentile(outside, 50):.0f})",
              f"<= {RATIO_MAX}x", got <= RATIO_MAX, late_us=float(numpy.percentile(records["late_us"], 99.9)),
              inside={p: percentile(inside, p) for p in (50, 99, 99.9, 100)},
              outside={p: percentile(outside, p) for p in (50, 99, 99.9, 100)})


def run(rounds):
    for case in CASES:
        with scratch() as folder:
            yield from run_one(*case, rounds, folder)
