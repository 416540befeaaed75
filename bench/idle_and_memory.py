# SPDX-License-Identifier: Apache-2.0
"""What an idle server costs, and what is left of its memory after clients that misbehave."""
import contextlib
import resource
import socket
import tempfile
import time

from messages import predict_request, warm_up
from pairs import row
from servers import ROOT, penstock

IDLE_SECONDS = 20
STALLED, FLEETING = 1000, 10_000


def run_idle(_rounds):
    with tempfile.NamedTemporaryFile("w", suffix=".config") as config:
        entries = "".join(
            f'config {{ name: "m{i}" base_path: "{ROOT}/examples/models/half_plus_two" model_platform: "tensorflow" }}\n'
            for i in range(20))
        config.write(f"model_config_list {{ {entries} }}")
        config.flush()
        with penstock(model=None, flags=[f"--model_config_file={config.name}"]) as server:
            time.sleep(3)
            cpu, switches = server.cpu_us(), server.switches()
            time.sleep(IDLE_SECONDS)
            cpu = (server.cpu_us() - cpu) / IDLE_SECONDS / 1e4
            wakeups = (server.switches() - switches) / IDLE_SECONDS
    yield row("idle server with 20 models", f"{cpu:.2f} % CPU, {wakeups:.1f} wake-ups/s", "0 % CPU, <= 1 wake-up/s",
              cpu < 0.1 and wakeups <= 1.05, cpu_percent=cpu, wakeups=wakeups)


def stalled_body(port):
    """A connection that sent the head and some of a 1 MB body."""
    connection = socket.create_connection(("127.0.0.1", port), 10)
    connection.sendall(b"POST /v1/models/m:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b" " * 65536)
    return connection


def run_memory(_rounds):
    resource.setrlimit(resource.RLIMIT_NOFILE, (20_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with penstock() as server:
        warm_up(server.port, predict_request([1.0]))
        before = server.rss_bytes()
        with contextlib.ExitStack() as stack:
            for _ in range(STALLED):
                stack.enter_context(stalled_body(server.rest_port))
            time.sleep(1)
            peak = server.rss_bytes()
        for _ in range(FLEETING):
            socket.create_connection(("127.0.0.1", server.rest_port), 10).close()
        time.sleep(15)  # buffers that nobody used for 10 seconds go back to the system
        after = server.rss_bytes()
    growth = after / before - 1
    yield row(f"memory: {STALLED} connections stalled mid-body, then {FLEETING} that connect and leave",
              f"RSS {before >> 20} MB, {peak >> 20} MB at the peak, {after >> 20} MB after ({growth * 100:+.0f} %)",
              "back within 10 %", growth <= 0.10, before=before, peak=peak, after=after)
