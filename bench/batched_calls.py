# SPDX-License-Identifier: Apache-2.0
"""A small ONNX network with and without batching: what joining the requests of one turn of an event loop wins.

The network is 784-256-256-10, which runs on event loops. The client keeps 4 connections with 32 streams each busy.
"""
import contextlib
import pathlib
import statistics
import tempfile

import numpy
import onnx
from onnx import helper, numpy_helper

from messages import GRPC_HEADERS, PREDICT, framed, predict_request, warm_up
from pairs import alternate, median, ratio, row
from servers import cpu_per_request, h2load, penstock

REQUESTS, CONNECTIONS, STREAMS = 40_000, 4, 32
SIZES = [784, 256, 256, 10]
CONFIG = 'model_config_list {{ config {{ name: "m" base_path: "{path}" penstock {{ batching {{ enabled: {on} }} }} }} }}'


def save_network(path):
    random = numpy.random.default_rng(0)
    nodes, constants, tensor = [], [], "x"
    for layer, (rows, columns) in enumerate(zip(SIZES, SIZES[1:])):
        weights = random.standard_normal((rows, columns)) / numpy.sqrt(rows)
        constants.append(numpy_helper.from_array(weights.astype(numpy.float32), f"weights{layer}"))
        constants.append(numpy_helper.from_array(numpy.zeros(columns, numpy.float32), f"bias{layer}"))
        is_last = layer == len(SIZES) - 2
        result = "y" if is_last else f"sum{layer}"
        nodes.append(helper.make_node("Gemm", [tensor, f"weights{layer}", f"bias{layer}"], [result]))
        if not is_last:
            tensor = f"relu{layer}"
            nodes.append(helper.make_node("Relu", [result], [tensor]))
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", size])
            for name, size in (("x", SIZES[0]), ("y", SIZES[-1]))]
    model = helper.make_model(helper.make_graph(nodes, "network", ends[:1], ends[1:], constants),
                              opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.parent.mkdir(parents=True)
    onnx.save(model, path)


def load(server, body, log):
    """Returns the requests per second, the median time of a request in us, and the server's CPU for one in us."""
    log.unlink(missing_ok=True)
    cpu = cpu_per_request(server, REQUESTS, lambda: h2load(
        f"http://127.0.0.1:{server.port}{PREDICT}", REQUESTS, CONNECTIONS, STREAMS, body, GRPC_HEADERS, log=log))
    times = [line.split("\t") for line in log.read_text().splitlines()]
    start, end = min(int(t[0]) for t in times), max(int(t[0]) + int(t[2]) for t in times)
    return REQUESTS / (end - start) * 1e6, statistics.median(int(t[2]) for t in times), cpu


def run(rounds):
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        folder = pathlib.Path(folder)
        save_network(folder / "m/1/model.onnx")
        request = predict_request(numpy.random.default_rng(1).random((1, SIZES[0])), content=True)
        body = framed(request)
        servers = {}
        for name in ("alone", "batched"):
            config = folder / name
            config.write_text(CONFIG.format(path=folder / "m", on=str(name == "batched").lower()))
            server = stack.enter_context(penstock(name, model=None, flags=[f"--model_config_file={config}"]))
            warm_up(server.port, request)
            load(server, body, folder / "log")
            servers[name] = server
        results = alternate(rounds, {name: lambda server=server: load(server, body, folder / "log")
                                     for name, server in servers.items()})
    rates, medians, cpu = ({name: [r[i] for r in results[name]] for name in results} for i in range(3))
    more = ratio(rates, "batched", "alone")
    is_faster = ratio(medians, "batched", "alone") < 1
    yield row("network 784-256-256-10 (ONNX), inline, gRPC 4x32: batched against alone",
              f"{more:.2f}x the requests per second; CPU {median(cpu, 'batched'):.1f} us against {median(cpu, 'alone'):.1f}; "
              f"median time {median(medians, 'batched') / 1e3:.2f} ms against {median(medians, 'alone') / 1e3:.2f}",
              ">= 2x, median time lower", more >= 2 and is_faster, rates=rates, medians=medians, cpu=cpu)
