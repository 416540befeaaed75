# SPDX-License-Identifier: Apache-2.0
"""Starts the servers that are measured, reads their CPU time and memory, and drives them with h2load."""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "release"
SERVER_CORE, CLIENT_CORE = "0", "1"
raise_priority = 0  # of the servers against all other programs, in steps of nice; measure.py sets it


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port, process, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args} does not listen on {port}")


class Server:
    """A server process on its own core, or on those named. Use it in a `with` statement."""

    def __init__(self, name, command, port, ready=lambda: True, cores=SERVER_CORE):
        self.name, self.port = name, port
        self.log = tempfile.NamedTemporaryFile("w+", suffix=".log")
        self.process = subprocess.Popen(
            ["taskset", "-c", cores, *map(str, command)], stdout=self.log, stderr=self.log,
            start_new_session=True)
        try:
            self.raise_priority()
            wait_for_port(port, self.process)
            end = time.monotonic() + 60
            while not ready():
                if time.monotonic() > end:
                    raise RuntimeError(f"{name} did not become ready:\n{open(self.log.name).read()}")
                time.sleep(0.1)
        except BaseException:
            self.process.kill()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def raise_priority(self):
        """Puts it before other programs; its threads keep their relation. The kernel shares a CPU among sessions first."""
        if raise_priority:
            pathlib.Path(f"/proc/{self.process.pid}/autogroup").write_text(str(-raise_priority))

    def cpu_us(self):
        """CPU time of all threads so far, those that have ended included, in microseconds."""
        process_cpu_clock = (~self.process.pid << 3) | 2  # what clock_getcpuclockid gives
        return time.clock_gettime_ns(process_cpu_clock) / 1000

    def rss_bytes(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) * 1024

    def switches(self):
        """Voluntary context switches of all threads: each is one time that a thread went to sleep."""
        total = 0
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            text = (task / "status").read_text()
            total += int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", text)[1])
        return total


def get_status(port, path):
    """The status code of GET path, or 0."""
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            return int(connection.recv(64).split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def penstock(name="penstock", model="builtin:half_plus_two", flags=(), log_level="warning", cores=SERVER_CORE, build=BUILD):
    """`penstock serve` of `build` with one loop and one model called "m" (or the config file among the flags)."""
    port, rest = free_port(), free_port()
    models = ["--model_name=m", f"--model_base_path={model}"] if model else []
    server = Server(
        name, [build / "penstock", "serve", f"--port={port}", f"--rest_api_port={rest}", "--event_loops=1",
               f"--log_level={log_level}", *models, *flags],
        port, ready=lambda: get_status(rest, "/readyz") == 200, cores=cores)
    server.rest_port = rest
    return server


def peer(name, program, mode, *arguments):
    port = free_port()
    return Server(name, [BUILD / "bench" / program, mode, port, *arguments], port)


def h2load(url, requests, connections, streams=1, body=None, headers=(), http1=False, log=None):
    """Runs h2load on the client's core; raises unless every request was answered with 2xx. Returns the requests per second.

    `log`: a file that gets a line for each request, with its start and its time in us.
    """
    with tempfile.NamedTemporaryFile() as data:
        command = ["taskset", "-c", CLIENT_CORE, "h2load", "-t1", f"-n{requests}", f"-c{connections}", f"-m{streams}",
                   "-w30", "-W30"]
        if body is not None:
            data.write(body)
            data.flush()
            command += ["-d", data.name]
        if http1:
            command.append("--h1")
        if log is not None:
            command.append(f"--log-file={log}")
        for header in headers:
            command += ["-H", header]
        output = subprocess.run([*command, url], capture_output=True, text=True, timeout=300).stdout
    good = re.search(r"status codes: (\d+) 2xx", output)
    if not good or int(good[1]) != requests:
        raise RuntimeError(f"h2load {url}: not every request was answered\n{output}")
    return float(re.search(r"finished in \S+, ([\d.]+) req/s", output)[1])


def grpc_load(port, method, message, requests, connections, streams, authorization=None):
    """Sends `message` with grpc++ on the client's core; raises unless every call succeeds."""
    with tempfile.NamedTemporaryFile() as data:
        data.write(message)
        data.flush()
        command = ["taskset", "-c", CLIENT_CORE, BUILD / "bench" / "grpc_load", str(port), method, data.name, str(requests),
                   str(connections), str(streams)]
        subprocess.run(command + ([authorization] if authorization else []), check=True, timeout=300)


def cpu_per_request(server, requests, drive):
    """Microseconds of the server's CPU for each of `requests` requests that `drive` makes."""
    before = server.cpu_us()
    drive()
    return (server.cpu_us() - before) / requests
