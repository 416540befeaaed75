# SPDX-License-Identifier: Apache-2.0
"""Sequences for an LSTM: as a cell, whose steps run together, against the runtime's own operator for whole sequences.

The operator runs each request alone, or batches of requests that are padded to their longest sequence, or batches of
those whose lengths are in the same ten ("buckets"). All have the same weights, one core and one compute slot; the client
has the other core. Lengths are log-normal with a median of 20, between 5 and 100.
"""
import asyncio
import contextlib
import os
import pathlib
import re
import statistics
import subprocess

import grpc
import numpy

from batching.load import serve
from lifecycle.model_folders import scratch
from messages import PREDICT, UNLIMITED
from pairs import alternate, median, ratio, row
from servers import BUILD, CLIENT_CORE, SERVER_CORE

SEQUENCES = 256  # different ones
UNDER_WAY = 64   # saturated: in a closed loop
BUCKET = 10
PADDED_ROWS = (8, 16, 32)
SECONDS = {1024: 10, 256: 5}
CELL = ('batching { max_batch_size: 64 cell { input: "xw" state { input: "h" output: "h_next" } '
        'state { input: "c" output: "c_next" } } }')
BOTH = ('ensemble { input: "x" output: "h_next" step { model: "project" inputs { key: "x" value: "x" } '
        'outputs { key: "xw" value: "xw" } } step { model: "step" inputs { key: "xw" value: "xw" } '
        'outputs { key: "h_next" value: "h_next" } } }')


def sequence_lengths():
    found = numpy.random.default_rng(1).lognormal(numpy.log(20), 0.7, SEQUENCES)
    return numpy.clip(numpy.rint(found), 5, 100).astype(int)


def save(folder, nodes, inputs, outputs, weights):
    import onnx
    from onnx import helper, numpy_helper
    graph = helper.make_graph([helper.make_node(kind, takes, gives, **more) for kind, takes, gives, more in nodes], "lstm",
                              [helper.make_tensor_value_info(*each) for each in inputs],
                              [helper.make_tensor_value_info(*each) for each in outputs],
                              [numpy_helper.from_array(array, name) for name, array in weights.items()])
    pathlib.Path(folder).mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), f"{folder}/model.onnx")


def make_models(folder, width):
    """The operator has its gates in the order i, o, f, c, and a row of weights for each gate."""
    from onnx import TensorProto
    random = numpy.random.default_rng(2)
    w, r = ((random.standard_normal((1, 4 * width, width)) / numpy.sqrt(width)).astype(numpy.float32) for _ in "wr")
    floats = TensorProto.FLOAT
    nodes = [("Transpose", ["x"], ["by_time"], {"perm": [1, 0, 2]}),
             ("LSTM", ["by_time", "w", "r", "", "lengths"], ["", "last"], {"hidden_size": width}),
             ("Squeeze", ["last", "first"], ["h_next"], {})]
    for name in ("alone", "padded", "buckets"):
        save(f"{folder}/{name}/1", nodes,
             [("x", floats, ["batch", "time", width]), ("lengths", TensorProto.INT32, ["batch"])],
             [("h_next", floats, ["batch", width])], {"w": w, "r": r, "first": numpy.int64([0])})
    # What does not depend on the state need not be in the cell: it is done for all steps of a sequence at once.
    save(f"{folder}/project/1", [("MatMul", ["x", "weights"], ["xw"], {})], [("x", floats, ["batch", "time", width])],
         [("xw", floats, ["batch", "time", 4 * width])], {"weights": numpy.ascontiguousarray(w[0].T)})
    nodes = [("MatMul", ["h", "weights"], ["hr"], {}), ("Add", ["xw", "hr"], ["gates"], {}),
             ("Split", ["gates"], list("iofg"), {"axis": 1}), *[("Sigmoid", [gate], [gate + "s"], {}) for gate in "iof"],
             ("Tanh", ["g"], ["gt"], {}), ("Mul", ["fs", "c"], ["kept"], {}), ("Mul", ["is", "gt"], ["added"], {}),
             ("Add", ["kept", "added"], ["c_next"], {}), ("Tanh", ["c_next"], ["ct"], {}),
             ("Mul", ["os", "ct"], ["h_next"], {})]
    save(f"{folder}/step/1", nodes, [("xw", floats, ["batch", 4 * width]), *[(name, floats, ["batch", width]) for name in "hc"]],
         [(name, floats, ["batch", width]) for name in ("h_next", "c_next")],
         {"weights": numpy.ascontiguousarray(r[0].T)})


