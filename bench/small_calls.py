# SPDX-License-Identifier: Apache-2.0
"""gRPC Predict with one float against grpc++ servers that parse and answer the same messages."""
from messages import GRPC_HEADERS, PREDICT, check_half_plus_two, framed, predict_request, warm_up
from pairs import alternate, median, ratio, row
from servers import cpu_per_request, h2load, peer, penstock

REQUESTS = {(4, 32): 60_000, (32, 1): 30_000}
LIMITS = {(4, 32): {"sync": 1 / 8, "callback": 1 / 6}, (32, 1): {"sync": 1 / 2.4}}


def run(rounds):
    body = framed(predict_request([1.0]))
    with penstock() as ours, peer("sync", "grpc_predict", "sync") as sync, \
            peer("callback", "grpc_predict", "callback") as callback:
        for server in (ours, sync, callback):
            check_half_plus_two(server.port)
        warm_up(ours.port, predict_request([1.0]))
        for (connections, streams), requests in REQUESTS.items():
            def measure(server):
                return cpu_per_request(server, requests, lambda: h2load(
                    f"http://127.0.0.1:{server.port}{PREDICT}", requests, connections, streams, body, GRPC_HEADERS))
            figures = alternate(rounds, {
                "penstock": lambda: measure(ours), "sync": lambda: measure(sync), "callback": lambda: measure(callback)})
            for name, limit in LIMITS[(connections, streams)].items():
                got = ratio(figures, "penstock", name)
                yield row(f"gRPC Predict, 1 float, {connections}x{streams}, against grpc++ {name}",
                          f"1/{1 / got:.1f} ({median(figures, 'penstock'):.2f} us against {median(figures, name):.1f})",
                          f"<= 1/{1 / limit:.1f}", got <= limit, figures=figures)
