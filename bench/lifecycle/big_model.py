# SPDX-License-Identifier: Apache-2.0
"""A 500 MB model is loaded and unloaded beside a served one of the same runtime: what its requests feel of the load, and
how much memory comes back."""
import statistics
import time

import numpy
from lifecycle.model_folders import BIG, SAMPLES, BasePath, configuration, scratch
from lifecycle.paced import PacedLoad, events, failures, percentile, split, wait_for
from messages import predict_request, warm_up
from pairs import row
from servers import penstock

SERVED = {"ONNX": "digits_onnx", "SavedModel": "digits"}
PER_SECOND = 1000
PAUSE_SECONDS = 4  # between a load and the next: requests to compare with
RETURN_SECONDS = 2
RATIO_MAX, RETURNED_MIN = 1.5, 0.95


def cycle(server, base):
    """Loads the big model and unloads it: ((start, end) of the load, part of its RSS that came back in time)."""
    before = server.rss_bytes()
    start = time.time()
    known = events(server)[0].get(("big", 1))
    base.show(1)
    end = time.monotonic() + 120
    while events(server)[0].get(("big", 1)) == known:
        if time.monotonic() > end:
            raise RuntimeError("the big model is not loaded")
        time.sleep(0.02)
    window = start, events(server)[0]["big", 1][0]
    time.sleep(PAUSE_SECONDS / 2)
    loaded = server.rss_bytes()
    base.hide(1)
    time.sleep(RETURN_SECONDS)
    after = server.rss_bytes()
    time.sleep(PAUSE_SECONDS / 2)
    return window, loaded - before, (loaded - after) / (loaded - before)


def run_one(kind, rounds, folder):
    base = BasePath(f"{folder}/big")
    base.prepare(1, BIG[kind])
    pixels = numpy.random.default_rng(3).integers(0, 17, (1, 8, 8))
    request = predict_request(pixels, content=True, name="images")
    with configuration({"m": SAMPLES / SERVED[kind], "big": base.path}) as config, penstock(
            model=None, flags=[f"--model_config_file={config.name}", "--ready_when=models:m"], log_level="info") as server:
        wait_for(server, "available", "m", 2)
        warm_up(server.port, request)
        cycle(server, base)  # what the first one brings into memory, once and for all, is not the model's
        load = PacedLoad(server.port, request, 10_000_000, PER_SECOND)
        time.sleep(PAUSE_SECONDS)
        cycles = [cycle(server, base) for _ in range(rounds)]
        records = load.stop()
    windows = [window for window, _, _ in cycles]
    inside, outside = split(records, windows)
    got = percentile(inside, 99) / percentile(outside, 99)
    seconds = statistics.median(end - start for start, end in windows)
    yield row(f"p99 of digits beside the load of a 500 MB model, {kind} ({rounds} loads of {seconds:.1f} s, {PER_SECOND}/s)",
              f"{got:.2f}x ({percentile(inside, 99):.0f} us against {percentile(outside, 99):.0f}; "
              f"median {percentile(inside, 50):.0f} against {percentile(outside, 50):.0f}), {failures(records)} failed",
              f"<= {RATIO_MAX}x, 0 failed", got <= RATIO_MAX and failures(records) == 0,
              inside={p: percentile(inside, p) for p in (50, 99, 99.9, 100)},
              outside={p: percentile(outside, p) for p in (50, 99, 99.9, 100)}, windows=windows)
    worst = min(returned for _, _, returned in cycles)
    took = statistics.median(size for _, size, _ in cycles)
    yield row(f"RSS of a 500 MB model that is back {RETURN_SECONDS} s after its version is removed, {kind}, "
              f"the worst of {rounds}", f"{worst * 100:.1f} % of {took / 1e6:.0f} MB", f">= {RETURNED_MIN * 100:.0f} %",
              worst >= RETURNED_MIN, cycles=[(size, returned) for _, size, returned in cycles])


def run(rounds):
    for kind in BIG:
        with scratch() as folder:
            yield from run_one(kind, rounds, folder)
