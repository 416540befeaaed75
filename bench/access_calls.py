# SPDX-License-Identifier: Apache-2.0
"""What it costs a small gRPC request that the server asks for tokens, and that it speaks TLS, against a server that does
neither. Each round starts the servers anew, as two_builds does, and for its reason.

grpc++ measures the token, because h2load encodes it as no gRPC client does: with Huffman's code, anew in each request."""
import contextlib
import json
import pathlib
import subprocess
import tempfile

import grpc
from tensorflow_serving.apis import prediction_service_pb2_grpc

from messages import GRPC_HEADERS, PREDICT, framed, predict_request
from pairs import alternate, median, ratio, row
from servers import BUILD, cpu_per_request, grpc_load, h2load, penstock

REQUESTS, CONNECTIONS, STREAMS = 60_000, 4, 32
REPEATS = 4  # measurements of each server in one round
TOKEN_LIMIT, TLS_LIMIT = 1.10, 1.6


def new_token(folder):
    """(token, file that knows it)"""
    output = subprocess.run([BUILD / "penstock", "token", "new"], check=True, capture_output=True, text=True).stdout
    token, line = output.splitlines()
    path = folder / "tokens"
    path.write_text(line)
    return token, path


def tls_file(folder):
    """(file for --ssl_config_file, which gives the gRPC port TLS and leaves the REST port for probes; the certificate)"""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                    "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key,
                    "-out", certificate], check=True, capture_output=True)
    path = folder / "ssl.config"
    path.write_text(f"server_key: {json.dumps(key.read_text())} server_cert: {json.dumps(certificate.read_text())}")
    return path, certificate.read_bytes()


def warm_up(channel, metadata, requests=300):
    """Checks the answer, then makes the model cheap in the eyes of the server, so that it runs on the event loop."""
    predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
    request = predict_request([1.0])
    assert list(predict(request, metadata=metadata, timeout=30).outputs["y"].float_val) == [2.5]
    for _ in range(requests):
        predict(request, metadata=metadata, timeout=30)
    with contextlib.suppress(grpc.RpcError):
        predict(request, timeout=30)
        assert not metadata, "the server does not ask for the token"


def one_round(folder, figures):
    token, tokens = new_token(folder)
    ssl_config, certificate = tls_file(folder)
    message = predict_request([1.0]).SerializeToString()
    body = framed(predict_request([1.0]))
    bearer = f"Bearer {token}"
    with penstock() as plain, penstock("token", flags=[f"--token_file={tokens}"]) as asking, \
            penstock("tls", flags=[f"--ssl_config_file={ssl_config}"]) as tls:
        for server, metadata in ((plain, ()), (asking, (("authorization", f"Bearer {token}"),))):
            with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                warm_up(channel, metadata)
        with grpc.secure_channel(f"127.0.0.1:{tls.port}", grpc.ssl_channel_credentials(certificate)) as channel:
            warm_up(channel, ())

        def by_h2load(server, scheme="http"):
            return cpu_per_request(server, REQUESTS, lambda: h2load(
                f"{scheme}://127.0.0.1:{server.port}{PREDICT}", REQUESTS, CONNECTIONS, STREAMS, body, GRPC_HEADERS))

        def by_grpc(server, *authorization):
            return cpu_per_request(server, REQUESTS, lambda: grpc_load(
                server.port, PREDICT, message, REQUESTS, CONNECTIONS, STREAMS, *authorization))
        got = alternate(REPEATS, {"plain": lambda: by_h2load(plain), "tls": lambda: by_h2load(tls, "https"),
                                  "grpc": lambda: by_grpc(plain), "token": lambda: by_grpc(asking, bearer)})
        for name in got:
            figures[name].append(median(got, name))


def run(rounds):
    figures = {"plain": [], "tls": [], "grpc": [], "token": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            one_round(pathlib.Path(folder), figures)
    case = f"gRPC Predict, 1 float, {CONNECTIONS}x{STREAMS}"
    for name, peer, text, limit in (("token", "grpc", "token once seen on the connection, called by grpc++", TOKEN_LIMIT),
                                    ("tls", "plain", "TLS", TLS_LIMIT)):
        got = ratio(figures, name, peer)
        yield row(f"{case}, {text}, against plain",
                  f"{got:.2f}x ({median(figures, name):.2f} us against {median(figures, peer):.2f})",
                  f"<= {limit}x", got <= limit, figures=figures)
