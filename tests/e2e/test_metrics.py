# SPDX-License-Identifier: Apache-2.0
"""What those who run the server see: metrics by the parser of the public Prometheus client, probes, health over gRPC."""
import json
import math
import os
import queue
import signal
import threading

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from clients import Client, error_of
from conftest import BUILTIN
from penstock_server import SLOWNESS, eventually

PATHS = ['/metrics', '/monitoring/prometheus/metrics']
COUNT, LATENCY = ':tensorflow:serving:request_count', ':tensorflow:serving:request_latency'
Code = grpc.StatusCode
Health = health_pb2.HealthCheckResponse


def families(server, path='/metrics'):
    status, headers, body = server.request('GET', path)
    assert status == 200
    assert headers['Content-Type'].startswith('text/plain')
    return list(text_string_to_metric_families(body.decode()))


def value(server, name, **labels):
    """The sum of the samples of that name that have these labels; the parser adds _total to a counter's name."""
    return sum(sample.value for family in families(server) for sample in family.samples
               if sample.name in (name, name + '_total') and labels.items() <= sample.labels.items())


@pytest.fixture
def server(start):
    return start(BUILTIN)


@pytest.mark.parametrize('path', PATHS)
def test_metrics_are_well_formed(builtin_server, builtin, path):
    builtin.predict('half', {'x': np.float32([1])})
    seen = set()
    for family in families(builtin_server, path):
        assert family.name not in seen, 'a family comes once'
        seen.add(family.name)
        assert family.type in ('counter', 'gauge', 'histogram'), family
        keys = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples]
        assert len(keys) == len(set(keys)), 'a series comes once'
        if family.type == 'histogram':
            check_histogram(family)
    assert len(seen) > 10


def check_histogram(family):
    series = {}
    for sample in family.samples:
        labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != 'le'))
        series.setdefault(labels, []).append(sample)
    for samples in series.values():
        buckets = [(float(s.labels['le']), s.value) for s in samples if s.name.endswith('_bucket')]
        assert buckets == sorted(buckets), 'cumulative'
        assert math.isinf(buckets[-1][0])
        (count,) = [s.value for s in samples if s.name.endswith('_count')]
        assert count == buckets[-1][1]
        assert any(s.name.endswith('_sum') for s in samples)


def test_requests_are_counted(server):
    with Client(server) as client:
        for _ in range(7):
            client.predict('half', {'x': np.float32([1])})
        for _ in range(3):
            error_of(client.predict, 'half', {'x': np.int32([1])})
    for _ in range(4):
        assert server.rest_predict('half', {'instances': [1.0]})[0] == 200
    assert server.rest_predict('half', {'instances': ['text']})[0] == 400
    assert value(server, COUNT, model_name='half', status='OK') == 11
    assert value(server, COUNT, model_name='half', status='INVALID_ARGUMENT') == 4
    assert value(server, LATENCY + '_count', model_name='half', entrypoint='GRPC') == 7
    assert value(server, LATENCY + '_count', model_name='half', entrypoint='REST') == 4


def test_unknown_names_make_no_series(server):
    with Client(server) as client:
        before = sum(len(family.samples) for family in families(server))
        for i in range(200):
            assert error_of(client.predict, f'scan{i}', {'x': np.float32([1])})[0] == Code.NOT_FOUND
            assert server.get(f'/v1/models/scan{i}')[0] == 404
        text = server.get('/metrics')[1]
        assert 'scan' not in text
        assert sum(len(family.samples) for family in families(server)) < before + 200


def test_process_metrics(builtin_server):
    assert value(builtin_server, 'process_resident_memory_bytes') > 1e6
    assert value(builtin_server, 'process_open_fds') > 3
    assert value(builtin_server, 'penstock_net_connections_open') >= 1
    assert value(builtin_server, 'penstock_build_info') == 1


def test_the_path_of_the_monitoring_configuration(start, tmp_path):
    config = tmp_path / 'monitoring.config'
    config.write_text('prometheus_config { enable: true path: "/elsewhere" }')
    server = start(BUILTIN, flags=[f'--monitoring_config_file={config}'])
    assert families(server, '/elsewhere')
    assert families(server, '/metrics')


def test_probes(start, tmp_path):
    (tmp_path / 'later').mkdir()
    server = start({**BUILTIN, 'later': str(tmp_path / 'later')}, ready=False)
    eventually('the built-in models', lambda: [
        model['name'] for model in json.loads(server.get('/readyz')[1])['models']] == ['later'])
    assert server.get('/readyz')[0] == 503 and server.get('/readyz/models/half')[0] == 200
    assert server.get('/healthz')[0] == 200
    assert server.get('/readyz/models/later')[0] == 503
    assert server.get('/readyz/models/nobody')[0] == 404
    assert server.request('HEAD', '/healthz')[0] == 200
    status, headers, _ = server.request('POST', '/healthz', 'x')
    assert status == 405 and 'GET' in headers['Allow']


