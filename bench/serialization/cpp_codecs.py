# SPDX-License-Identifier: Apache-2.0
"""What our C++ client does with tensors, beside flatbuffers' builder and protobuf: see cpp_codecs.cc."""
import json
import subprocess

from pairs import row
from servers import BUILD, CLIENT_CORE

RATIO_MAX = 1.2


def run(rounds):
    program = BUILD / "bench" / "serialization" / "cpp_codecs"
    output = subprocess.run(["taskset", "-c", CLIENT_CORE, program, str(rounds)], check=True, capture_output=True, text=True,
                            timeout=300).stdout
    for codec, write, read in map(json.loads, output.splitlines()):
        is_ours = codec == "penstock_client"
        yield row(f"C++, {codec}: request to bytes, answer from bytes, against one copy",
                  f"{write[0]:.3g}x ({write[1] * 1e3:.3g} ms), {read[0]:.3g}x ({read[1] * 1e3:.3g} ms)",
                  f"<= {RATIO_MAX}x each" if is_ours else "", not is_ours or max(write[0], read[0]) <= RATIO_MAX,
                  language="C++", codec=codec, write=write, read=read)
