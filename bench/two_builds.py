# SPDX-License-Identifier: Apache-2.0
"""Small gRPC and REST requests against this build and against another one, given by --against: has a change cost anything?

Each round starts both servers anew, in turn first and second. Where a process happens to lie in memory changes its figures by up
to 10 percent for as long as it lives: two processes of the same build differ by that much, however many rounds they run.
"""
import pathlib

from messages import GRPC_HEADERS, PREDICT, check_half_plus_two, framed, predict_request, warm_up
from pairs import alternate, median, ratio, row
from servers import BUILD, cpu_per_request, h2load, penstock

LIMIT = 1.03
REPEATS = 4  # measurements of each case in one round
GRPC = {(4, 32): 40_000, (32, 1): 10_000}
REST_REQUESTS, REST_CONNECTIONS = 10_000, 32
other_build = None  # the folder with the other program and its backends; measure.py sets it


def cases():
    """What is measured: {name: function of a server that gives its CPU time per request}."""
    grpc_body, rest_body = framed(predict_request([1.0])), b'{"instances": [1.0]}'

    def grpc(server, connections, streams):
        requests = GRPC[connections, streams]
        return cpu_per_request(server, requests, lambda: h2load(
            f"http://127.0.0.1:{server.port}{PREDICT}", requests, connections, streams, grpc_body, GRPC_HEADERS))

    def rest(server):
        return cpu_per_request(server, REST_REQUESTS, lambda: h2load(
            f"http://127.0.0.1:{server.rest_port}/v1/models/m:predict", REST_REQUESTS, REST_CONNECTIONS, 1, rest_body,
            ("content-type: application/json",), http1=True))

    found = {f"gRPC Predict, 1 float, {connections}x{streams}": lambda server, c=connections, s=streams: grpc(server, c, s)
             for connections, streams in GRPC}
    found[f"REST :predict, 1 float, {REST_CONNECTIONS} connections"] = rest
    return found


def one_round(builds, figures):
    """Starts a server of each of `builds`, {name: folder}, and adds the median of its figures to figures[case][name]."""
    first, second = builds
    with penstock(first, build=builds[first]) as one, penstock(second, build=builds[second]) as two:
        for server in (one, two):
            check_half_plus_two(server.port)
            warm_up(server.port, predict_request([1.0]))
        for case, measure in cases().items():
            got = alternate(REPEATS, {first: lambda: measure(one), second: lambda: measure(two)})
            for name in builds:
                figures[case][name].append(median(got, name))


def run(rounds):
    if other_build is None:
        return
    builds = {"ours": BUILD, "other": pathlib.Path(other_build).resolve()}
    figures = {case: {name: [] for name in builds} for case in cases()}
    for _ in range(rounds):
        one_round(builds, figures)
        builds = dict(reversed(builds.items()))
    for case, of_case in figures.items():
        got = ratio(of_case, "ours", "other")
        yield row(f"{case}, this build against the other",
                  f"{got:.3f}x ({median(of_case, 'ours'):.2f} us against {median(of_case, 'other'):.2f})",
                  f"<= {LIMIT}x", got <= LIMIT, figures=of_case)
