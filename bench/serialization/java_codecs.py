# SPDX-License-Identifier: Apache-2.0
"""What a client in Java does with tensors, and whole calls of our Java client beside the JDK's HTTP client alone: builds the
programs in java/, with Java's code for TensorFlow Serving's messages, and runs them."""
import json
import pathlib
import statistics
import subprocess

from pairs import row
from servers import penstock

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = pathlib.Path(__file__).resolve().parent / "java"
BUILD = ROOT / "build/serialization_java"
PROTOBUF = "/usr/share/java/protobuf.jar"  # of Debian's libprotobuf-java
MESSAGES = ["tensorflow/types.proto", "tensorflow/tensor_shape.proto", "tensorflow/tensor.proto", "serving/model.proto",
            "serving/predict.proto"]
# Memory that is in use already, as that of the copy: else the kernel gives pages within the measurement.
JVM = ["-Xms3g", "-Xmx3g", "-XX:+AlwaysPreTouch"]
RATIO_MAX = 1.2


def figures_of(program, *arguments):
    BUILD.mkdir(parents=True, exist_ok=True)
    subprocess.run(["protoc", f"--java_out={BUILD}", f"-I{ROOT / 'proto'}", *MESSAGES], check=True)
    sources = [*BUILD.rglob("*.java"), *(ROOT / "clients/java/src/main/java").rglob("*.java"), *SOURCE.glob("*.java")]
    subprocess.run(["javac", "-nowarn", "-proc:none", "-cp", PROTOBUF, "-d", BUILD, *sources], check=True)
    output = subprocess.run(["java", *JVM, "-cp", f"{PROTOBUF}:{BUILD}", f"penstock.client.{program}", *arguments],
                            check=True, stdout=subprocess.PIPE, text=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def run(rounds):
    """The codecs, for bench/measure.py."""
    for index, figures in enumerate(figures_of("Codecs", str(rounds))):
        write, read = figures["write"], figures["read"]
        is_ours = index == 0
        yield row(f"Java, {figures['codec']}: request to bytes, answer from bytes, against one copy",
                  f"{write[0]:.3g}x ({write[1] * 1e3:.3g} ms), {read[0]:.3g}x ({read[1] * 1e3:.3g} ms)",
                  f"<= {RATIO_MAX}x each" if is_ours else "", not is_ours or max(write[0], read[0]) <= RATIO_MAX,
                  language="Java", codec=figures["codec"], write=write, read=read)


def run_calls(rounds):
    """Whole calls, for bench/measure.py."""
    with penstock(model="builtin:identity") as server:
        all_figures = figures_of("Calls", str(rounds), f"http://127.0.0.1:{server.rest_port}")
    for figures in all_figures:
        for name, what in (("direct", "a direct buffer"), ("array", "a float[]")):
            ours, bare = figures[name], figures["bare"]
            ratios = [statistics.median(mine[i] / theirs[i] for mine, theirs in zip(ours, bare)) for i in (0, 1)]
            cpu, wall = (statistics.median(column) * 1e3 for column in zip(*ours))
            yield row(f"Java client, identity on {what} of {figures['shape']} fp32: its CPU and time of a call, against the "
                      "JDK's HTTP client alone with a message made before",
                      f"{ratios[0]:.2f}x ({cpu:.3g} ms), {ratios[1]:.2f}x ({wall:.3g} ms)", "", True, ours=ours, bare=bare)
