# SPDX-License-Identifier: Apache-2.0
"""Remote models: a root that passes requests on to two Penstock servers, and to a server of grpcio."""
import concurrent.futures
import signal
import subprocess
import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

from clients import Client, error_of, predict_request
from penstock_server import BINARY, SLOWNESS, Server, eventually

HALF = 'builtin:half_plus_two'


def remote(*targets, more=''):
    return f'penstock {{ remote {{ {" ".join(f"targets: {chr(34)}{each}{chr(34)}" for each in targets)} {more} }} }}'


class Servicer(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers with its input 'x' as 'y'; `how` says what else happens."""

    def __init__(self):
        self.metadata, self.time_left, self.how = {}, None, ''
        self.called, self.cancelled = threading.Event(), threading.Event()

    def GetModelMetadata(self, request, context):
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        signatures = get_model_metadata_pb2.SignatureDefMap()
        signature = signatures.signature_def['serving_default']
        signature.method_name = 'tensorflow/serving/predict'
        for specs, name in ((signature.inputs, 'x'), (signature.outputs, 'y')):
            specs[name].CopyFrom(meta_graph_pb2.TensorInfo(name=name, dtype=tf.float32.as_datatype_enum))
            specs[name].tensor_shape.unknown_rank = True
        response.metadata['signature_def'].Pack(signatures)
        return response

    def Predict(self, request, context):
        self.metadata = dict(context.invocation_metadata())
        self.time_left = context.time_remaining()
        self.called.set()
        if self.how == 'error':
            context.abort(grpc.StatusCode.OUT_OF_RANGE, 'größer %')
        if self.how == 'wait':
            context.add_callback(self.cancelled.set)
            self.cancelled.wait(20)
        response = predict_pb2.PredictResponse()
        if self.how != 'nothing':
            response.outputs['y'].CopyFrom(request.inputs['x'])
        return response


@pytest.fixture(scope='module')
def servicer():
    made = Servicer()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), options=[('grpc.max_receive_message_length', -1)])
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(made, server)
    made.port = server.add_insecure_port('127.0.0.1:0')
    server.start()
    yield made
    server.stop(0)


@pytest.fixture(scope='module')
def replicas(tmp_path_factory):
    folder = tmp_path_factory.mktemp('replicas')
    two = Server(folder / 'b', {'half': HALF})
    with Server(folder / 'a', {'half': HALF}) as one:
        yield [one, two]
    two.kill()  # a test has done so


@pytest.fixture(scope='module')
def root(tmp_path_factory, replicas, servicer):
    addresses = [each.address for each in replicas]
    models = {'half': remote(*addresses, more='idempotent: true'),
              'other': remote(addresses[0], more='model: "half"'),
              'python': remote(f'127.0.0.1:{servicer.port}')}
    flags = ['--remote_targets=127.0.0.1:*', '--remote_health_interval_ms=300', '--remote_ejection_ms=500']
    with Server(tmp_path_factory.mktemp('root'), models, flags) as running:
        yield running


def predict(client, model, x, timeout=30, metadata=None, name='x'):
    request = predict_request(model, {name: np.asarray(x, np.float32)})
    return tf.make_ndarray(client.stub.Predict(request, timeout=timeout * SLOWNESS, metadata=metadata).outputs['y'])


@pytest.mark.parametrize('model', ['half', 'other'])
def test_answers_as_its_targets(root, replicas, model):
    with Client(root) as client, Client(replicas[0]) as target:
        for size in (1, 100, 300_000):
            x = np.arange(size, dtype=np.float32)
            assert np.array_equal(predict(client, model, x), x / 2 + 2)
        theirs = target.metadata('half').metadata['signature_def']
        assert client.metadata(model).metadata['signature_def'].value == theirs.value
        assert error_of(predict, client, model, [1], name='z')[0] == grpc.StatusCode.INVALID_ARGUMENT
    assert root.rest_predict(model, {'instances': [1, 5]}) == (200, {'predictions': [2.5, 4.5]})
    assert root.states(model) == {1: 'AVAILABLE'}


def test_a_server_of_grpcio_answers(root, servicer):
    with Client(root) as client:
        for size in (0, 3, 3_000_000):
            x = np.random.rand(size).astype(np.float32)
            assert np.array_equal(predict(client, 'python', x), x)
        servicer.how = 'error'
        code, text = error_of(predict, client, 'python', [1])
        assert code == grpc.StatusCode.OUT_OF_RANGE and text.endswith('größer %')
        servicer.how = 'nothing'
        code, text = error_of(predict, client, 'python', [1])
        assert code == grpc.StatusCode.INTERNAL and "no output 'y'" in text
        servicer.how = ''


def test_a_target_gets_the_deadline_and_no_credentials(root, servicer):
    with Client(root) as client:
        metadata = [('authorization', 'Bearer secret'), ('x-penstock-hops', '2')]
        predict(client, 'python', [1], timeout=50, metadata=metadata)
        assert 0 < servicer.time_left <= 51 * SLOWNESS
        assert servicer.metadata['x-penstock-hops'] == '3'
        assert 'authorization' not in servicer.metadata
        code, text = error_of(predict, client, 'python', [1], metadata=[('x-penstock-hops', '4')])
        assert code == grpc.StatusCode.FAILED_PRECONDITION and 'lead back' in text


def test_cancel_and_deadline_reach_the_target(root, servicer):
    servicer.how = 'wait'
    with grpc.insecure_channel(root.address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_request('python', {'x': np.float32([1])})
        for timeout, code in ((None, grpc.StatusCode.CANCELLED), (0.2, grpc.StatusCode.DEADLINE_EXCEEDED)):
            servicer.called.clear()
            servicer.cancelled.clear()
            call = stub.Predict.future(request, timeout=timeout)
            assert servicer.called.wait(20)
            if timeout is None:
                call.cancel()
            else:
                assert call.exception().code() == code
            assert servicer.cancelled.wait(20)
    servicer.how = ''


def test_a_target_that_is_not_allowed_is_refused(tmp_path):
    config = tmp_path / 'models.config'
    config.write_text(f'model_config_list {{ config {{ name: "m" {remote("10.0.0.1:8500")} }} }}')
    result = subprocess.run([BINARY, 'serve', f'--model_config_file={config}', '--remote_targets=10.0.0.2:*', '--port=-1'],
                            capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode != 0
    assert "'10.0.0.1:8500' is not allowed" in result.stderr + result.stdout


class Load:
    """Sends requests on several threads until its end, and counts those that fail."""

    def __init__(self, server, model, threads=6, is_echo=False):
        self.expected = [4, 8] if is_echo else [4, 6]
        self.good, self.bad, self.is_over = 0, [], False
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(server, model)) for _ in range(threads)]

    def run(self, server, model):
        with Client(server) as client:
            while not self.is_over:
                try:
                    answer = predict(client, model, [4, 8], timeout=20).tolist()
                    wrong = None if answer == self.expected else answer
                except grpc.RpcError as error:
                    wrong = f'{error.code()} {error.details()}'
                with self.lock:
                    self.good += wrong is None
                    if wrong is not None:
                        self.bad.append(wrong)

    def more(self, count=300):
        """Until so many further requests were answered."""
        end = self.good + count
        eventually('answers', lambda: self.bad or self.good >= end)
        assert not self.bad

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self.is_over = True
        for thread in self.threads:
            thread.join()


def metric(server, name):
    text = server.get('/metrics')[1]
    return sum(float(line.rsplit(' ', 1)[1]) for line in text.splitlines()
               if line.startswith(name + '{') and 'model_name="half"' in line)


# The last one: it ends a replica.
def test_no_request_fails_if_a_replica_stops_or_dies(root, replicas):
    with Load(root, 'half') as load:
        load.more()
        replicas[0].terminate(signal.SIGSTOP)
        load.more(1000)
        replicas[0].terminate(signal.SIGCONT)
        load.more()
        replicas[1].kill()
        load.more(1000)
    assert not load.bad
    # A scrape may be as old as the one before.
    eventually('hedges', lambda: metric(root, 'penstock_remote_hedges_total') > 0)
    eventually('ejections', lambda: metric(root, 'penstock_remote_ejections_total') > 0)
    eventually('all requests', lambda: metric(root, 'penstock_remote_requests_total') >= load.good)
