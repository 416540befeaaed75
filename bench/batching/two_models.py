# SPDX-License-Identifier: Apache-2.0
"""Two models on one slot, one 20 times heavier: what the light one waits, and how both share the time."""
import pathlib
import statistics

from batching.load import Load, metric, run_load, serve, shares
from lifecycle.model_folders import make_residual_onnx, scratch
from pairs import median, row

LIGHT, HEAVY = {"blocks": 1, "channels": 32}, {"blocks": 7, "channels": 64}
NOT_BATCHED = "batching { enabled: false }"
SHARE_ERROR_MAX = 0.05
WEIGHTS = ((1, 1), (3, 1))


def make_models(folder):
    for name, size in (("light", LIGHT), ("heavy", HEAVY)):
        (pathlib.Path(folder) / name).mkdir()
        make_residual_onnx(pathlib.Path(folder) / name / "1", **size)


def run_time_ms(server, model):
    count = metric(server, ":tensorflow:serving:runtime_latency_count", model_name=model)
    return metric(server, ":tensorflow:serving:runtime_latency_sum", model_name=model) / count / 1e3


def run_light(rounds):
    figures = {"alone": [], "beside": [], "over": []}
    with scratch() as folder:
        make_models(folder)
        models = {name: (f"{folder}/{name}", NOT_BATCHED) for name in ("light", "heavy")}
        with serve(models) as server:
            capacity = run_load(server.port, "light", "--connections=1", "--streams=8", seconds=2)["throughput"]
            run_load(server.port, "heavy", "--connections=1", "--streams=1", seconds=2)
            light_ms, heavy_ms = run_time_ms(server, "light"), run_time_ms(server, "heavy")
            flags = ["--connections=2", f"--rate={capacity / 10:.1f}"]
            for _ in range(rounds):
                alone = run_load(server.port, "light", *flags, seconds=5)["latency_us"]["p99"] / 1e3
                heavy = Load(server.port, "heavy", "--connections=1", "--streams=8", seconds=8, warmup=0.5)
                beside = run_load(server.port, "light", *flags, seconds=5)["latency_us"]["p99"] / 1e3
                heavy.result()
                for name, value in (("alone", alone), ("beside", beside), ("over", beside - alone - heavy_ms)):
                    figures[name].append(value)
    yield row(f"two models, one {heavy_ms / light_ms:.0f}x heavier and saturated, the light one at 10 % load: its p99",
              f"{median(figures, 'beside'):.2f} ms (alone {median(figures, 'alone'):.2f}, a run of the heavy one {heavy_ms:.2f})",
              "<= alone + a run", median(figures, "over") <= 0, figures=figures)


def run_shares(rounds):
    with scratch() as folder:
        make_models(folder)
        for weights in WEIGHTS:
            models = {name: (f"{folder}/{name}", f"{NOT_BATCHED} scheduling {{ weight: {weight} }}")
                      for name, weight in zip(("light", "heavy"), weights)}
            with serve(models) as server:
                loads = [Load(server.port, name, "--connections=1", "--streams=16", seconds=4 * rounds + 4, warmup=0.5)
                         for name in models]
                run_load(server.port, "light", "--connections=1", "--streams=1", seconds=1, warmup=1)  # they are under way
                found = [shares(server, models, 4)["light"] for _ in range(rounds)]
                for load in loads:
                    load.result()
            wanted = weights[0] / sum(weights)
            error = statistics.median(abs(share / wanted - 1) for share in found)
            yield row(f"both saturated, weights {weights[0]}:{weights[1]}: share of compute time of the light one",
                      f"{statistics.median(found):.3f} (weight {wanted:.3f})", f"within {SHARE_ERROR_MAX:.0%}",
                      error <= SHARE_ERROR_MAX, figures=found)
