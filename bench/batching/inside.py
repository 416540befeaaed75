# SPDX-License-Identifier: Apache-2.0
"""Batching without a network: throughput against the runtime in a loop, the scheduler alone, a lone request."""
import pathlib
import statistics
import subprocess

from batching.load import SAMPLES
from lifecycle.model_folders import make_residual_onnx, scratch
from pairs import row
from servers import BUILD, CLIENT_CORE, SERVER_CORE

RATIO_MIN, EMPTY_MIN, LONE_EXTRA_MAX_US = 0.95, 2.0, 2.0


def inside(*arguments, cores=SERVER_CORE):
    """Rows of numbers."""
    output = subprocess.run(["taskset", "-c", cores, BUILD / "bench" / "batching" / "inside", *map(str, arguments)],
                            check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return [[float(number) for number in line.split()] for line in output.splitlines()]


def run_saturation(rounds):
    with scratch() as folder:
        make_residual_onnx(pathlib.Path(folder) / "1", blocks=2, channels=32)
        for kind, path in {"digits as ONNX": SAMPLES / "digits_onnx/2", "digits as SavedModel": SAMPLES / "digits/2",
                           "a residual network of 5 convolutions": pathlib.Path(folder) / "1"}.items():
            found = inside("model", BUILD / "backends", path, 1, rounds, 1.5)
            ratio = statistics.median(engine / loop for _, loop, engine, _ in found)
            loop, engine = (statistics.median(each[i] for each in found) for i in (1, 2))
            yield row(f"{kind}, saturated, load made inside the process: throughput against the runtime in a loop",
                      f"{ratio:.3f}x ({engine:.0f} rows/s against {loop:.0f} with {found[0][0]:.0f} rows a call)",
                      f">= {RATIO_MIN}x", ratio >= RATIO_MIN, figures=found)


def run_empty(rounds):
    rates = [rate for [rate] in inside("empty", rounds, 1)]
    yield row("empty model, through queue, gather and scatter, one core", f"{statistics.median(rates):.1f}M requests/s",
              f">= {EMPTY_MIN:.0f}M", statistics.median(rates) >= EMPTY_MIN, figures=rates)


def run_lone(rounds):
    found = inside("lone", rounds, 1, cores=f"{SERVER_CORE},{CLIENT_CORE}")
    extra = statistics.median(scheduled - pooled for pooled, scheduled in found)
    yield row("lone request: CPU through scheduler and batcher beyond a plain thread pool",
              f"{extra:+.1f} us ({statistics.median(s for _, s in found):.1f} us against "
              f"{statistics.median(p for p, _ in found):.1f})",
              f"<= {LONE_EXTRA_MAX_US:.0f} us", extra <= LONE_EXTRA_MAX_US, figures=found)
