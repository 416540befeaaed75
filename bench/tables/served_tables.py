# SPDX-License-Identifier: Apache-2.0
"""Tables in a server: two models over the same files, and requests on the event loop against those on the compute threads."""
import array
import contextlib
import json
import os
import random
import re
import subprocess
import tempfile
import urllib.request

from pairs import alternate, median, ratio, row
from servers import BUILD, CLIENT_CORE, penstock
from tables.tables import figures_of

ROWS = 1_000_000  # of 256 bytes
REQUESTS = {1: 20_000, 50: 10_000, 500: 3_000}  # by the number of their keys
ANONYMOUS_MAX_MB = 10


@contextlib.contextmanager
def made():
    """The base path of a table, and its keys."""
    with tempfile.TemporaryDirectory() as base:
        folder = f"{base}/1"
        figures_of("make", folder, ROWS)
        keys = array.array("q")
        with open(f"{folder}/key", "rb") as file:
            keys.fromfile(file, ROWS)
        yield base, keys


def ask(server, model, keys):
    body = json.dumps({"inputs": {"keys": keys}}).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{server.rest_port}/v1/models/{model}:predict", body) as answer:
        found = json.load(answer)["outputs"]["found"]
    assert all(found)


def anonymous_bytes(base, keys, models):
    """Of a server with so many models over the same table, after 60 requests."""
    with tempfile.NamedTemporaryFile("w", suffix=".config") as config:
        configs = (f'config {{ name: "m{i}" base_path: "{base}" }}' for i in range(models))
        config.write(f"model_config_list {{ {' '.join(configs)} }}")
        config.flush()
        with penstock(model=None, flags=[f"--model_config_file={config.name}"]) as server:
            for i in range(60):
                ask(server, f"m{i % models}", random.sample(keys, 500))
            with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
                return int(re.search(r"RssAnon:\s+(\d+) kB", status.read())[1]) * 1024


def run_shared(rounds):
    with made() as (base, keys):
        figures = alternate(rounds, {f"{models}": lambda models=models: anonymous_bytes(base, keys, models) for models in (1, 2)})
    more = (median(figures, "2") - median(figures, "1")) / 1e6
    yield row("two models over one table of 256 MB: anonymous memory beyond that with one", f"{more:+.2f} MB",
              f"<= {ANONYMOUS_MAX_MB} MB", more <= ANONYMOUS_MAX_MB, figures=figures)


def measured(server, keys, requests):
    """(p50, CPU of the server) of a request for these keys, in us."""
    message = {"modelSpec": {"name": "m"},
               "inputs": {"keys": {"dtype": "DT_INT64", "tensorShape": {"dim": [{"size": len(keys)}]}, "int64Val": keys}}}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as request, tempfile.NamedTemporaryFile("r") as report:
        json.dump(message, request)
        request.flush()
        before = server.cpu_us()
        subprocess.run(["taskset", "-c", CLIENT_CORE, BUILD / "penstock", "bench", f"--target=localhost:{server.port}",
                        f"--request={request.name}", "--connections=1", "--streams=1", "--warmup=0s", "--duration=60s",
                        f"--requests_max={requests}", f"--json={report.name}"], check=True, stdout=subprocess.DEVNULL)
        cpu = (server.cpu_us() - before) / requests
        return json.load(report)["runs"][0]["latency_us"]["p50"], cpu


def run_inline(rounds):
    with made() as (base, keys), penstock(model=base) as inline, \
            penstock(model=base, flags=["--inline_run_time_max_us=0"]) as pool:
        for server in inline, pool:
            for _ in range(100):  # until the tables are warm
                ask(server, "m", random.sample(keys, 500))
        for count, requests in REQUESTS.items():
            wanted = random.sample(keys, count)
            runs = alternate(rounds, {name: lambda server=server: measured(server, wanted, requests)
                                      for name, server in {"inline": inline, "pool": pool}.items()})
            for position, what in enumerate(("time, p50", "CPU of the server")):
                figures = {name: [run[position] for run in figures] for name, figures in runs.items()}
                times = ratio(figures, "inline", "pool")
                yield row(f"{count} rows of a table in memory over gRPC, on the event loop against compute threads: {what}",
                          f"{median(figures, 'inline'):.1f} us against {median(figures, 'pool'):.1f}, {times:.2f}x",
                          "< 1x", times < 1, figures=figures)
