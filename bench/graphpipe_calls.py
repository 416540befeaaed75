# SPDX-License-Identifier: Apache-2.0
"""Inferences over GraphPipe against the least that an HTTP/1.1 server can do with the same bytes."""
import subprocess
import tempfile
import urllib.request

import numpy
from graphpipe import convert

from messages import predict_request, warm_up
from pairs import alternate, median, ratio, row
from servers import BUILD, CLIENT_CORE, cpu_per_request, h2load, peer, penstock

SMALL_REQUESTS, CONNECTIONS = 60_000, 32
PATH = "/graphpipe/m"
# Rows of 224x224x3 floats, clients, requests of one measurement.
CASES = [(rows, clients, requests) for rows, requests in ((1, 1000), (8, 120), (32, 40)) for clients in (1, 5)]


def infer_message(values):
    return bytes(convert.serialize_infer_request(convert.InferReq(input_tensors=[values])))


def ask(port, message):
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{PATH}", message)) as answer:
        return answer.read()


def run_small(rounds):
    body = infer_message(numpy.array([1.0], numpy.float32))
    with penstock() as ours:
        answer = ask(ours.rest_port, body)
        assert convert.deserialize_infer_response(bytearray(answer))[0][0] == [2.5]
        warm_up(ours.port, predict_request([1.0]))
        with peer("epoll echo", "http_echo", "epoll", len(answer)) as echo:
            def measure(server, port):
                return cpu_per_request(server, SMALL_REQUESTS, lambda: h2load(
                    f"http://127.0.0.1:{port}{PATH}", SMALL_REQUESTS, CONNECTIONS, 1, body, http1=True))
            figures = alternate(rounds, {
                "penstock": lambda: measure(ours, ours.rest_port),
                "echo": lambda: measure(echo, echo.port)})
    got = ratio(figures, "penstock", "echo")
    yield row(f"GraphPipe, 1 float, {CONNECTIONS} connections, against an epoll echo",
              f"{got:.2f}x ({median(figures, 'penstock'):.2f} us against {median(figures, 'echo'):.2f})",
              "<= 1.3x", got <= 1.3, figures=figures)


def run_large(rounds):
    """The identity model. Each measurement gives the time of a request, and the CPU time of the server for it."""
    with penstock(model="builtin:identity") as ours:
        for rows, clients, requests in CASES:
            values = numpy.random.default_rng(1).random((rows, 224, 224, 3), numpy.float32)
            body = infer_message(values)
            answer = ask(ours.rest_port, body)
            assert numpy.array_equal(convert.deserialize_infer_response(bytearray(answer))[0][0], values)
            with peer("raw HTTP", "http_echo", "prebuilt", len(answer)) as raw, tempfile.NamedTemporaryFile() as file:
                file.write(body)
                file.flush()

                def measure(server, port):
                    before = server.cpu_us()
                    seconds = float(subprocess.run(
                        ["taskset", "-c", CLIENT_CORE, BUILD / "bench" / "http_load", str(port), PATH, file.name, str(requests),
                         str(clients)], check=True, capture_output=True, text=True, timeout=60).stdout)
                    return requests / seconds, (server.cpu_us() - before) / requests

                figures = alternate(rounds, {"penstock": lambda: measure(ours, ours.rest_port),
                                             "raw": lambda: measure(raw, raw.port)})
            rates = {name: [rate for rate, _ in each] for name, each in figures.items()}
            cpu = {name: [time for _, time in each] for name, each in figures.items()}
            case = f"GraphPipe, identity on [{rows},224,224,3] fp32, {clients} clients, against a raw HTTP/1.1 server"
            got = ratio(rates, "penstock", "raw")
            yield row(f"{case}: requests/s", f"{got:.2f}x ({median(rates, 'penstock'):.0f} against {median(rates, 'raw'):.0f})",
                      ">= 0.8x", got >= 0.8, figures=rates)
            got = ratio(cpu, "penstock", "raw")
            yield row(f"{case}: CPU of a request",
                      f"{got:.2f}x ({median(cpu, 'penstock') / 1000:.2f} ms against {median(cpu, 'raw') / 1000:.2f})",
                      "<= 1.4x", got <= 1.4, figures=cpu)
