# SPDX-License-Identifier: Apache-2.0
"""How long a call to one shard of a table takes, and what it costs the shard and a root before it. A table of a million rows
of 256 bytes is served on one core, alone or beside a process that computes all the time. From the other core, calls for random
keys come at random moments (a Poisson process), over one gRPC connection. The time of a call counts from the moment when it was
due. With `--keep` the times are in bench/results/shard_times.json, from which bench/scale_out/scatter.py simulates tables in many
shards."""
import contextlib
import gc
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

import numpy
import servers
import tensorflow as tf
from messages import GRPC_HEADERS, PREDICT, framed
from pairs import row
from scale_out.grpc_caller import GrpcCaller
from servers import CLIENT_CORE, SERVER_CORE, cpu_per_request, h2load, penstock
from tensorflow_serving.apis import predict_pb2

ROWS = 1_000_000
DIMENSION = 64
# (rows of a call, calls per second)
CASES = ((8, 3000), (500, 1500))
SECONDS = 10
WARM_UP = 2000  # calls
DIFFERENT_REQUESTS = 2000
# 1 - 10^(-k/20): as dense in the tail as elsewhere.
SHARES = [0.0] + [1 - 10 ** (-k / 20) for k in range(1, 81)] + [1.0]


def make_table(folder):
    os.makedirs(folder)
    keys = numpy.random.default_rng(1).permutation(ROWS).astype(numpy.int64) * 7919
    keys.tofile(f"{folder}/key")
    numpy.zeros((ROWS, DIMENSION), numpy.float32).tofile(f"{folder}/emb_vector")
    pathlib.Path(folder, "table.json").write_text(json.dumps({"key_type": "int64", "dtype": "float32", "dimension": DIMENSION}))
    return keys


def request_for(keys):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["keys"].CopyFrom(tf.make_tensor_proto(keys))
    return request


def prepared_requests(caller, keys, rows):
    chosen = numpy.random.default_rng(2)
    return [caller.prepare(request_for(chosen.choice(keys, rows)).SerializeToString()) for _ in range(DIFFERENT_REQUESTS)]


def measure(port, keys, rows, rate, seconds):
    """The times of calls, in microseconds, and the number of bytes of an answer."""
    caller = GrpcCaller(port, PREDICT)
    requests = prepared_requests(caller, keys, rows)
    for i in range(WARM_UP):
        answer_bytes = caller.call(requests[i % len(requests)])
    if answer_bytes < rows * DIMENSION * 4:
        raise RuntimeError(f"an answer has only {answer_bytes} bytes")
    moments = random.Random(3)
    times = []
    gc.disable()
    due = time.perf_counter()
    end = due + seconds
    while due < end:
        due += moments.expovariate(rate)
        while time.perf_counter() < due:
            pass
        caller.call(requests[len(times) % len(requests)])
        times.append((time.perf_counter() - due) * 1e6)
    gc.enable()
    return times, answer_bytes


@contextlib.contextmanager
def first_on_the_clients_core():
    """Puts this process before all other programs of that core, if that is allowed."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {int(CLIENT_CORE)})
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, cores)


def put_first(server, is_first):
    """Puts the server before all other programs of its core, if that is allowed, as on a machine of its own; or back."""
    policy, priority = (os.SCHED_FIFO, 1) if is_first else (os.SCHED_OTHER, 0)
    for task in os.listdir(f"/proc/{server.process.pid}/task"):
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(int(task), policy, os.sched_param(priority))


@contextlib.contextmanager
def busy_neighbour():
    """A process that computes all the time, on the server's core."""
    process = subprocess.Popen(["taskset", "-c", SERVER_CORE, sys.executable, "-c", "while True: pass"], start_new_session=True)
    if servers.raise_priority:  # the server is no better than this neighbour
        pathlib.Path(f"/proc/{process.pid}/autogroup").write_text(str(-servers.raise_priority))
    try:
        yield
    finally:
        process.kill()
        process.wait()


def measure_cases(server, keys):
    """For each case its figures."""
    for rows, rate in CASES:
        with first_on_the_clients_core():
            before = server.cpu_us()
            times, answer_bytes = measure(server.port, keys, rows, rate, SECONDS)
            cpu_us = (server.cpu_us() - before) / (len(times) + WARM_UP)
        p50, p99, p999 = (float(value) for value in numpy.quantile(times, (0.5, 0.99, 0.999)))
        yield {"rows": rows, "calls_per_second": rate, "calls": len(times), "answer_bytes": answer_bytes,
               "cpu_us": round(cpu_us, 1), "p50_us": round(p50, 1), "p99_us": round(p99, 1), "p999_us": round(p999, 1),
               "quantiles": [[round(share, 6), round(float(numpy.quantile(times, share)), 1)] for share in SHARES]}


def run(_):
    with tempfile.TemporaryDirectory() as folder:
        keys = make_table(f"{folder}/m/1")
        with penstock(model=f"{folder}/m") as server:
            for neighbour in ("", ", beside a busy process"):
                put_first(server, is_first=not neighbour)
                with busy_neighbour() if neighbour else contextlib.nullcontext():
                    for figures in measure_cases(server, keys):
                        yield row(f"a call for {figures['rows']} rows of 256 bytes to a shard, {figures['calls_per_second']:,} a "
                                  f"second{neighbour}: p50, p99, p99.9; CPU of the server",
                                  f"{figures['p50_us']:.0f}, {figures['p99_us']:.0f}, {figures['p999_us']:.0f} us; "
                                  f"{figures['cpu_us']:.1f} us", "none", True, is_busy=bool(neighbour), **figures)


