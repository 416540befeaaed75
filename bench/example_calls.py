# SPDX-License-Identifier: Apache-2.0
"""gRPC Classify against Predict on the same server and against a grpc++ server, and the reader of Examples against protobuf's."""
import re
import subprocess

from tensorflow_serving.apis import classification_pb2

from messages import GRPC_HEADERS, PREDICT, framed, predict_request, stub, warm_up
from pairs import alternate, median, ratio, row
from servers import BUILD, CLIENT_CORE, cpu_per_request, h2load, peer, penstock

REQUESTS = 60_000
CLASSIFY = PREDICT.replace("/Predict", "/Classify")


def classify_request(features):
    """One Example. The model takes the feature "x"; the others are read and ignored."""
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "m"
    names = request.input.example_list.examples.add().features.feature
    for name in ["x", *(f"feature_{i}" for i in range(1, features))]:
        names[name].float_list.value.append(1.0)
    return request


def run_small(rounds):
    request = classify_request(10)
    bodies = {PREDICT: framed(predict_request([1.0])), CLASSIFY: framed(request)}
    with penstock() as ours, peer("sync", "grpc_predict", "sync") as sync:
        for server in (ours, sync):
            answer = stub(server.port).Classify(request, timeout=30)
            assert [each.score for each in answer.result.classifications[0].classes] == [2.5], answer
        warm_up(ours.port, predict_request([1.0]))

        def measure(server, method):
            return cpu_per_request(server, REQUESTS, lambda: h2load(
                f"http://127.0.0.1:{server.port}{method}", REQUESTS, 4, 32, bodies[method], GRPC_HEADERS))
        figures = alternate(rounds, {
            "predict": lambda: measure(ours, PREDICT), "classify": lambda: measure(ours, CLASSIFY),
            "sync": lambda: measure(sync, CLASSIFY)})
    for other, what, limit in (("predict", "Predict with 1 float", 1.5), ("sync", "grpc++ synchronous", 1 / 5)):
        got = ratio(figures, "classify", other)
        yield row(f"gRPC Classify, 1 Example of 10 features, 4x32, against {what}",
                  f"{got:.2f}x ({median(figures, 'classify'):.2f} us against {median(figures, other):.2f})",
                  f"<= {limit}x", got <= limit, figures=figures)


def run_reader(_rounds):
    output = subprocess.run(["taskset", "-c", CLIENT_CORE, BUILD / "bench" / "example_bench"], check=True,
                            capture_output=True, text=True).stdout
    for name, theirs, ours, got in re.findall(r"(.*): protobuf ([\d.]+) us, ours ([\d.]+) us, ([\d.]+)", output):
        yield row(f"{name}, against protobuf's parser with an arena and a copy",
                  f"{float(got):.2f}x ({ours} us against {theirs})", "<= 0.5x", float(got) <= 0.5,
                  ours=float(ours), protobuf=float(theirs))
