# SPDX-License-Identifier: Apache-2.0
"""Rows per second of servers on one core: a Python JSON server, and Penstock over REST, gRPC and GraphPipe."""
import contextlib
import pathlib
import sys
import time
import urllib.request

import numpy
import orjson
import tensorflow as tf
from graphpipe import convert

from graphpipe_calls import infer_message
from lifecycle.model_folders import save_onnx, scratch
from messages import GRPC_HEADERS, PREDICT, framed, predict_request, stub
from pairs import alternate, median, row
from servers import Server, free_port, get_status, h2load, penstock

CLIENTS = (1, 5)
SECONDS = 0.5  # of one measurement, about
REQUESTS_MAX = 3000
ROUNDS_MAX = 3
INPUT = (1, 224, 224, 3)


def make_identity(folder):
    from onnx import helper
    shape = ["n", *INPUT[1:]]
    save_onnx(folder, "identity", [helper.make_node("Identity", ["x"], ["y"])], {"x": shape}, {"y": shape}, [])


def make_convolutions(folder):
    """Images to 10 classes by three convolutions, 20 million multiplications a row."""
    from onnx import helper, numpy_helper
    numbers = numpy.random.default_rng(7)
    nodes, weights, at = [helper.make_node("Transpose", ["x"], ["c0"], perm=[0, 3, 1, 2])], [], 3
    for i, channels in enumerate((16, 32, 64)):
        kernel = numbers.standard_normal((channels, at, 3, 3)).astype(numpy.float32) / (9 * at) ** 0.5
        weights.append(numpy_helper.from_array(kernel, f"w{i}"))
        nodes += [helper.make_node("Conv", [f"c{i}", f"w{i}"], [f"s{i}"], pads=[1] * 4, strides=[2, 2]),
                  helper.make_node("Relu", [f"s{i}"], [f"c{i + 1}"])]
        at = channels
    weights.append(numpy_helper.from_array(numbers.standard_normal((at, 10)).astype(numpy.float32), "classes"))
    nodes += [helper.make_node("GlobalAveragePool", ["c3"], ["pooled"]), helper.make_node("Flatten", ["pooled"], ["flat"]),
              helper.make_node("MatMul", ["flat", "classes"], ["y"])]
    save_onnx(folder, "convolutions", nodes, {"x": ["n", *INPUT[1:]]}, {"y": ["n", 10]}, weights)


MODELS = {"identity, 224 x 224 x 3 floats": make_identity, "3 convolutions, 224 x 224 x 3 floats to 10": make_convolutions}


class Target:
    """How one server is asked. `read`: an answer's bytes to the array y."""

    def __init__(self, url, body, read, headers=(), http1=True):
        self.url, self.body, self.read, self.headers, self.http1 = url, body, read, headers, http1

    def ask(self):
        with urllib.request.urlopen(urllib.request.Request(self.url, self.body)) as answer:
            return self.read(answer.read())

    def rows_per_second(self, clients, requests):
        return INPUT[0] * h2load(self.url, requests, clients, 1, self.body, self.headers, self.http1)


class GrpcTarget(Target):
    def __init__(self, port, x):
        super().__init__(f"http://127.0.0.1:{port}{PREDICT}", framed(predict_request(x, content=True)), None, GRPC_HEADERS, False)
        self._stub, self._request = stub(port), predict_request(x, content=True)

    def ask(self):
        return tf.make_ndarray(self._stub.Predict(self._request, timeout=60).outputs["y"])


def read_json(data):
    return numpy.array(orjson.loads(data)["outputs"], numpy.float32)


def read_graphpipe(data):
    return convert.deserialize_infer_response(bytearray(data))[0][0]


def json_server(model):
    port = free_port()
    return Server("FastAPI", ["env", f"MODEL={model}", "OMP_NUM_THREADS=1", sys.executable, "-m", "uvicorn", "json_server:app",
                              "--app-dir", pathlib.Path(__file__).parent, "--port", port, "--log-level", "warning"],
                  port, ready=lambda: get_status(port, "/openapi.json") == 200)


def targets(python, ours, x):
    body = orjson.dumps({"inputs": x}, option=orjson.OPT_SERIALIZE_NUMPY)
    rest = f"http://127.0.0.1:{ours.rest_port}"
    return {"JSON, FastAPI + ONNX Runtime": Target(f"http://127.0.0.1:{python.port}/predict", body, read_json),
            "REST (JSON), Penstock": Target(f"{rest}/v1/models/m:predict", body, read_json),
            "gRPC, Penstock": GrpcTarget(ours.port, x),
            "GraphPipe, Penstock": Target(f"{rest}/graphpipe/m", infer_message(x), read_graphpipe)}


def requests_for(target):
    """As many as take about SECONDS, by the time of the quicker of two."""
    took = []
    for _ in range(2):
        start = time.perf_counter()
        target.ask()
        took.append(time.perf_counter() - start)
    return max(10, min(REQUESTS_MAX, int(SECONDS / min(took))))


def run(rounds):
    x = numpy.random.default_rng(1).random(INPUT, numpy.float32)
    for name, make in MODELS.items():
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(stack.enter_context(scratch()))
            make(folder / "1")
            flags = ["--tensorflow_intra_op_parallelism=1", "--compute_threads=1"]
            ours = stack.enter_context(penstock(model=folder, flags=flags))
            asked = targets(stack.enter_context(json_server(folder / "1" / "model.onnx")), ours, x)
            expected = asked["JSON, FastAPI + ONNX Runtime"].ask()
            for target in asked.values():
                assert numpy.allclose(target.ask(), expected, rtol=1e-4, atol=1e-5), target.url
            for clients in CLIENTS:
                rates = alternate(min(rounds, ROUNDS_MAX), {
                    server: lambda target=target, requests=requests_for(target): target.rows_per_second(clients, requests)
                    for server, target in asked.items()})
                slowest = median(rates, "JSON, FastAPI + ONNX Runtime")
                for server in asked:
                    rate = median(rates, server)
                    yield row(f"{name}, {clients} at a time, {server}: rows per second against FastAPI",
                              f"{rate:.0f}, {rate / slowest:.3g}x", "", True, model=name, server=server, clients=clients,
                              rows_per_second=rate, figures=rates[server])
