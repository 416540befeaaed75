# SPDX-License-Identifier: Apache-2.0
"""What the request log costs a small gRPC request and one of 256 KB: servers with and without it, in one run.

Each round starts all servers anew, as two_builds.py does, and for its reason. The log is written after the answer, so the CPU
time of a call is taken when all of its bytes are in the files. The disk gets them before the next measurement.
"""
import contextlib
import os
import pathlib
import statistics
import tempfile
import time

from messages import GRPC_HEADERS, PREDICT, check_half_plus_two, framed, predict_request, stub, warm_up
from pairs import alternate, median, ratio, row
from servers import cpu_per_request, h2load, penstock

CONNECTIONS = 4
SMALL, LARGE = ("1 float", 40_000, 32), ("256 KB", 1_000, 4)  # the name, requests, streams
REQUESTS = {"1 float": predict_request([1.0]), "256 KB": predict_request([1.0] * 65536, content=True)}
WARM_UP_CALLS = 300
REPEATS = 3  # measurements of each server in one round
RATES = {"1 %": 0.01, "all": 1.0}
LIMIT_AT_ONE_PERCENT = 1.03
LIMIT_PART, LIMIT_NS_PER_BYTE = 0.60, 0.3  # of the full log: this part of the plain call, and this for each byte of the record


class Log:
    """The folder of a server's request log."""

    def __init__(self, folder, rate):
        self.folder = folder / "log"
        self.config = folder / "models.config"
        self.config.write_text(f"""model_config_list {{ config {{
            name: "m" base_path: "builtin:half_plus_two"
            logging_config {{ log_collector_config {{ filename_prefix: "m" }}
                              sampling_config {{ sampling_rate: {rate} }} }} }} }}""")

    def flags(self):
        # No record may be dropped: it would cost less than one that is written.
        return [f"--model_config_file={self.config}", f"--request_log_directory={self.folder}",
                f"--request_log_queue_bytes_max={1 << 30}", f"--request_log_file_bytes_max={1 << 26}"]

    def bytes(self):
        return sum(file.stat().st_size for file in self.folder.iterdir())

    def wait_for(self, total):
        end = time.monotonic() + 60
        while (written := self.bytes()) < total:
            if time.monotonic() > end:
                raise RuntimeError(f"the log has {written} bytes instead of {total}")
            time.sleep(0.02)

    def remove_full_files(self):
        for file in self.folder.iterdir():
            if not file.name.endswith(".open"):
                file.unlink()


class Measured:
    """A server, plain or with a log."""

    def __init__(self, name, stack):
        self.log = None
        if name in RATES:
            self.log = Log(pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())), RATES[name])
        self.server = stack.enter_context(penstock(name, model=None if self.log else "builtin:half_plus_two",
                                                   flags=self.log.flags() if self.log else ()))
        self.is_full = self.log is not None and RATES[name] == 1
        self.record_bytes = {}
        check_half_plus_two(self.server.port)
        for size, request in REQUESTS.items():
            self.warm_up(size, request)

    def warm_up(self, size, request):
        if not self.is_full:
            return warm_up(self.server.port, request, WARM_UP_CALLS)
        self.settle()
        before = self.log.bytes()
        stub(self.server.port).Predict(request, timeout=30)
        self.settle()
        self.record_bytes[size] = self.log.bytes() - before
        warm_up(self.server.port, request, WARM_UP_CALLS)
        self.log.wait_for(before + (WARM_UP_CALLS + 1) * self.record_bytes[size])

    def settle(self):
        """Waits until the log has stopped to grow: longer than the server gathers records."""
        before = -1
        while self.log.bytes() > before:
            before = self.log.bytes()
            time.sleep(0.3)

    def call(self, size, requests, streams):
        """CPU time of a call, with that of its record."""
        if self.is_full:
            self.log.remove_full_files()
        before = self.log.bytes() if self.is_full else 0

        def drive():
            h2load(f"http://127.0.0.1:{self.server.port}{PREDICT}", requests, CONNECTIONS, streams, framed(REQUESTS[size]),
                   GRPC_HEADERS)
            if self.is_full:
                self.log.wait_for(before + requests * self.record_bytes[size])
        cost = cpu_per_request(self.server, requests, drive)
        if self.is_full:
            os.sync()
        return cost


def one_round(figures, record_bytes):
    with contextlib.ExitStack() as stack:
        servers = {name: Measured(name, stack) for name in ("plain", *RATES)}
        record_bytes.update(servers["all"].record_bytes)
        for name, (size, requests, streams) in (("1 %", SMALL), ("all", SMALL), ("all", LARGE)):
            got = alternate(REPEATS, {each: lambda s=servers[each]: s.call(size, requests, streams) for each in ("plain", name)})
            pair = figures.setdefault((name, size), {"plain": [], "logged": []})
            pair["plain"].append(median(got, "plain"))
            pair["logged"].append(median(got, name))


def run(rounds):
    figures, record_bytes = {}, {}
    for _ in range(rounds):
        one_round(figures, record_bytes)
    pair = figures["1 %", SMALL[0]]
    got = ratio(pair, "logged", "plain")
    yield row(f"gRPC Predict, 1 float, {CONNECTIONS}x{SMALL[2]}, request log of 1 %, against plain",
              f"{got:.3f}x ({median(pair, 'logged'):.2f} us against {median(pair, 'plain'):.2f})",
              f"<= {LIMIT_AT_ONE_PERCENT:.2f}x", got <= LIMIT_AT_ONE_PERCENT)
    for size, _, streams in (SMALL, LARGE):
        pair = figures["all", size]
        plain, count = median(pair, "plain"), record_bytes[size]
        extra = statistics.median(a - b for a, b in zip(pair["logged"], pair["plain"]))
        limit = LIMIT_PART * plain + LIMIT_NS_PER_BYTE / 1000 * count
        yield row(f"gRPC Predict, {size}, {CONNECTIONS}x{streams}, full request log, CPU beyond plain",
                  f"{extra:.2f} us beyond {plain:.2f} ({extra / plain:.0%}; {1000 * extra / count:.2f} ns for each of the "
                  f"{count:,} bytes of a record)",
                  f"<= {limit:.2f} us ({LIMIT_PART:.0%} + {LIMIT_NS_PER_BYTE} ns per byte)", extra <= limit)
