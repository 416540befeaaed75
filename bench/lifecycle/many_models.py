# SPDX-License-Identifier: Apache-2.0
"""Many models: how much faster two threads load them than one; what 1,000 of them cost; how long 20,000 take."""
import datetime
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import tempfile
import time
import urllib.request

from lifecycle.model_folders import SAMPLES, configuration, make_residual_onnx, scratch
from lifecycle.paced import events
from messages import GRPC_HEADERS, PREDICT, framed, predict_request, warm_up
from pairs import alternate, median, ratio, row
from runtime_models import onnxruntime_library
from servers import BUILD, CLIENT_CORE, SERVER_CORE, cpu_per_request, free_port, h2load, penstock

INITIAL, MANY = 64, 1000
FASTER_MIN = 1.7
REQUESTS = 60_000
LOOKUP_MAX = 1.05
EXTRA_BYTES_MAX = 64 * 1024
BUILTIN = 20_000
START_SECONDS_MAX, STOP_SECONDS_MAX = 5, 3
LOADING = re.compile(r"(?m)^(\S+Z) .*?\bloading model ")


def initial_load_seconds(base_path, threads):
    """From the start of the first load to the end of the last."""
    with configuration({f"m{i}": base_path for i in range(INITIAL)}) as config, penstock(
            model=None, flags=[f"--model_config_file={config.name}", f"--num_initial_load_threads={threads}"],
            log_level="info", cores=f"{SERVER_CORE},{CLIENT_CORE}") as server:
        available, _ = events(server)
        text = pathlib.Path(server.log.name).read_text()
    assert len(available) == INITIAL, available
    first = datetime.datetime.fromisoformat(LOADING.search(text)[1].replace("Z", "+00:00")).timestamp()
    return max(at for at, _ in available.values()) - first


def run_initial(rounds):
    with scratch() as folder:
        make_residual_onnx(pathlib.Path(folder) / "1")
        for kind, path in {"digits as SavedModel": SAMPLES / "digits", "a residual network as ONNX": folder,
                           "digits as ONNX": SAMPLES / "digits_onnx"}.items():
            figures = alternate(rounds, {"1": lambda: initial_load_seconds(path, 1), "2": lambda: initial_load_seconds(path, 2)})
            got = ratio(figures, "1", "2")
            yield row(f"initial load of {INITIAL} models ({kind}), 2 threads against 1",
                      f"{got:.2f}x faster ({median(figures, '2'):.2f} s against {median(figures, '1'):.2f})",
                      f">= {FASTER_MIN}x", got >= FASTER_MIN, figures=figures)


def small_models(folder, count):
    """{name: base path} of that many copies of half_plus_two; the one that is asked comes among them."""
    paths = {}
    for i in range(count):
        name = "m" if i == count // 2 else f"model{i}"
        paths[name] = pathlib.Path(folder) / name
        shutil.copytree(SAMPLES / "half_plus_two_onnx" / "1", paths[name] / "1")
    return paths


def server_with(folder, count):
    with configuration(small_models(folder, count)) as config:
        return penstock(f"{count} models", model=None, flags=[f"--model_config_file={config.name}"], log_level="info")


def own_bytes(server):
    text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+) kB", text)[1]) * 1024


def bare_bytes_per_session():
    model = SAMPLES / "half_plus_two_onnx" / "1" / "model.onnx"
    output = subprocess.run([BUILD / "bench" / "lifecycle" / "bare_sessions", onnxruntime_library(), model, str(MANY)],
                            check=True, capture_output=True, text=True).stdout
    one, many = map(int, output.split())
    return (many - one) / (MANY - 1)


def run_many(rounds):
    request = predict_request([1.0])
    body = framed(request)
    with scratch() as one_folder, scratch() as many_folder, server_with(one_folder, 1) as one, \
            server_with(many_folder, MANY) as many:
        ready = len(events(many)[0])
        yield row(f"{MANY} ONNX models (half_plus_two)", f"{ready} ready", "all ready", ready == MANY)
        time.sleep(1)
        memory = (own_bytes(many) - own_bytes(one)) / (MANY - 1)
        bare = statistics.median(bare_bytes_per_session() for _ in range(3))
        yield row("memory for each of them beyond ONNX Runtime's own",
                  f"{(memory - bare) / 1024:.0f} KB ({memory / 1024:.0f} KB, a bare session that has run {bare / 1024:.0f})",
                  f"<= {EXTRA_BYTES_MAX // 1024} KB", memory - bare <= EXTRA_BYTES_MAX)
        for server in (one, many):
            warm_up(server.port, request)

        def measure(server):
            return cpu_per_request(server, REQUESTS, lambda: h2load(
                f"http://127.0.0.1:{server.port}{PREDICT}", REQUESTS, 4, 32, body, GRPC_HEADERS))
        figures = alternate(rounds, {"many": lambda: measure(many), "one": lambda: measure(one)})
    got = ratio(figures, "many", "one")
    yield row("gRPC Predict on one of them, against a server with one model",
              f"{got:.2f}x ({median(figures, 'many'):.2f} us against {median(figures, 'one'):.2f})",
              f"<= {LOOKUP_MAX}x", got <= LOOKUP_MAX, figures=figures)


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_ready(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=60):
            return True
    except OSError:
        return False


def start_and_stop(count):
    """((wall, processor seconds) until all are ready, the same from SIGTERM to the exit), on both cores."""
    port = free_port()
    with configuration({f"m{i}": "builtin:half_plus_two" for i in range(count)}) as config, \
            tempfile.TemporaryFile() as log:
        begin = time.monotonic()
        process = subprocess.Popen([BUILD / "penstock", "serve", "--port=0", f"--rest_api_port={port}",
                                    f"--model_config_file={config.name}"], stdout=log, stderr=log)
        try:
            while not is_ready(port):
                if process.poll() is not None or time.monotonic() - begin > 300:
                    raise RuntimeError(f"{count} models are not ready: {process.poll()}")
                time.sleep(0.05)
            started = time.monotonic() - begin, cpu_seconds(process.pid)
            begin = time.monotonic()
            process.terminate()
            _, _, usage = os.wait4(process.pid, 0)
            return started, (time.monotonic() - begin, usage.ru_utime + usage.ru_stime - started[1])
        except BaseException:
            process.kill()
            raise


def run_builtin(_):
    half, whole = start_and_stop(BUILTIN // 2), start_and_stop(BUILTIN)
    for i, (name, limit) in enumerate({"ready": START_SECONDS_MAX, "stopped": STOP_SECONDS_MAX}.items()):
        yield row(f"{BUILTIN} built-in models {name}",
                  f"{whole[i][0]:.1f} s, {whole[i][1]:.1f} s of processor time ({BUILTIN // 2}: {half[i][1]:.1f} s)",
                  f"<= {limit} s", whole[i][0] <= limit)
