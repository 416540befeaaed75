# SPDX-License-Identifier: Apache-2.0
"""How soon a new version answers: from the rename of its folder to its first answer, without the load and its warm-up."""
import statistics
import time

import grpc
from lifecycle.model_folders import SAMPLES, BasePath, scratch
from lifecycle.paced import wait_for
from messages import predict_request, stub, warm_up
from pairs import row
from servers import penstock

MODELS = {"SavedModel": "half_plus_two", "ONNX": "half_plus_two_onnx"}
VERSIONS_PER_ROUND = 4
EXTRA_MS_MAX = 50


def first_answer_ms(client, request, version):
    """Asks for the version until it is there; milliseconds."""
    request.model_spec.version.value = version
    start = time.monotonic()
    while True:
        try:
            client.Predict(request, timeout=30)
            return (time.monotonic() - start) * 1000
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise


def run(rounds):
    for kind, name in MODELS.items():
        with scratch() as folder:
            base = BasePath(f"{folder}/{name}")
            count = rounds * VERSIONS_PER_ROUND
            for version in range(1, count + 2):
                base.prepare_copy(version, SAMPLES / name / "1", warm_up={"instances": [1.0]})
            base.show(1)
            extra, loads = [], []
            with penstock(model=base.path, log_level="info") as server:
                warm_up(server.port, predict_request([1.0]))
                client, request = stub(server.port), predict_request([1.0])
                for version in range(2, count + 2):
                    base.show(version)
                    took = first_answer_ms(client, request, version)
                    loads.append(wait_for(server, "available", "m", version)[1])
                    extra.append(took - loads[-1])
                    wait_for(server, "unloaded", "m", version - 1)
        got = statistics.median(extra)
        yield row(f"new version to its first answer, half_plus_two as {kind}, beyond load and warm-up",
                  f"{got:.1f} ms, {max(extra):.1f} at most of {count} (the load takes {statistics.median(loads):.0f})",
                  f"<= {EXTRA_MS_MAX} ms", got <= EXTRA_MS_MAX, figures=extra)
