# SPDX-License-Identifier: Apache-2.0
"""`penstock bench` against this server, and against one that is not ours: grpcio with the public stubs."""
import concurrent.futures
import json
import subprocess
import threading
import xml.dom.minidom

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

from penstock_server import BINARY, SLOWNESS

pytestmark = pytest.mark.release_only
SHORT = ['--warmup=100ms', '--duration=400ms']


def bench(address, *flags, code=0):
    done = subprocess.run([BINARY, 'bench', f'--target={address}', *flags], capture_output=True, text=True,
                          timeout=60 * SLOWNESS, check=False)
    assert done.returncode == code, done
    return done.stdout if code == 0 else done.stderr


def report(address, folder, *flags):
    path = folder / 'report.json'
    bench(address, *SHORT, f'--json={path}', *flags)
    return json.loads(path.read_text())


class ForeignServer(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Doubles x, which has an open number of rows of three numbers. Keeps the requests."""

    def __init__(self):
        self.rows, self.timeouts, self.tokens, self.lock = [], [], set(), threading.Lock()

    def GetModelMetadata(self, request, context):
        if request.model_spec.name != 'twice':
            context.abort(grpc.StatusCode.NOT_FOUND, f'no model {request.model_spec.name}')
        signatures = get_model_metadata_pb2.SignatureDefMap()
        x = signatures.signature_def['serving_default'].inputs['x']
        x.dtype = tf.float64.as_datatype_enum
        x.tensor_shape.dim.add(size=-1)
        x.tensor_shape.dim.add(size=3)
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        answer.metadata['signature_def'].Pack(signatures)
        return answer

    def Predict(self, request, context):
        x = tf.make_ndarray(request.inputs['x'])
        with self.lock:
            self.rows.append(x.shape)
            self.timeouts.append(context.time_remaining())
            self.tokens |= {value for key, value in context.invocation_metadata() if key == 'authorization'}
        if x.shape[1:] != (3,):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f'rows of three, please: {x.shape}')
        answer = predict_pb2.PredictResponse()
        answer.outputs['y'].CopyFrom(tf.make_tensor_proto(2 * x))
        return answer


@pytest.fixture
def foreign():
    """(address, what it has seen)"""
    service = ForeignServer()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    port = server.add_insecure_port('127.0.0.1:0')
    server.start()
    yield f'127.0.0.1:{port}', service
    server.stop(0).wait()


def test_a_closed_loop_keeps_its_streams_busy(builtin_server, tmp_path):
    found = report(builtin_server.address, tmp_path, '--model=half', '--shape=x:2', '--connections=2', '--streams=3')
    [run] = found['runs']
    assert (found['request'], found['answer']) == ('x: DT_FLOAT 2', 'y: DT_FLOAT 2')
    assert run['ok'] == run['sent'] > 0 and run['errors'] == [] and run['unanswered'] == 0
    times = run['latency_us']
    assert 0 < times['p50'] <= times['p90'] <= times['p99'] <= times['p99.9'] <= times['max']
    # Little's law: requests under way = rate * time.
    assert run['throughput'] * times['mean'] / 1e6 == pytest.approx(6, rel=0.35)


def test_open_loop_draws_a_plot_of_several_rates(builtin_server, tmp_path):
    address, svg, first = builtin_server.address, tmp_path / 'plot.svg', tmp_path / 'first.json'
    text = bench(address, '--model=half', '--shape=x:1', *SHORT, '--rate=100,300', f'--json={first}', '--name=before',
                 '--threads=2')
    rows = [line.split() for line in text.splitlines()]
    assert [row[0] for row in rows if len(row) == 8 and row[0].isdigit()] == ['100', '300']
    runs = json.loads(first.read_text())['runs']
    for run in runs:  # Poisson: within five standard deviations
        assert abs(run['sent'] + run['unsent'] - run['rate'] * 0.4) < 5 * (run['rate'] * 0.4) ** 0.5
    bench(address, '--model=half', '--shape=x:1', *SHORT, '--rate=100,300', '--name=after', f'--svg={svg}',
          f'--compare={first}')
    document = xml.dom.minidom.parse(str(svg))
    assert len(document.getElementsByTagName('polyline')) == 4
    texts = {node.firstChild.data for node in document.getElementsByTagName('text') if node.firstChild}
    assert {'before, p99', 'after, p50', 'requests per second', 'latency, ms'} <= texts


def test_a_time_counts_from_when_the_request_was_due(start, tmp_path):
    """Requests of 50 ms on one slot, four times as fast as it answers: the wait is in the times, nobody leaves it out."""
    server = start({'slow': 'builtin:delay'}, flags=['--compute_threads=1'])
    message = predict_pb2.PredictRequest()
    message.model_spec.name = 'slow'
    message.inputs['delay_us'].CopyFrom(tf.make_tensor_proto(np.int64(50_000)))
    request = tmp_path / 'request'
    request.write_bytes(message.SerializeToString())
    found = report(server.address, tmp_path, f'--request={request}', '--rate=80', '--in_flight_max=1', '--timeout=1s',
                   '--warmup=0s')
    [run] = found['runs']
    assert run['unsent'] > 0 and run['latency_us']['max'] > 100_000


def test_overload_is_counted_by_code(start, tmp_path):
    server = start({'slow': 'builtin:delay'}, flags=['--compute_threads=1', '--model_queue_requests_max=1'])
    message = tmp_path / 'request.json'
    message.write_text('{"modelSpec": {"name": "slow"}, "inputs": {"delay_us": {"dtype": "DT_INT64", '
                       '"int64Val": [50000], "tensorShape": {}}}}')
    [run] = report(server.address, tmp_path, f'--request={message}', '--rate=300')['runs']
    [error] = run['errors']
    assert error['code'] == 'UNAVAILABLE' and 'is busy' in error['message']
    assert error['count'] + run['ok'] == run['sent']
    assert run['throughput'] < 30


def test_a_server_that_is_not_ours(foreign, tmp_path):
    address, seen = foreign
    found = report(address, tmp_path, '--model=twice', '--batch-size=5', '--connections=1', '--streams=2', '--deadline=20s',
                   '--metadata=authorization:Bearer abc')
    [run] = found['runs']
    assert run['ok'] == run['sent'] > 0 and run['errors'] == []
    assert found['answer'] == 'y: DT_DOUBLE 5x3'
    assert set(seen.rows) == {(5, 3)}
    assert seen.tokens == {'Bearer abc'}
    assert all(0 < left <= 20 for left in seen.timeouts[1:])


def test_what_is_wrong_is_named(foreign, builtin_server):
    address, _ = foreign
    assert "model 'none': NOT_FOUND: no model none" in bench(address, '--model=none', code=1)
    wrong_shape = bench(address, '--model=twice', '--shape=x:1x4', code=1)
    assert 'refuses the request (x: DT_DOUBLE 1x4): INVALID_ARGUMENT: rows of three, please: (1, 4)' in wrong_shape
    assert "no signature 'odd'; there are: 'serving_default'" in bench(address, '--model=twice', '--signature=odd', code=1)
    assert 'cannot read /nowhere/x: No such file' in bench(address, '--request=/nowhere/x', code=1)
    assert 'Connection refused; is the server up?' in bench('127.0.0.1:1', '--model=m', code=1)
    assert 'expected HOST:PORT' in bench('127.0.0.1', '--model=m', code=1)
    assert 'a port from 1 to 65535' in bench('127.0.0.1:99999', '--model=m', code=1)
    assert 'the host cannot be found' in bench('no-such-host.invalid:1', '--model=m', code=1)
    assert 'Servable not found' in bench(builtin_server.address, '--model=none', code=1)


def test_a_port_without_http2(tmp_path):
    import http.server
    with http.server.HTTPServer(('127.0.0.1', 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        error = bench(f'127.0.0.1:{server.server_port}', '--model=m', '--timeout=5s', code=1)
        server.shutdown()
    assert 'is this its gRPC port?' in error
