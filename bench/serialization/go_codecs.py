# SPDX-License-Identifier: Apache-2.0
"""What a client in Go does with tensors, and whole calls of our Go client beside net/http alone: builds the program in go/, with
Go's code for TensorFlow Serving's messages, and runs it."""
import json
import pathlib
import shutil
import statistics
import subprocess

from pairs import row
from servers import penstock

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = pathlib.Path(__file__).resolve().parent / "go"
BUILD = ROOT / "build/serialization_go"
GO = ROOT / "tools/go"
MESSAGES = ["tensorflow/types.proto", "tensorflow/tensor_shape.proto", "tensorflow/tensor.proto", "serving/model.proto",
            "serving/predict.proto"]
RATIO_MAX = 1.2


def build():
    """The program. Everything is made in BUILD, because Go writes beside its module's files."""
    shutil.copytree(SOURCE, BUILD, dirs_exist_ok=True)
    subprocess.run([GO, "mod", "edit", f"-replace=penstock.example/penstock={ROOT / 'clients/go'}"], cwd=BUILD, check=True)
    subprocess.run([GO, "build", "-o", BUILD, "google.golang.org/protobuf/cmd/protoc-gen-go"], cwd=BUILD, check=True)
    packages = [f"--go_opt=M{message}=penstock.example/bench/tfs" for message in MESSAGES]
    subprocess.run(["protoc", f"--plugin={BUILD / 'protoc-gen-go'}", f"-I{ROOT / 'proto'}", f"--go_out={BUILD}",
                    "--go_opt=module=penstock.example/bench", *packages, *MESSAGES], check=True)
    subprocess.run([GO, "build", "-o", BUILD / "codecs", "."], cwd=BUILD, check=True)
    return BUILD / "codecs"


def figures_of(*arguments):
    output = subprocess.run([build(), *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def run(rounds):
    """The codecs, for bench/measure.py."""
    for index, figures in enumerate(figures_of(f"-rounds={rounds}")):
        write, read = figures["write"], figures["read"]
        is_ours = index == 0
        yield row(f"Go, {figures['codec']}: request to bytes, answer from bytes, against one copy",
                  f"{write[0]:.3g}x ({write[1] * 1e3:.3g} ms), {read[0]:.3g}x ({read[1] * 1e3:.3g} ms)",
                  f"<= {RATIO_MAX}x each" if is_ours else "", not is_ours or max(write[0], read[0]) <= RATIO_MAX,
                  language="Go", codec=figures["codec"], write=write, read=read)


def run_calls(rounds):
    """Whole calls, for bench/measure.py."""
    with penstock(model="builtin:identity") as server:
        all_figures = figures_of(f"-rounds={rounds}", f"-calls=http://127.0.0.1:{server.rest_port}")
    for figures in all_figures:
        ours, bare = figures["ours"], figures["bare"]
        ratios = [statistics.median(mine[i] / theirs[i] for mine, theirs in zip(ours, bare)) for i in (0, 1)]
        cpu, wall = (statistics.median(column) * 1e3 for column in zip(*ours))
        yield row(f"Go client, identity on {figures['shape']} fp32: its CPU and time of a call, against net/http alone with a "
                  "message made before",
                  f"{ratios[0]:.2f}x ({cpu:.3g} ms), {ratios[1]:.2f}x ({wall:.3g} ms)", "", True, ours=ours, bare=bare)
