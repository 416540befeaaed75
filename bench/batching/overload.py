# SPDX-License-Identifier: Apache-2.0
"""Three times the load that a server can do, each request with a deadline: goodput, refusals, wasted runs."""
import pathlib

from batching.load import metric, run_load, serve
from lifecycle.model_folders import make_residual_onnx, scratch
from pairs import median, row
from servers import CLIENT_CORE, SERVER_CORE

DEADLINE_MS, TIMES = 100, 3
# On one core, the event loop that refuses would wait for the tick of the kernel's scheduler while a run computes.
CORES = f"{SERVER_CORE},{CLIENT_CORE}"
GOODPUT_MIN, REFUSED_MAX_MS = 0.9, 1.0
QUEUES = {"default queue": "", "queue of 20 ms": "scheduling {{ queue_requests_max: {short} }}"}


def overload(server, rate, seconds=4):
    """Goodput, the p50 and p99 of refusals in ms, and runs that gave no good answer."""
    before = metric(server, "penstock_batch_rows_sum")
    run = run_load(server.port, "m", "--connections=100", f"--rate={rate:.0f}", f"--deadline={DEADLINE_MS}ms", seconds=seconds,
                   warmup=0)
    rows = metric(server, "penstock_batch_rows_sum") - before
    [refused] = [error for error in run["errors"] if error["code"] == "UNAVAILABLE"]
    return run["in_deadline"] / seconds, refused["p50_us"] / 1e3, refused["p99_us"] / 1e3, rows - run["in_deadline"]


def run(rounds):
    with scratch() as folder:
        make_residual_onnx(pathlib.Path(folder) / "1", blocks=1, channels=32)
        with serve({"m": (folder, "batching { enabled: true }")}, cores=CORES) as server:
            capacity = run_load(server.port, "m", seconds=4)["throughput"]
        for name, more in QUEUES.items():
            more = more.format(short=max(int(capacity * 0.02), 1))
            with serve({"m": (folder, "batching { enabled: true } " + more)}, cores=CORES) as server:
                run_load(server.port, "m", seconds=2)
                found = [overload(server, TIMES * capacity) for _ in range(rounds)]
            figures = {key: [each[i] for each in found] for i, key in enumerate(("goodput", "refused_p50", "refused", "wasted"))}
            share = median(figures, "goodput") / capacity
            refused = median(figures, "refused")
            yield row(f"overload, {TIMES}x the capacity of {capacity:.0f}/s, deadline {DEADLINE_MS} ms, {name}",
                      f"goodput {share:.0%}, refused in {median(figures, 'refused_p50'):.2f} ms (p50), {refused:.2f} (p99), "
                      f"{median(figures, 'wasted'):.0f} rows run in vain",
                      f">= {GOODPUT_MIN:.0%}, <= {REFUSED_MAX_MS:.0f} ms, none begun after its deadline",
                      share >= GOODPUT_MIN and refused <= REFUSED_MAX_MS, figures=figures)
