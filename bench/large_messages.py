# SPDX-License-Identifier: Apache-2.0
"""A 19 MB tensor through the identity model, over gRPC and as an .npy file, against a raw HTTP/1.1 echo of the same bytes."""
import io
import os
import subprocess
import sys
import urllib.request

import numpy
import tensorflow as tf
from messages import GRPC_HEADERS, PREDICT, framed, predict_request, stub
from pairs import alternate, median, ratio, row
from servers import CLIENT_CORE, cpu_per_request, h2load, peer, penstock

REQUESTS = 60
FOLDER = os.path.dirname(os.path.abspath(__file__))
NPY = "application/x-npy"
CLIENT = """
import sys
sys.path.insert(0, sys.argv[1])
from messages import predict_request, stub
import numpy
request = predict_request(numpy.ones((32, 224, 224, 3), numpy.float32), content=True)
client = stub(int(sys.argv[2]))
for _ in range(int(sys.argv[3])):
    client.Predict(request, timeout=60)
"""


def run(rounds):
    values = numpy.random.default_rng(1).random((32, 224, 224, 3), numpy.float32)
    request = predict_request(values, content=True)
    body = framed(request)
    file = io.BytesIO()
    numpy.save(file, values)
    with penstock(model="builtin:identity") as ours, peer("raw echo", "http_echo", "large", 0) as echo:
        answer = stub(ours.port).Predict(request, timeout=60)
        assert numpy.array_equal(tf.make_ndarray(answer.outputs["x"]), values)

        url = f"http://127.0.0.1:{ours.rest_port}/v1/models/m:predict"
        with urllib.request.urlopen(urllib.request.Request(url, file.getvalue(), {"Content-Type": NPY})) as back:
            assert back.read() == file.getvalue()

        def ours_npy():
            h2load(url, REQUESTS, 1, 1, file.getvalue(), (f"content-type: {NPY}",), http1=True)

        def ours_h2load():
            h2load(f"http://127.0.0.1:{ours.port}{PREDICT}", REQUESTS, 1, 1, body, GRPC_HEADERS)

        def ours_grpcio():
            subprocess.run(["taskset", "-c", CLIENT_CORE, sys.executable, "-c", CLIENT, FOLDER, str(ours.port),
                            str(REQUESTS)], check=True, timeout=300)

        def echo_h2load():
            h2load(f"http://127.0.0.1:{echo.port}/", REQUESTS, 1, 1, body, http1=True)

        figures = alternate(rounds, {
            "h2load": lambda: cpu_per_request(ours, REQUESTS, ours_h2load),
            "grpcio": lambda: cpu_per_request(ours, REQUESTS, ours_grpcio),
            "npy": lambda: cpu_per_request(ours, REQUESTS, ours_npy),
            "echo": lambda: cpu_per_request(echo, REQUESTS, echo_h2load)})
    for client in ("h2load", "grpcio"):
        got = ratio(figures, client, "echo")
        yield row(f"gRPC Predict, identity on [32,224,224,3] fp32, {client}, against a raw HTTP/1.1 echo",
                  f"{got:.2f}x ({median(figures, client) / 1000:.1f} ms against {median(figures, 'echo') / 1000:.1f})",
                  "<= 1.6x", got <= 1.6, figures=figures)
    got = ratio(figures, "npy", "echo")
    yield row("REST :predict, identity on an .npy file of [32,224,224,3] fp32, against a raw HTTP/1.1 echo",
              f"{got:.2f}x ({median(figures, 'npy') / 1000:.1f} ms against {median(figures, 'echo') / 1000:.1f})",
              "<= 1.2x", got <= 1.2, figures=figures)
