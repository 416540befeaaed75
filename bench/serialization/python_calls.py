# SPDX-License-Identifier: Apache-2.0
"""Whole calls of clients in Python: the CPU time of the client's process and the time of a call, through the identity model."""
import asyncio
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "clients/python/src"))

import numpy as np
import penstock_client
from graphpipe import remote

from pairs import alternate, row
from servers import penstock

# The shape of the tensor, and the calls of one measurement.
CASES = ((1,), 300), ((32, 224, 224, 3), 4)


def timed(call, calls):
    """(CPU seconds of this process, seconds) of a call."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(calls):
        call()
    return (time.process_time() - cpu) / calls, (time.perf_counter() - wall) / calls


def run(rounds):
    loop = asyncio.new_event_loop()
    with penstock(model="builtin:identity") as server:
        url = f"http://127.0.0.1:{server.rest_port}"
        model = penstock_client.Client(url).model("m")
        client = penstock_client.AsyncClient(url)
        for shape, calls in CASES:
            x = np.random.default_rng(1).random(shape, np.float32)
            clients = {
                "Client": lambda: model.infer_one(x),
                "AsyncClient": lambda: loop.run_until_complete(client.model("m").infer_one(x)),
                "graphpipe 1.0.4": lambda: remote.execute(f"{url}/graphpipe/m", x)}
            for call in clients.values():
                assert np.array_equal(call(), x)
            figures = alternate(rounds, {name: lambda call=call: timed(call, calls) for name, call in clients.items()})
            public = figures["graphpipe 1.0.4"]
            for name, times in figures.items():
                got = [statistics.median(ours[i] / theirs[i] for ours, theirs in zip(times, public)) for i in (0, 1)]
                cpu, wall = (statistics.median(column) * 1000 for column in zip(*times))
                yield row(f"Python, {name}, identity on {list(shape)} fp32: its CPU and time of a call, against graphpipe 1.0.4",
                          f"{got[0]:.2f}x ({cpu:.3g} ms), {got[1]:.2f}x ({wall:.3g} ms)", "", True, figures=times)
        loop.run_until_complete(client.close())
    loop.close()
