# SPDX-License-Identifier: Apache-2.0
"""The same model as SavedModel and as ONNX, run inline: what the server adds to the bare runtime call."""
import importlib.util
import pathlib
import subprocess

from messages import GRPC_HEADERS, PREDICT, check_half_plus_two, framed, predict_request, warm_up
from pairs import alternate, median, row
from servers import BUILD, ROOT, SERVER_CORE, cpu_per_request, h2load, penstock

REQUESTS = 30_000
EXTRA_US = 2.0
MODELS = {
    "SavedModel": ("half_plus_two", ["bare_tensorflow", "{folder}/1", "x", "y"]),
    "ONNX": ("half_plus_two_onnx", ["bare_onnxruntime", "{library}", "{folder}/1/model.onnx", "x", "y"]),
}


def onnxruntime_library():
    folder = pathlib.Path(importlib.util.find_spec("onnxruntime").origin).parent / "capi"
    return next(folder.glob("libonnxruntime.so*"))


def bare_call(program, folder, arguments):
    arguments = [a.format(folder=folder, library=onnxruntime_library()) for a in arguments]
    output = subprocess.run(
        ["taskset", "-c", SERVER_CORE, BUILD / "bench" / program, *arguments, "30000"],
        check=True, capture_output=True, text=True).stdout
    return float(output)


def run(rounds):
    request = predict_request([1.0])
    body = framed(request)
    for kind, (name, (program, *arguments)) in MODELS.items():
        folder = ROOT / "examples" / "models" / name
        with penstock("builtin") as builtin, penstock("runtime", model=folder) as runtime:
            for server in (builtin, runtime):
                check_half_plus_two(server.port)
                warm_up(server.port, request)

            def measure(server):
                return cpu_per_request(server, REQUESTS, lambda: h2load(
                    f"http://127.0.0.1:{server.port}{PREDICT}", REQUESTS, 4, 32, body, GRPC_HEADERS))

            figures = alternate(rounds, {
                "builtin": lambda: measure(builtin), "runtime": lambda: measure(runtime),
                "bare": lambda: bare_call(program, folder, arguments)})
        allowed = [b + c + EXTRA_US for b, c in zip(figures["builtin"], figures["bare"])]
        over = sorted(r - a for r, a in zip(figures["runtime"], allowed))[len(allowed) // 2]
        yield row(f"half_plus_two as {kind}, inline, gRPC 4x32",
                  f"{median(figures, 'runtime'):.2f} us (built-in {median(figures, 'builtin'):.2f}, "
                  f"bare call {median(figures, 'bare'):.2f})",
                  "<= built-in + bare + 2 us", over <= 0, figures=figures)
