# SPDX-License-Identifier: Apache-2.0
"""Small gRPC and REST requests against this build and against another one, given by --against: has a change cost anything?"""
import pathlib

from messages import GRPC_HEADERS, PREDICT, check_half_plus_two, framed, predict_request, warm_up
from pairs import alternate, median, ratio, row
from servers import cpu_per_request, h2load, penstock

LIMIT = 1.03
GRPC = {(4, 32): 60_000, (32, 1): 30_000}
REST_REQUESTS, REST_CONNECTIONS = 60_000, 32
other_build = None  # the folder with the other program and its backends; measure.py sets it


def run(rounds):
    if other_build is None:
        return
    grpc_body, rest_body = framed(predict_request([1.0])), b'{"instances": [1.0]}'
    with penstock("this build") as ours, penstock("other build", build=pathlib.Path(other_build).resolve()) as other:
        for server in (ours, other):
            check_half_plus_two(server.port)
            warm_up(server.port, predict_request([1.0]))

        def grpc(server, connections, streams):
            requests = GRPC[connections, streams]
            return cpu_per_request(server, requests, lambda: h2load(
                f"http://127.0.0.1:{server.port}{PREDICT}", requests, connections, streams, grpc_body, GRPC_HEADERS))

        def rest(server):
            return cpu_per_request(server, REST_REQUESTS, lambda: h2load(
                f"http://127.0.0.1:{server.rest_port}/v1/models/m:predict", REST_REQUESTS, REST_CONNECTIONS, 1, rest_body,
                ("content-type: application/json",), http1=True))

        cases = {f"gRPC Predict, 1 float, {connections}x{streams}": lambda server, c=connections, s=streams: grpc(server, c, s)
                 for connections, streams in GRPC}
        cases[f"REST :predict, 1 float, {REST_CONNECTIONS} connections"] = rest
        for case, measure in cases.items():
            figures = alternate(rounds, {"ours": lambda: measure(ours), "other": lambda: measure(other)})
            got = ratio(figures, "ours", "other")
            yield row(f"{case}, this build against the other",
                      f"{got:.3f}x ({median(figures, 'ours'):.2f} us against {median(figures, 'other'):.2f})",
                      f"<= {LIMIT}x", got <= LIMIT, figures=figures)
