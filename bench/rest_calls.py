# SPDX-License-Identifier: Apache-2.0
"""REST :predict against the least that an HTTP/1.1 server can do, and the JSON codec against bare library loops."""
import json
import re
import statistics
import subprocess
import urllib.request

import numpy

from messages import predict_request, warm_up
from pairs import alternate, median, ratio, row
from servers import BUILD, CLIENT_CORE, cpu_per_request, h2load, peer, penstock

REQUESTS = 60_000
ROW_REQUESTS, ROW_US_MAX = 10_000, 40
CONNECTIONS = 32


def run_small(rounds):
    body = b'{"instances": [1.0]}'
    with penstock() as ours:
        url = f"http://127.0.0.1:{ours.rest_port}/v1/models/m:predict"
        with urllib.request.urlopen(urllib.request.Request(url, body)) as answer:
            text = answer.read()
        assert json.loads(text) == {"predictions": [2.5]}, text
        warm_up(ours.port, predict_request([1.0]))
        with peer("epoll echo", "http_echo", "epoll", len(text)) as echo:
            def measure(server, target):
                return cpu_per_request(server, REQUESTS, lambda: h2load(
                    target, REQUESTS, CONNECTIONS, 1, body, ("content-type: application/json",), http1=True))
            figures = alternate(rounds, {
                "penstock": lambda: measure(ours, url),
                "echo": lambda: measure(echo, f"http://127.0.0.1:{echo.port}/v1/models/m:predict")})
    got = ratio(figures, "penstock", "echo")
    yield row(f"REST :predict, 1 float, {CONNECTIONS} connections, against an epoll echo",
              f"{got:.2f}x ({median(figures, 'penstock'):.2f} us against {median(figures, 'echo'):.2f})",
              "<= 2x", got <= 2, figures=figures)


def run_row(rounds):
    """One image of 28 x 28 pixels, and an answer of the same size."""
    body = json.dumps({"instances": numpy.random.default_rng(1).random((1, 784), numpy.float32).astype(float).round(6).tolist()})
    with penstock() as ours:
        url = f"http://127.0.0.1:{ours.rest_port}/v1/models/m:predict"
        with urllib.request.urlopen(urllib.request.Request(url, body.encode())) as answer:
            assert len(json.load(answer)["predictions"][0]) == 784
        warm_up(ours.port, predict_request([1.0]))
        figures = [cpu_per_request(ours, ROW_REQUESTS, lambda: h2load(
            url, ROW_REQUESTS, CONNECTIONS, 1, body.encode(), ("content-type: application/json",), http1=True))
            for _ in range(rounds)]
    got = statistics.median(figures)
    yield row("REST :predict, a row of 784 floats", f"{got:.1f} us", f"<= {ROW_US_MAX} us", got <= ROW_US_MAX, figures=figures)


def run_json(_rounds):
    output = subprocess.run(
        ["taskset", "-c", CLIENT_CORE, BUILD / "bench" / "json_bench"], check=True, capture_output=True, text=True).stdout
    for line in output.splitlines():
        found = re.match(r"((?:decode|encode).*?) +bare +([\d.]+) us +ours +([\d.]+) us +ratio ([\d.]+)", line)
        if not found:
            continue
        name, bare, ours, got = found[1], float(found[2]), float(found[3]), float(found[4])
        limit = 1.3 if name.startswith("decode") else 1.2
        yield row(f"REST JSON [32,784] floats, {name}", f"{got:.2f}x ({ours:.0f} us against {bare:.0f})",
                  f"<= {limit}x", got <= limit, ours=ours, bare=bare)
