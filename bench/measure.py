# SPDX-License-Identifier: Apache-2.0
"""Measures the figures of docs/performance.md: CPU time of the server process per request, Penstock and a peer
alternating in one run, so that a slow moment of the machine hits both. Prints a Markdown table; --json FILE keeps it.
"""
import argparse
import json
import pathlib
import platform
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import access_calls
import batched_calls
import ensemble
import example_calls
import graphpipe_calls
import idle_and_memory
import large_messages
import logged_calls
import observed_calls
import plots
import rest_calls
import runtime_models
import servers
import small_calls
import two_builds
from batching import cells, inside, overload, policies, two_models
from cache import row_cache
from lifecycle import big_model, engine, first_answer, many_models, switches
from scale_out import shard_times
from serialization import cpp_codecs, go_codecs, java_codecs, python_calls, python_codecs
from tables import redis_tables, served_tables, shards, tables
from throughput import rates

SCENARIOS = {
    "grpc_small": small_calls.run,
    "access": access_calls.run,
    "batched": batched_calls.run,
    "batching_inside": inside.run_saturation,
    "batching_scheduler": inside.run_empty,
    "batching_lone": inside.run_lone,
    "batching_policies": policies.run,
    "cells_alone": cells.run_alone,
    "cells_large": cells.run_large,
    "cells_small": cells.run_small,
    "batching_light": two_models.run_light,
    "batching_shares": two_models.run_shares,
    "batching_overload": overload.run,
    "row_cache": row_cache.run,
    "ensemble": ensemble.run,
    "tables": tables.run,
    "tables_past_memory": tables.run_past_memory,
    "tables_shared": served_tables.run_shared,
    "tables_inline": served_tables.run_inline,
    "redis": redis_tables.run,
    "shards": shards.run,
    "shard_times": shard_times.run,
    "shard_cpu": shard_times.run_cpu,
    "shard_root": shard_times.run_root,
    "grpc_classify": example_calls.run_small,
    "examples": example_calls.run_reader,
    "graphpipe_small": graphpipe_calls.run_small,
    "graphpipe_large": graphpipe_calls.run_large,
    "observed": observed_calls.run,
    "request_log": logged_calls.run,
    "runtimes": runtime_models.run,
    "rest_small": rest_calls.run_small,
    "rest_row": rest_calls.run_row,
    "rest_json": rest_calls.run_json,
    "grpc_large": large_messages.run,
    "serialization_cpp": cpp_codecs.run,
    "serialization_cpp_calls": cpp_codecs.run_calls,
    "serialization_python": python_codecs.run,
    "serialization_java": java_codecs.run,
    "serialization_java_calls": java_codecs.run_calls,
    "serialization_go": go_codecs.run,
    "serialization_go_calls": go_codecs.run_calls,
    "serialization_calls": python_calls.run,
    "throughput": rates.run,
    "idle": idle_and_memory.run_idle,
    "memory": idle_and_memory.run_memory,
    "two_builds": two_builds.run,
    "lifecycle_engine": engine.run,
    "lifecycle_switches": switches.run,
    "lifecycle_big": big_model.run,
    "lifecycle_initial": many_models.run_initial,
    "lifecycle_many": many_models.run_many,
    "lifecycle_builtin": many_models.run_builtin,
    "lifecycle_first_answer": first_answer.run,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--rounds", type=int, default=5, help="alternations of Penstock and its peers")
    parser.add_argument("--json", type=pathlib.Path, help="append the rows to this file, one JSON object a line")
    parser.add_argument("--keep", action="store_true",
                        help="keep the rows that plots and simulations read in bench/results, and draw the plots anew")
    parser.add_argument("--raise-priority", type=int, default=0, metavar="N",
                        help="on a busy machine, as root: N steps of nice for the servers against all other programs")
    parser.add_argument("--against", metavar="DIR",
                        help="for two_builds: the folder of another build, with its penstock and backends")
    options = parser.parse_args()
    two_builds.other_build = options.against
    servers.raise_priority = options.raise_priority
    rows = []
    print("| case | measured | target | met |\n|---|---|---|---|", flush=True)
    for name in options.only:
        measured = []
        for row in SCENARIOS[name](options.rounds):
            measured.append(row)
            print(f"| {row['case']} | {row['measured']} | {row['target']} | {'yes' if row['met'] else 'no'} |", flush=True)
        rows += [{"scenario": name, **row} for row in measured]
        if options.keep and plots.is_kept(name):
            plots.keep(name, measured)
    if options.keep:
        plots.draw()
    if options.json:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
        with options.json.open("a") as file:
            for row in rows:
                file.write(json.dumps({"commit": commit, "time": int(time.time()), "kernel": platform.release(), **row}) + "\n")


if __name__ == "__main__":
    main()
