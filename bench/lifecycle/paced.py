# SPDX-License-Identifier: Apache-2.0
"""A steady load beside what happens in the server, and the times of the requests in and out of it."""
import datetime
import pathlib
import re
import signal
import subprocess
import tempfile
import time

import numpy
from messages import PREDICT, framed
from servers import BUILD, CLIENT_CORE

CONNECTIONS = 4
RECORD = numpy.dtype([("sent_us", "<i8"), ("took_us", "<f4"), ("late_us", "<f4"), ("grpc_status", "<i4"),
                      ("answer_bytes", "<i4")])
EVENT = re.compile(r"(?m)^(\S+Z) .*?\bmodel (\S+) version (\d+) (is available, in (\d+) ms|is unloaded)")


class PacedLoad:
    """Sends `request` at a fixed rate until `requests` are sent or it is stopped."""

    def __init__(self, port, request, requests, per_second):
        self.files = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self.files.name)
        (folder / "message").write_bytes(framed(request))
        self.log = folder / "log"
        self.process = subprocess.Popen(
            ["taskset", "-c", CLIENT_CORE, BUILD / "bench" / "lifecycle" / "paced_load", str(port), PREDICT,
             folder / "message", str(CONNECTIONS), str(requests), str(per_second), self.log])

    def running(self):
        return self.process.poll() is None

    def records(self):
        """Of all requests, once the last is answered."""
        code = self.process.wait(600)
        records = numpy.fromfile(self.log, RECORD)
        self.files.cleanup()
        if code != 0:
            raise RuntimeError(f"paced_load ended with {code}: {len(records)} requests")
        return records

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.records()


def failures(records):
    return int(((records["grpc_status"] != 0) | (records["answer_bytes"] <= 5)).sum())


def split(records, windows):
    """The records sent in one of the windows [(start, end) in seconds], and the others."""
    sent = records["sent_us"] / 1e6
    inside = numpy.zeros(len(records), bool)
    for start, end in windows:
        inside |= (sent >= start) & (sent < end)
    return records[inside], records[~inside]


def percentile(records, percent):
    return float(numpy.percentile(records["took_us"], percent))


def events(server):
    """{(model, version): (time, milliseconds that the load took or None)} of the availabilities and of the unloads."""
    available, unloaded = {}, {}
    for when, model, version, _, took in EVENT.findall(pathlib.Path(server.log.name).read_text()):
        at = datetime.datetime.fromisoformat(when.replace("Z", "+00:00")).timestamp()
        (available if took else unloaded)[model, int(version)] = (at, int(took) if took else None)
    return available, unloaded


def wait_for(server, kind, model, version, seconds=120):
    """Until the log says so; when that was."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = events(server)[("available", "unloaded").index(kind)].get((model, version))
        if found:
            return found
        time.sleep(0.02)
    raise RuntimeError(f"{model} version {version} is not {kind}:\n{pathlib.Path(server.log.name).read_text()[-3000:]}")