# Under load: {rows of a call: number of calls in a round}
CALLS = {8: 40_000, 64: 20_000, 500: 4_000}


def run_cpu(rounds):
    """What a call costs a shard, and a root before it, when they have much to do: 4 connections with 8 calls each. All calls ask
    for the same keys, so the rows are in the cache of the CPU."""
    with tempfile.TemporaryDirectory() as folder:
        keys = make_table(f"{folder}/m/1")
        with penstock(model=f"{folder}/m") as shard:
            for rows, figures in cpu_under_load(shard, keys, rounds).items():
                yield row(f"a call for {rows} rows of 256 bytes to a shard, under load: CPU of the shard",
                          f"{statistics.median(figures):.1f} us", "none", True, figures=figures)
        with penstock(model=f"{folder}/m", cores=CLIENT_CORE) as shard:
            config = pathlib.Path(folder, "root.config")
            remote = f'remote {{ targets: "127.0.0.1:{shard.port}" }}'
            config.write_text(f'model_config_list {{ config {{ name: "m" penstock {{ {remote} }} }} }}')
            with penstock("root", None, [f"--model_config_file={config}", "--remote_targets=127.0.0.1:*"]) as root:
                for rows, figures in cpu_under_load(root, keys, rounds).items():
                    yield row(f"the same call through a root, {rows} rows: CPU of the root",
                              f"{statistics.median(figures):.1f} us", "none", True, figures=figures)


def cpu_under_load(server, keys, rounds):
    """{rows: the CPU time of a call in each round}, after a round that does not count."""
    figures = {rows: [] for rows in CALLS}
    for _ in range(rounds + 1):
        for rows, calls in CALLS.items():
            request = framed(request_for(keys[:rows]))
            figures[rows].append(cpu_per_request(server, calls, lambda: h2load(
                f"http://127.0.0.1:{server.port}{PREDICT}", calls, 4, 8, request, GRPC_HEADERS)))
    return {rows: each[1:] for rows, each in figures.items()}


def mix(keys):
    """The hash that divides int64 keys among shards (docs/tables.md)."""
    keys = keys.astype(numpy.uint64)
    keys = (keys ^ keys >> numpy.uint64(30)) * numpy.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ keys >> numpy.uint64(27)) * numpy.uint64(0x94D049BB133111EB)
    return keys ^ keys >> numpy.uint64(31)


# Requests through a root: (shards, rows of a request, number of requests in a round)
SCATTERS = ((3, 500, 2000), (12, 500, 1000), (36, 500, 500), (3, 4000, 300), (12, 4000, 300), (36, 4000, 200))


def run_root(rounds):
    """What a request to a table in shards costs the shards and the root. All shards are in one process."""
    for count in sorted({shards for shards, _, _ in SCATTERS}):
        with tempfile.TemporaryDirectory() as folder:
            keys = make_table(f"{folder}/all/1")
            owners = mix(keys) % numpy.uint64(count)
            for index in range(count):
                mine = keys[owners == index]
                os.makedirs(f"{folder}/m-{index}/1")
                mine.tofile(f"{folder}/m-{index}/1/key")
                numpy.zeros((len(mine), DIMENSION), numpy.float32).tofile(f"{folder}/m-{index}/1/emb_vector")
                shard = {"index": index, "count": count, "hash": "mix64"}
                manifest = {"key_type": "int64", "dtype": "float32", "dimension": DIMENSION, "shard": shard}
                pathlib.Path(folder, f"m-{index}/1/table.json").write_text(json.dumps(manifest))
            models = "".join(f'config {{ name: "m-{i}" base_path: "{folder}/m-{i}" }} ' for i in range(count))
            pathlib.Path(folder, "shards.config").write_text(f"model_config_list {{ {models} }}")
            with penstock("shards", None, [f"--model_config_file={folder}/shards.config"], cores=CLIENT_CORE) as shards:
                remote = f'remote {{ shards: {count} targets: "127.0.0.1:{shards.port}" }}'
                pathlib.Path(folder, "root.config").write_text(
                    f'model_config_list {{ config {{ name: "m" penstock {{ {remote} }} }} }}')
                flags = [f"--model_config_file={folder}/root.config", "--remote_targets=127.0.0.1:*"]
                with penstock("root", None, flags) as root:
                    yield from run_scatters(shards, root, keys, count, rounds)


def run_scatters(shards, root, keys, count, rounds):
    for _, rows, requests in (each for each in SCATTERS if each[0] == count):
        request = framed(request_for(keys[:rows]))
        figures = {"shards": [], "root": []}
        for _ in range(rounds + 1):
            before = shards.cpu_us(), root.cpu_us()
            h2load(f"http://127.0.0.1:{root.port}{PREDICT}", requests, 4, 2, request, GRPC_HEADERS)
            figures["shards"].append((shards.cpu_us() - before[0]) / requests)
            figures["root"].append((root.cpu_us() - before[1]) / requests)
        medians = {name: statistics.median(each[1:]) for name, each in figures.items()}
        yield row(f"a request for {rows} rows to {count} shards, under load: CPU of the shards, and of the root",
                  f"{medians['shards']:.0f} us, {medians['root']:.0f} us", "none", True, figures=figures)
