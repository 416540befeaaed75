# SPDX-License-Identifier: Apache-2.0
"""Batching when busy against the timeout policy, over gRPC: a server for each, all in one run.

The other policies are those of `--batching_parameters_file`: TensorFlow Serving's `batch_timeout_micros`. Each server has a
core, and the client another. First all are saturated: several times as many requests are under way as one batch holds. Then
each gets half of what the first can do, at random moments.
"""
import contextlib
import tempfile

from batching.load import SAMPLES, run_load, serve
from pairs import alternate, median, ratio, row

TIMEOUTS_US = (0, 1000, 2000, 5000)
ROWS_MAX = 128
CONNECTIONS, STREAMS = 16, 32
SAME = 1.05
PARAMETERS = ("max_batch_size {{ value: {rows} }} batch_timeout_micros {{ value: {timeout} }} num_batch_threads {{ value: 1 }} "
              "max_enqueued_batches {{ value: 100 }}")


def servers(stack, path):
    found = {"busy": stack.enter_context(serve({"m": (path, "batching { enabled: true }")}, name="busy"))}
    for timeout in TIMEOUTS_US:
        file = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".pbtxt"))
        file.write(PARAMETERS.format(rows=ROWS_MAX, timeout=timeout))
        file.flush()
        found[f"{timeout / 1000:g} ms"] = stack.enter_context(
            serve({"m": (path, "")}, "--enable_batching", f"--batching_parameters_file={file.name}", name=f"{timeout} us"))
    found["alone"] = stack.enter_context(serve({"m": (path, "batching { enabled: false }")}, name="alone"))
    return found


def measure(server, rate=None, seconds=3):
    """Throughput, p50 and p99 in ms, and CPU of a request in us."""
    before = server.cpu_us()
    load = [f"--rate={rate:.0f}"] if rate else [f"--connections={CONNECTIONS}", f"--streams={STREAMS}"]
    run = run_load(server.port, "m", *load, seconds=seconds, warmup=1)
    cpu = (server.cpu_us() - before) / max(run["sent"] * (seconds + 1) / seconds, 1)
    return run["throughput"], run["latency_us"]["p50"] / 1e3, run["latency_us"]["p99"] / 1e3, cpu


def column(figures, index):
    return {name: [run[index] for run in runs] for name, runs in figures.items()}


def run(rounds):
    for kind, path in {"digits as ONNX": SAMPLES / "digits_onnx", "digits as SavedModel": SAMPLES / "digits"}.items():
        with contextlib.ExitStack() as stack:
            found = servers(stack, path)
            full = alternate(rounds, {name: lambda server=server: measure(server) for name, server in found.items()})
            rates = column(full, 0)
            rate = median(rates, "busy") / 2
            half = alternate(rounds, {name: lambda server=server: measure(server, rate) for name, server in found.items()})
        p99, throughput = column(half, 2), {name: ratio(rates, "busy", name) for name in rates if name != "busy"}
        others = {name: ratio(p99, "busy", name) for name in p99 if name != "busy"}
        yield row(f"{kind}, gRPC, saturated ({CONNECTIONS}x{STREAMS}): requests/s against the timeout "
                  "policy and against runs alone",
                  f"{median(rates, 'busy'):.0f}; " + ", ".join(f"{name}: {got:.2f}x" for name, got in throughput.items()),
                  ">= 1x", all(got >= 1 for name, got in throughput.items() if name != "alone"), figures=full)
        met = others["0 ms"] <= SAME and all(others[f"{t / 1000:g} ms"] < 1 for t in TIMEOUTS_US if t)
        yield row(f"the same, half of that ({rate:.0f}/s, Poisson): p99, and its ratio to that of the timeout policy",
                  f"{median(p99, 'busy'):.2f} ms; " + ", ".join(f"{name}: {got:.2f}x ({median(p99, name):.2f} ms)"
                                                            for name, got in others.items()),
                  f"0 ms: <= {SAME}x, others < 1x", met, figures=half)