def request_bytes(model, x, pads):
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2
    request = predict_pb2.PredictRequest(output_filter=["h_next"])
    request.model_spec.name = model
    if pads:
        longer = -len(x) % BUCKET
        padded = numpy.concatenate([x, numpy.zeros((longer, x.shape[1]), x.dtype)])
    else:
        padded = x
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(padded[None]))
    if model != "cell":
        request.inputs["lengths"].CopyFrom(tf.make_tensor_proto(numpy.int32([len(x)])))
    return request.SerializeToString()


def last_state(data):
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2
    return tf.make_ndarray(predict_pb2.PredictResponse.FromString(data).outputs["h_next"])


async def send(port, requests, seconds, rate):
    """(sequences per second, p90 in ms), of those that were sent after the first fifth of the time."""
    random = numpy.random.default_rng(3)
    loop, taken = asyncio.get_running_loop(), []
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", UNLIMITED) as channel:
        call = channel.unary_unary(PREDICT)
        start = loop.time()

        async def one(i, due):
            await call(requests[i % len(requests)])
            taken.append((due - start, loop.time() - due, loop.time() - start))

        async def worker(first):
            i = first
            while loop.time() < start + seconds:
                await one(i, loop.time())
                i += UNDER_WAY

        if rate is None:
            await asyncio.gather(*[worker(i) for i in range(UNDER_WAY)])
        else:
            tasks, due, i = [], start, 0
            while due < start + seconds:
                await asyncio.sleep(max(due - loop.time(), 0))
                tasks.append(asyncio.create_task(one(i, due)))
                due, i = due + random.exponential(1 / rate), i + 1
            await asyncio.gather(*tasks)
    counted = [latency for sent, latency, _ in taken if sent >= seconds / 5]
    ended = sum(seconds / 5 <= end < seconds for _, _, end in taken)
    return ended / (seconds * 4 / 5), float(numpy.percentile(counted, 90)) * 1e3


def measure(server, requests, seconds, rate=None):
    return asyncio.run(send(server.port, requests, seconds, rate))


def run_width(width, rounds):
    os.sched_setaffinity(0, {int(CLIENT_CORE)})  # the client is this process
    random = numpy.random.default_rng(4)
    sequences = [random.standard_normal((length, width), numpy.float32) for length in sequence_lengths()]
    seconds = SECONDS[width]
    with scratch() as folder, contextlib.ExitStack() as stack:
        make_models(folder, width)
        def start(name, models):
            found = {model: (path and f"{folder}/{path}", more) for model, (path, more) in models.items()}
            return stack.enter_context(serve(found, name=name))

        off, on = "batching { enabled: false }", "batching { enabled: true max_batch_size: 32 }"
        found = {"cell": start("cell", {"project": ("project", off), "step": ("step", CELL), "cell": (None, BOTH)}),
                 "alone": start("alone", {"alone": ("alone", off)}), "buckets": start("buckets", {"buckets": ("buckets", on)})}
        for rows in PADDED_ROWS:
            more = f'batching {{ enabled: true max_batch_size: {rows} padding_share_max: 1 pad {{ input: "x" }} }}'
            found[f"padded {rows}"] = start("padded", {"padded": ("padded", more)})
        requests = {name: [request_bytes(name.split()[0], x, name == "buckets") for x in sequences] for name in found}
        calls = {name: lambda rate=None, name=name: measure(found[name], requests[name], seconds, rate) for name in found}
        check(found, requests)
        for name, server in found.items():
            measure(server, requests[name], 2)
        full = alternate(rounds, calls)
        rates = {name: [each[0] for each in runs] for name, runs in full.items()}
        best = max((name for name in rates if name.startswith("padded")), key=lambda name: median(rates, name))
        load = 0.7 * median(rates, best)
        light = 0.3 * median(rates, "alone")
        loaded = alternate(rounds, {name: lambda name=name: calls[name](load) for name in ("cell", best, "buckets")})
        lightly = alternate(rounds, {name: lambda name=name: calls[name](light) for name in ("cell", "alone")})
        heavier = alternate(rounds, {name: lambda name=name: calls[name](light / 0.3 * 0.7) for name in ("cell", "alone")})
    p90 = {name: [each[1] for each in runs] for name, runs in loaded.items()}
    against_alone = [{name: [each[1] for each in runs] for name, runs in figures.items()} for figures in (lightly, heavier)]
    yield from rows_of(width, best, rates, load, p90, against_alone)


