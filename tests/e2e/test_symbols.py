# SPDX-License-Identifier: Apache-2.0
"""What stands in the process's global scope must define nothing that an inference runtime defines too.

The dynamic linker would bind the runtime to ours (docs/decisions/0002-static-linking.md).
"""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("PENSTOCK_BUILD", "build/release")
# Made to be shared: the C and C++ libraries, the loader, the allocator, the sanitizers.
SHARED = re.compile(r"^(libc|libm|libdl|librt|libpthread|libresolv|libstdc\+\+|libgcc_s|ld-linux.*|libmimalloc.*"
                    r"|libasan|libubsan|liblsan|libtsan)\.so")
# Not code: marks of the linker, and of the C++ library's templates that everybody instantiates.
IGNORED = re.compile(r"^(_init|_fini|_edata|_end|__bss_start|__data_start|_IO_stdin_used|main|_start)$"
                     r"|^_Z(N[KVr]*S|TI|TS|TV|GV|GR|ZN)|^_ZS")


def exported(path):
    """Names of the functions and objects that a file defines for others."""
    lines = subprocess.run(["nm", "-D", "--defined-only", str(path)], capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1].split("@")[0] for line in lines.splitlines() if line}
    return {name for name in names if not IGNORED.search(name)}


def global_scope():
    """The executable and all libraries that the loader brings with it, but those that are shared."""
    executable = BUILD / "penstock"
    lines = subprocess.run(["ldd", str(executable)], capture_output=True, text=True, check=True).stdout
    found = [executable]
    for line in lines.splitlines():
        match = re.search(r"=> (/\S+)", line)
        if match and not SHARED.match(pathlib.Path(match.group(1)).name):
            found.append(pathlib.Path(match.group(1)))
    return found


def runtimes():
    """The backends and the libraries that they open."""
    found = []
    for plugin in sorted((BUILD / "backends").glob("*/penstock_*.so")):
        found.append(plugin)
        library_path = plugin.parent / "library.path"
        if library_path.exists():
            folder = pathlib.Path(library_path.read_text().strip())
            found += [*folder.glob("libtensorflow_*.so*"), *folder.glob("libonnxruntime.so*")]
    return found


@pytest.mark.runtimes
def test_nothing_in_the_global_scope_stands_in_a_runtimes_way():
    libraries = runtimes()
    assert len(libraries) >= 5, f"too few backends and runtimes in {BUILD / 'backends'}: {libraries}"
    theirs = {path: exported(path) for path in libraries}
    for ours in global_scope():
        names = exported(ours)
        for path, symbols in theirs.items():
            overlap = sorted(names & symbols)
            assert not overlap, f"{ours} and {path.name} both define {len(overlap)}: {overlap[:10]}"


@pytest.mark.runtimes
def test_a_backend_exports_one_symbol():
    for plugin in (BUILD / "backends").glob("*/penstock_*.so"):
        assert exported(plugin) == {"penstock_backend_get"}, plugin
