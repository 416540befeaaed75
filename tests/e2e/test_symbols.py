# SPDX-License-Identifier: Apache-2.0
"""What stands in the process's global scope must define nothing that an inference runtime defines too.

The dynamic linker would bind the runtime to ours (docs/decisions/0002-static-linking.md).
"""

import os
import pathlib
import re
import subprocess

import pytest

pytestmark = pytest.mark.release_only
ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("PENSTOCK_BUILD", "build/release")
# Made to be shared: the C and C++ libraries, the loader, the allocator, the sanitizers.
SHARED = re.compile(r"^(libc|libm|libdl|librt|libpthread|libresolv|libstdc\+\+|libgcc_s|ld-linux.*|libmimalloc.*"
                    r"|libasan|libubsan|liblsan|libtsan)\.so")
# Marks of the linker.
MARKS = re.compile(r"^(_init|_fini|_edata|_end|__bss_start|__data_start|_IO_stdin_used|main|_start)$")
# Instances of the C++ library's own templates, which everybody makes from the same headers: functions and objects of
# namespace std (mangled St, Sa, Ss, ...), what belongs to their classes, their local statics, type info of plain types.
OF_STD = re.compile(r"^_Z(T[ISTV]|G[VR]|Z)*(N[KVr]*)?S[a-z]|^_ZT[IS](PK?)?[a-z]$")


def exported(path):
    """Names of the functions and objects that a file defines for others."""
    lines = subprocess.run(["nm", "-D", "--defined-only", str(path)], capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1].split("@")[0] for line in lines.splitlines() if line}
    return {name for name in names if not MARKS.search(name) and not OF_STD.search(name)}


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


@pytest.mark.parametrize("name, is_ignored", [
    ("_ZNSt6vectorIlSaIlEE17_M_default_appendEm", True),
    ("_ZZNSt8__detail18__to_chars_10_implIjEEvPcjT_E8__digits", True),
    ("_ZTVNSt7__cxx1115basic_stringbufIcSt11char_traitsIcESaIcEEE", True),
    ("_ZTIPKc", True),
    ("_ZN6google8protobuf7MessageD2Ev", False),
    ("_ZTVN6google8protobuf7MessageE", False),
    ("_ZTIN4absl7debian34CordE", False),
    ("_ZZN4absl13base_internal12SpinLockWaitEvE4spin", False),
    ("_ZGVZN3re23RE24InitEvE4once", False),
    ("SSL_new", False),
])
def test_only_what_belongs_to_std_is_ignored(name, is_ignored):
    assert bool(OF_STD.search(name)) == is_ignored


@pytest.mark.runtimes
def test_runtimes_read_files_with_the_programs_functions():
    assert {"read", "pread", "pread64"} <= exported(BUILD / "penstock")


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
@pytest.mark.skipif(BUILD.name in ("asan", "debug"), reason="not inlined, the standard library's templates are exported")
def test_a_backend_exports_one_symbol():
    for plugin in (BUILD / "backends").glob("*/penstock_*.so"):
        assert exported(plugin) == {"penstock_backend_get"}, plugin