def check(found, requests):
    """The answers of all servers to some sequences are equal."""
    answers = {}
    for name, server in found.items():
        with grpc.insecure_channel(f"127.0.0.1:{server.port}", UNLIMITED) as channel:
            call = channel.unary_unary(PREDICT)
            answers[name] = [last_state(call(data)) for data in requests[name][:5]]
    for name, given in answers.items():
        for ours, theirs in zip(given, answers["alone"]):
            numpy.testing.assert_allclose(ours, theirs, atol=1e-4, err_msg=name)


def rows_of(width, best, rates, load, p90, against_alone):
    alone, padded = ratio(rates, "cell", "alone"), ratio(rates, "cell", best)
    large = width == 1024
    yield row(f"LSTM of {width} inputs and units, saturated ({UNDER_WAY} sequences under way): sequences/s against the operator "
              f"per request, and in padded batches ({best.split()[1]} rows are best)",
              f"{median(rates, 'cell'):.1f}/s; {alone:.2f}x, {padded:.2f}x (buckets: {ratio(rates, 'cell', 'buckets'):.2f}x)",
              ">= 2.3x, >= 1.8x" if large else ">= 1.4x", alone >= (2.3 if large else 1.4) and (padded >= 1.8 or not large),
              figures=rates)
    yield row(f"the same, Poisson, 70 % of what padded batches reach ({load:.1f}/s): p90 against padded batches, and buckets",
              f"{median(p90, 'cell'):.0f} ms; {ratio(p90, 'cell', best):.2f}x, {ratio(p90, 'cell', 'buckets'):.2f}x",
              "<= 0.5x, <= 0.85x" if large else "",
              ratio(p90, "cell", best) <= 0.5 and ratio(p90, "cell", "buckets") <= 0.85 if large else True, figures=p90)
    low, high = (ratio(figures, "cell", "alone") for figures in against_alone)
    yield row("the same, 30 % and 70 % of what the operator per request reaches: p90 against it",
              f"{median(against_alone[0], 'cell'):.1f} and {median(against_alone[1], 'cell'):.1f} ms; {low:.2f}x, {high:.2f}x",
              "" if large else "<= 1.2x, <= 1x", large or (low <= 1.2 and high <= 1), figures=against_alone)


def run_alone(rounds):
    """Without a model: the time of a run of the steps of 1 and of 256 sequences."""
    program = BUILD / "bench" / "batching" / "cell_alone"
    found = []
    for _ in range(rounds):
        text = subprocess.run(["taskset", "-c", SERVER_CORE, program], check=True, capture_output=True, text=True).stdout
        found.append([float(each) for each in re.findall(r": +(\S+) us", text)])
    one = statistics.median(times[0] for times in found)
    each = statistics.median((times[-1] - times[0]) / 255 for times in found)
    yield row("a run of steps, without a model, rows of one float: time, and time for each sequence in it",
              f"{one:.2f} us, {each:.3f} us", "<= 3 us, <= 0.1 us", one <= 3 and each <= 0.1, figures=found)


def run_large(rounds):
    yield from run_width(1024, rounds)


def run_small(rounds):
    yield from run_width(256, rounds)
