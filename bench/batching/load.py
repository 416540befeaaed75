# SPDX-License-Identifier: Apache-2.0
"""Load by `penstock bench`, models with configurations, and what the server's metrics say meanwhile."""
import json
import pathlib
import re
import subprocess
import tempfile
import time
import urllib.request

from servers import BUILD, CLIENT_CORE, SERVER_CORE, penstock

SAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "models"


class Load:
    """`penstock bench` on the client's core, before all other programs there if that is allowed."""

    def __init__(self, port, model, *flags, seconds=4, warmup=1.5):
        self.report = tempfile.NamedTemporaryFile(suffix=".json")
        command = [BUILD / "penstock", "bench", f"--target=127.0.0.1:{port}", f"--model={model}", f"--duration={seconds}s",
                   f"--warmup={warmup}s", f"--json={self.report.name}", *flags]
        self.process = subprocess.Popen(["taskset", "-c", CLIENT_CORE, *first_in_line(), *map(str, command)],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def result(self):
        """The figures of its only run."""
        output, _ = self.process.communicate(timeout=300)
        if self.process.returncode != 0:
            raise RuntimeError(output)
        return json.load(self.report)["runs"][0]


def first_in_line():
    can = subprocess.run(["chrt", "-f", "1", "true"], capture_output=True, check=False).returncode == 0
    return ["chrt", "-f", "1"] if can else []


def run_load(port, model, *flags, **times):
    return Load(port, model, *flags, **times).result()


def serve(models, *flags, name="penstock", cores=SERVER_CORE):
    """A server of {name: (base path or None, text in penstock { })} with one loop and one compute slot, by default on a core."""
    config = tempfile.NamedTemporaryFile("w", suffix=".config")
    entries = ""
    for model, (path, more) in models.items():
        where = f'base_path: "{path}" ' if path else ""
        entries += f'config {{ name: "{model}" {where}penstock {{ {more} }} }}\n'
    config.write(f"model_config_list {{ {entries} }}")
    config.flush()
    # What overload refuses would be a line each.
    server = penstock(name, model=None, flags=[f"--model_config_file={config.name}", "--compute_threads=1", "--access_log=off",
                                               "--tensorflow_intra_op_parallelism=1", *flags], log_level="error", cores=cores)
    server.config = config
    return server


def metric(server, name, **labels):
    """The sum over all series with these labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.rest_port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    total = 0.0
    for found, value in re.findall(rf"(?m)^{re.escape(name)}(?:{{(.*)}})? (\S+)$", text):
        if all(f'{key}="{wanted}"' in found for key, wanted in labels.items()):
            total += float(value)
    return total


def shares(server, models, seconds):
    """The time of the runs of each model in the next seconds, as shares of their sum. Of models that are not batched."""
    def now():
        return {model: metric(server, ":tensorflow:serving:runtime_latency_sum", model_name=model) for model in models}
    before = now()
    time.sleep(seconds)
    after = now()
    used = {model: after[model] - before[model] for model in models}
    return {model: time_us / sum(used.values()) for model, time_us in used.items()}