def test_health_over_grpc(builtin, builtin_server):
    stub = health_pb2_grpc.HealthStub(builtin.channel)
    check = lambda name: stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=30).status
    for name in ('', 'tensorflow.serving.PredictionService', 'tensorflow.serving.ModelService'):
        assert check(name) == Health.SERVING, name
    assert error_of(check, 'nobody.Service')[0] == Code.NOT_FOUND


def test_health_watch_follows_readiness(start, tmp_path):
    base = tmp_path / 'model'
    base.mkdir()
    server = start({**BUILTIN, 'later': str(base)}, ready=False, flags=['--file_system_poll_wait_seconds=1'])
    with Client(server) as client:
        stub = health_pb2_grpc.HealthStub(client.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        states = queue.Queue()

        def follow():
            try:
                for each in watch:
                    states.put(each.status)
            except grpc.RpcError:
                states.put(None)
        thread = threading.Thread(target=follow)
        thread.start()
        seconds = 30 * SLOWNESS
        assert states.get(timeout=seconds) == Health.NOT_SERVING
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=30).status == Health.NOT_SERVING
        (base / '1').mkdir()
        (base / '1' / 'model.builtin').write_text('identity\n')
        assert states.get(timeout=seconds) == Health.SERVING
        server.terminate()
        assert states.get(timeout=seconds) == Health.NOT_SERVING
        assert server.wait() == 0
        thread.join(seconds)


def test_server_reflection(builtin):
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
    from google.protobuf.descriptor_pool import DescriptorPool
    database = ProtoReflectionDescriptorDatabase(builtin.channel)
    services = list(database.get_services())
    for name in ('tensorflow.serving.PredictionService', 'tensorflow.serving.ModelService', 'grpc.health.v1.Health'):
        assert name in services
    service = DescriptorPool(database).FindServiceByName('tensorflow.serving.PredictionService')
    predict = service.FindMethodByName('Predict')
    assert predict.input_type.full_name == 'tensorflow.serving.PredictRequest'
    assert predict.input_type.fields_by_name['inputs'].number == 2


def test_the_health_port_has_reflection(start):
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
    server = start({'half': 'builtin:half_plus_two'}, flags=['--health_port=-1'])
    with grpc.insecure_channel(f'127.0.0.1:{server.health_port}') as channel:
        services = list(ProtoReflectionDescriptorDatabase(channel).get_services())
    assert 'grpc.health.v1.Health' in services
    assert not [name for name in services if name.startswith('tensorflow.')]


def stage(server, name, **labels):
    return value(server, 'penstock_stage_latency_us_count', stage=name, **labels)


def test_the_stages_of_requests_are_histograms_of_model_and_version(server):
    with Client(server) as client:
        for _ in range(3):
            client.predict_raw('half', {'x': np.array([1], np.float32)})
    server.rest_predict('half', {'instances': [1.0]})
    for name in ('decode', 'run', 'encode'):
        assert stage(server, name, model_name='half', model_version='1') == 4, name
    # Few runs: they waited for a thread of the pool.
    assert stage(server, 'queue', model_name='half', model_version='1') == 4
    assert value(server, 'penstock_requests_in_flight') == 0
    assert value(server, 'penstock_compute_queue_length') == 0


def test_runs_and_examples_have_tensorflow_servings_names(start):
    model = 'base_path: "builtin:half_plus_two" penstock { regress { } }'
    server = start({'half': model})
    server.rest_predict('half', {'instances': [1.0]})
    examples = json.dumps({'examples': [{'x': 1.0}, {'x': 2.0}]})
    status, _, body = server.request('POST', '/v1/models/half:regress', examples)
    assert status == 200, body
    assert value(server, ':tensorflow:core:graph_runs') == 2
    assert value(server, ':tensorflow:core:graph_run_time_usecs') > 0
    assert value(server, ':tensorflow:serving:request_example_count_total', model='half') == 2
    assert value(server, ':tensorflow:serving:request_example_counts_count', model='half') == 1
    assert value(server, ':tensorflow:serving:request_example_counts_bucket', model='half', le='2') == 1


def test_a_deadline_that_passes_is_counted_as_one(start):
    server = start({'stream': 'builtin:stream'})
    with Client(server) as client:
        request = {'count': np.array(1), 'delay_us': np.array(60_000_000)}
        code, text = error_of(client.predict_raw, 'stream', request, timeout=0.2 / SLOWNESS)
    assert code == Code.DEADLINE_EXCEEDED, text
    eventually('the count', lambda: value(server, COUNT, model_name='stream', status='DEADLINE_EXCEEDED') == 1)
    assert value(server, COUNT, model_name='stream', status='CANCELLED') == 0


def test_changes_of_the_list_are_counted_by_their_end(start, tmp_path):
    server = start(BUILTIN)
    for text in ('model_config_list { config { name: "half" base_path: "builtin:half_plus_two" } }', 'nonsense'):
        with open(os.path.join(server.folder, 'models.config'), 'w', encoding='utf-8') as file:
            file.write(text)
        result = 'failed' if text == 'nonsense' else 'ok'
        server.process.send_signal(signal.SIGHUP)
        eventually(result, lambda: value(server, 'penstock_reloads_total', source='file', result=result) == 1)
