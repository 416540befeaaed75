# SPDX-License-Identifier: Apache-2.0
"""What a table in three shards costs on loopback: a root and three Penstock servers, against sockets that move the same bytes,
and against the same table in a Redis cluster, all on the same CPUs."""
import contextlib
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

import numpy
import tensorflow as tf
from messages import stub
from pairs import alternate, median, ratio, row
from servers import BUILD, ROOT, Server, free_port, penstock
from tensorflow_serving.apis import predict_pb2

sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
import redis_cluster  # noqa: E402

ROWS, DIMENSION, KEYS, SHARDS = 200_000, 64, 500, 3
CALLS = 3000
REQUESTS = 500  # different ones
CORES = "0,1"
PROGRAM = BUILD / "bench" / "tables" / "shard_peer"


def mix(keys):
    keys = keys.astype(numpy.uint64)
    keys = (keys ^ keys >> numpy.uint64(30)) * numpy.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ keys >> numpy.uint64(27)) * numpy.uint64(0x94D049BB133111EB)
    return keys ^ keys >> numpy.uint64(31)


def rows_of(keys):
    rows = numpy.zeros((len(keys), DIMENSION), numpy.float32)
    rows[:, 0] = keys
    return rows


def write_shard(folder, index):
    os.makedirs(folder)
    keys = numpy.arange(ROWS)
    keys = keys[mix(keys) % numpy.uint64(SHARDS) == index]
    keys.tofile(f"{folder}/key")
    rows_of(keys).tofile(f"{folder}/emb_vector")
    pathlib.Path(folder, "table.json").write_text(json.dumps(
        {"dimension": DIMENSION, "shard": {"index": index, "count": SHARDS, "hash": "mix64"}}))


def request_for(keys):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["keys"].CopyFrom(tf.make_tensor_proto(keys))
    return request


def write_requests(path):
    """Returns the number of bytes of the last one."""
    chosen = numpy.random.default_rng(2)
    with open(path, "wb") as file:
        for _ in range(REQUESTS):
            message = request_for(chosen.choice(ROWS, KEYS)).SerializeToString()
            file.write(struct.pack("=I", len(message)) + message)
    return len(message)


def check(port):
    keys = numpy.random.default_rng(3).choice(ROWS, KEYS)
    answer = stub(port).Predict(request_for(keys), timeout=30)
    assert numpy.array_equal(tf.make_ndarray(answer.outputs["rows"]), rows_of(keys))
    return answer.ByteSize()


def measured(processes, *arguments):
    """(the median time of a call; the CPU time of all processes for one), in microseconds"""
    before = sum(each() for each in processes)
    output = subprocess.run([PROGRAM, *map(str, arguments), str(CALLS)], check=True, capture_output=True, text=True).stdout
    return float(output), (sum(each() for each in processes) - before) / CALLS


def sharded(stack, folder):
    """The root, and its shards."""
    shards = []
    for index in range(SHARDS):
        write_shard(f"{folder}/{index}/1", index)
        shards.append(stack.enter_context(penstock(f"shard {index}", f"{folder}/{index}", cores=CORES)))
    config = pathlib.Path(folder, "root.config")
    targets = " ".join(f'shard {{ targets: "127.0.0.1:{each.port}" }}' for each in shards)
    config.write_text(f'model_config_list {{ config {{ name: "m" penstock {{ remote {{ {targets} }} }} }} }}')
    flags = [f"--model_config_file={config}", "--remote_targets=127.0.0.1:*"]
    return [stack.enter_context(penstock("root", None, flags, cores=CORES)), *shards]


def raw(stack, request_bytes, answer_bytes):
    ports = [free_port() for _ in range(SHARDS + 1)]
    shards = [stack.enter_context(Server("raw shard", [PROGRAM, "shard", port, request_bytes // SHARDS, answer_bytes // SHARDS],
                                         port, cores=CORES)) for port in ports[1:]]
    command = [PROGRAM, "root", ports[0], request_bytes, answer_bytes, *ports[1:]]
    return [stack.enter_context(Server("raw root", command, ports[0], cores=CORES)), *shards]


def redis_table(stack, folder):
    """A server whose table is in a Redis cluster, without a cache of hot rows; the cluster."""
    cluster = stack.enter_context(redis_cluster.Cluster())
    rows = {key: each.tobytes() for key, each in enumerate(rows_of(numpy.arange(ROWS)))}
    redis_cluster.push(BUILD / "penstock", cluster.addresses()[0], "bench", rows, "--partitions=64")
    os.makedirs(f"{folder}/redis/1")
    pathlib.Path(folder, "redis/1/table.json").write_text(json.dumps(
        {"store": "redis", "dtype": "float32", "dimension": DIMENSION,
         "redis": {"addresses": [cluster.addresses()[0]], "prefix": "bench", "cache_bytes": 0}}))
    return stack.enter_context(penstock("redis", f"{folder}/redis", cores=CORES)), cluster


def process_cpu_us(pid):
    return time.clock_gettime_ns((~pid << 3) | 2) / 1000  # what clock_getcpuclockid gives


def run(rounds):
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        requests = f"{folder}/requests"
        request_bytes = write_requests(requests) // SHARDS * SHARDS
        root, *shards = sharded(stack, folder)
        answer_bytes = check(root.port) // SHARDS * SHARDS
        raw_root, *raw_shards = raw(stack, request_bytes, answer_bytes)
        redis, cluster = redis_table(stack, folder)
        check(redis.port)
        nodes = [lambda pid=node.process.pid: process_cpu_us(pid) for node in cluster.nodes]
        measures = {
            "shards": lambda: measured([each.cpu_us for each in (root, *shards)], "grpc", root.port, requests),
            "raw": lambda: measured([each.cpu_us for each in (raw_root, *raw_shards)], "raw", raw_root.port, request_bytes,
                                    answer_bytes),
            "redis": lambda: measured([redis.cpu_us, *nodes], "grpc", redis.port, requests)}
        for measure in measures.values():
            measure()
        both = alternate(rounds, measures)
        times, cpu = ({name: [each[i] for each in pairs] for name, pairs in both.items()} for i in (0, 1))
        yield row(f"{KEYS} rows of 256 bytes over {SHARDS} shards: CPU of all servers, against sockets that move the same bytes",
                  f"{median(cpu, 'shards'):.0f} us, {ratio(cpu, 'shards', 'raw'):.2f}x", "<= 2.2x",
                  ratio(cpu, "shards", "raw") <= 2.2, figures=cpu)
        yield row("the same: time, p50", f"{median(times, 'shards'):.0f} us, {ratio(times, 'shards', 'raw'):.2f}x", "<= 1.6x",
                  ratio(times, "shards", "raw") <= 1.6, figures=times)
        yield row("the same table in a Redis cluster: CPU of the server and its nodes, against the shards",
                  f"{median(cpu, 'redis'):.0f} us, {ratio(cpu, 'redis', 'shards'):.2f}x", ">= 3x",
                  ratio(cpu, "redis", "shards") >= 3, figures=cpu["redis"])
