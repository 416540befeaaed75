# SPDX-License-Identifier: Apache-2.0
"""The same as python_codecs.py for Java: builds and runs java/Codecs.java. Needs a JDK, protoc and Debian's libprotobuf-java."""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from pairs import row

PROTOBUF = "/usr/share/java/protobuf.jar"
PROTOS = ("tensorflow/types", "tensorflow/tensor_shape", "tensorflow/tensor", "serving/model", "serving/predict")
CODECS = pathlib.Path(__file__).parent / "java/Codecs.java"
# Memory that is in use already, as that of the copy: else the kernel gives pages within the measurement.
JVM = ("-Xms3g", "-Xmx3g", "-XX:+AlwaysPreTouch")
RATIO_MAX = 1.2


def measure(rounds):
    """[(codec, (ratio, seconds, seconds of a copy) of a request to bytes, the same of an answer from bytes)]"""
    with tempfile.TemporaryDirectory() as folder:
        protos = [f"{name}.proto" for name in PROTOS]
        subprocess.run(["protoc", f"--java_out={folder}", f"-I{ROOT / 'proto'}", *protos], check=True)
        sources = [*pathlib.Path(folder).rglob("*.java"), *(ROOT / "clients/java/src/main/java").rglob("*.java"), CODECS]
        subprocess.run(["javac", "-nowarn", "-proc:none", "-cp", PROTOBUF, "-d", folder, *sources], check=True)
        done = subprocess.run(["java", *JVM, "-cp", f"{PROTOBUF}:{folder}", "penstock.client.Codecs", str(rounds)],
                              check=True, capture_output=True, text=True)
    return [(each["codec"], each["write"], each["read"]) for each in map(json.loads, done.stdout.splitlines())]


def run(rounds):
    """For bench/measure.py."""
    for codec, write, read in measure(rounds):
        is_ours = codec.startswith("penstock")
        yield row(f"Java, {codec}: request to bytes, answer from bytes, against one copy",
                  f"{write[0]:.3g}x ({write[1] * 1e3:.3g} ms), {read[0]:.3g}x ({read[1] * 1e3:.3g} ms)",
                  f"<= {RATIO_MAX}x each" if is_ours else "", not is_ours or max(write[0], read[0]) <= RATIO_MAX,
                  language="Java", codec=codec, write=write, read=read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    print("| codec | request to bytes | answer from bytes |\n|---|---|---|")
    for each, *figures in measure(parser.parse_args().rounds):
        cells = [f"{ratio:.3g}x: {took * 1e3:.3g} ms, copy {copy * 1e3:.3g}" for ratio, took, copy in figures]
        print(f"| {each} | {cells[0]} | {cells[1]} |", flush=True)
