# SPDX-License-Identifier: Apache-2.0
"""What our C++ client does with tensors, beside flatbuffers' builder and protobuf (cpp_codecs.cc), and its whole calls, beside
libcurl alone (cpp_calls.cc)."""
import json
import statistics
import subprocess

from pairs import row
from servers import BUILD, CLIENT_CORE, penstock

RATIO_MAX = 1.2


def figures_of(program, *arguments):
    command = ["taskset", "-c", CLIENT_CORE, BUILD / "bench" / "serialization" / program, *arguments]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout
    return [json.loads(line) for line in output.splitlines()]


def run(rounds):
    for codec, write, read in figures_of("cpp_codecs", str(rounds)):
        is_ours = codec == "penstock_client"
        yield row(f"C++, {codec}: request to bytes, answer from bytes, against one copy",
                  f"{write[0]:.3g}x ({write[1] * 1e3:.3g} ms), {read[0]:.3g}x ({read[1] * 1e3:.3g} ms)",
                  f"<= {RATIO_MAX}x each" if is_ours else "", not is_ours or max(write[0], read[0]) <= RATIO_MAX,
                  language="C++", codec=codec, write=write, read=read)


def run_calls(rounds):
    with penstock(model="builtin:identity") as server:
        all_figures = figures_of("cpp_calls", f"http://127.0.0.1:{server.rest_port}", str(rounds))
    for figures in all_figures:
        ours, bare = figures["ours"], figures["bare"]
        ratios = [statistics.median(mine[i] / theirs[i] for mine, theirs in zip(ours, bare)) for i in (0, 1)]
        cpu, wall = (statistics.median(column) * 1e3 for column in zip(*ours))
        yield row(f"C++ client, identity on {figures['shape']} fp32: its CPU and time of a call, against libcurl alone with a "
                  "message made before",
                  f"{ratios[0]:.2f}x ({cpu:.3g} ms), {ratios[1]:.2f}x ({wall:.3g} ms)", "", True, ours=ours, bare=bare)
