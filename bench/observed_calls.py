# SPDX-License-Identifier: Apache-2.0
"""What the access log and traces cost a small gRPC request: servers with and without them, in one run.

Each round starts all servers anew, as two_builds.py does, and for its reason.
"""
import contextlib
import http.server
import os
import pathlib
import tempfile
import threading

from messages import GRPC_HEADERS, PREDICT, check_half_plus_two, framed, predict_request, warm_up
from pairs import alternate, median, ratio, row
from servers import CLIENT_CORE, cpu_per_request, h2load, penstock

REQUESTS, CONNECTIONS, STREAMS = 40_000, 4, 32
REPEATS = 4  # measurements of each server in one round
LIMITS = {"access line as text": 1.40, "trace at 1 %": 1.03}


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes traces and forgets them."""
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def serve_on_the_clients_core(server):
    """Its threads would otherwise disturb the caches of the server's core."""
    os.sched_setaffinity(0, {int(CLIENT_CORE)})  # of this thread and those that it starts
    server.serve_forever()


@contextlib.contextmanager
def collector():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.daemon_threads = True
    threading.Thread(target=serve_on_the_clients_core, args=(server,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def measure(server, body):
    return cpu_per_request(server, REQUESTS, lambda: h2load(
        f"http://127.0.0.1:{server.port}{PREDICT}", REQUESTS, CONNECTIONS, STREAMS, body, GRPC_HEADERS))


def one_round(url, figures):
    body = framed(predict_request([1.0]))
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        flags = {"plain": [],
                 "access line as text": ["--access_log=all", f"--access_log_file={pathlib.Path(folder, 'access.log')}"],
                 "trace at 1 %": [f"--trace_endpoint={url}", "--trace_sample_rate=0.01"]}
        servers = {name: stack.enter_context(penstock(name, flags=flags[name])) for name in flags}
        for server in servers.values():
            check_half_plus_two(server.port)
            warm_up(server.port, predict_request([1.0]))
        got = alternate(REPEATS, {name: lambda s=server: measure(s, body) for name, server in servers.items()})
        for name in servers:
            figures[name].append(median(got, name))


def run(rounds):
    figures = {name: [] for name in ("plain", *LIMITS)}
    with collector() as url:
        for _ in range(rounds):
            one_round(url, figures)
    for name, limit in LIMITS.items():
        got = ratio(figures, name, "plain")
        yield row(f"gRPC Predict, 1 float, {CONNECTIONS}x{STREAMS}, {name}, against plain",
                  f"{got:.3f}x ({median(figures, name):.2f} us against {median(figures, 'plain'):.2f})",
                  f"<= {limit:.2f}x", got <= limit, figures=figures)
