# SPDX-License-Identifier: Apache-2.0
"""The command lines and configuration files of TensorFlow Serving's public documentation, as they stand there but for
the paths and the port numbers: each starts, serves its model, and answers the public client."""
import json
import os
import shutil

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import prediction_service_pb2_grpc

from clients import Client, error_of, predict_request
from conftest import SAMPLES
from net_fixtures import make_certificate
from penstock_server import SLOWNESS, eventually
from test_command_line import fails

pytestmark = [pytest.mark.runtimes, pytest.mark.release_only]
X = {'x': np.float32([1, 2, 5])}
PLUS_TWO, PLUS_THREE = [2.5, 3.0, 4.5], [3.5, 4.0, 5.5]


@pytest.fixture
def models(tmp_path):
    """A folder as the documentation mounts it at /models."""
    folder = tmp_path / 'models'
    for name in ('half_plus_two', 'half_plus_three', 'digits'):
        shutil.copytree(os.path.join(SAMPLES, name), folder / name)
    for number, name in ((42, 'half_plus_two'), (43, 'half_plus_three')):
        shutil.copytree(os.path.join(SAMPLES, name, '1'), folder / 'two_versions' / str(number))
    return folder


def written(folder, name, text):
    path = folder / name
    path.write_text(text.replace('/models', str(folder)), encoding='utf-8')
    return path


def answers(server, model, expected, **choice):
    with Client(server) as client:
        np.testing.assert_allclose(client.predict(model, X, **choice)['y'], expected)


# --- command lines: the container's own, and those of the pages on Docker, Kubernetes, batching and performance

@pytest.mark.parametrize('flags', [
    '--model_name=half_plus_two --model_base_path=/models/half_plus_two',
    '--model_name=half_plus_two --model_base_path=/models/half_plus_two/',
    '--enable_batching --model_name=half_plus_two --model_base_path=/models/half_plus_two',
    '--model_name=half_plus_two --model_base_path=/models/half_plus_two --file_system_poll_wait_seconds=5 '
    '--rest_api_timeout_in_ms=60000 --enable_model_warmup=true',
    '--model_name=half_plus_two --model_base_path=/models/half_plus_two --tensorflow_intra_op_parallelism=2 '
    '--tensorflow_inter_op_parallelism=2 --rest_api_num_threads=16',
    '--model_name=half_plus_two --model_base_path=/models/half_plus_two --tensorflow_session_parallelism=2 '
    '--grpc_max_threads=8 --flush_filesystem_caches=false --num_load_threads=4 --num_unload_threads=4',
    '--model_name=half_plus_two --model_base_path=/models/half_plus_two --grpc_channel_arguments=grpc.max_concurrent_streams=16 '
    '--max_num_load_retries=2 --load_retry_interval_micros=1000000 --saved_model_tags=serve',
])
def test_command_lines_with_one_model(start, models, flags):
    server = start(flags=flags.replace('/models', str(models)).split())
    answers(server, 'half_plus_two', PLUS_TWO)
    assert server.rest_predict('half_plus_two', {'instances': [1.0, 2.0, 5.0]}) == (200, {'predictions': PLUS_TWO})


def test_the_name_is_default_without_a_flag(start, models):
    answers(start(flags=[f'--model_base_path={models}/half_plus_two']), 'default', PLUS_TWO)


def test_the_digits_client_of_the_basic_tutorial(start, models):
    """A model of its own name, asked image by image with a signature's name."""
    server = start(flags=['--model_name=mnist', f'--model_base_path={models}/digits'])
    with Client(server) as client:
        spec = json.loads(server.get('/v1/models/mnist/metadata')[1])['metadata']['signature_def']['signature_def']
        (name, image), = spec['serving_default']['inputs'].items()
        sizes = [int(each['size']) for each in image['tensor_shape']['dim'][1:]]
        outputs = client.predict('mnist', {name: np.zeros([1, *sizes], np.float32)}, signature='serving_default')
    assert all(len(each) == 1 for each in outputs.values())


def test_the_worked_example_of_the_rest_page(start, models):
    server = start(flags=['--model_name=half_plus_three', f'--model_base_path={models}/half_plus_three'])
    status, text = server.get('/v1/models/half_plus_three')
    assert status == 200 and json.loads(text) == {'model_version_status': [
        {'version': '1', 'state': 'AVAILABLE', 'status': {'error_code': 'OK', 'error_message': ''}}]}
    assert server.rest_predict('half_plus_three', {'instances': [1.0, 2.0, 5.0]}) == (200, {'predictions': PLUS_THREE})
    assert server.rest_predict('half', {'instances': [1.0, 5.0]}) == (
        404, {'error': 'Servable not found for request: Latest(half)'})


# --- the model server's configuration file

TWO_MODELS = """
model_config_list {
  config {
    name: 'my_first_model'
    base_path: '/models/half_plus_two/'
    model_platform: 'tensorflow'
  }
  config {
    name: 'my_second_model'
    base_path: '/models/half_plus_three/'
    model_platform: 'tensorflow'
  }
}
"""


def test_a_polled_file_of_two_models(start, models):
    file = written(models, 'models.config', TWO_MODELS)
    server = start(flags=[f'--model_config_file={file}', '--model_config_file_poll_wait_seconds=60'])
    answers(server, 'my_first_model', PLUS_TWO)
    answers(server, 'my_second_model', PLUS_THREE)


def of_two_versions(policy):
    return """
model_config_list {
  config {
    name: 'my_model'
    base_path: '/models/two_versions'
    model_platform: 'tensorflow'
    %s
  }
}
""" % policy


BOTH = 'model_version_policy { specific { versions: 42 versions: 43 } }'
LABELS = "version_labels { key: 'stable' value: %d } version_labels { key: 'canary' value: %d }"


@pytest.mark.parametrize('policy,expected', [
    ('', PLUS_THREE),
    ('model_version_policy { specific { versions: 42 } }', PLUS_TWO),
    ('model_version_policy { latest { num_versions: 2 } }', PLUS_THREE),
    ('model_version_policy: { all: {} }', PLUS_THREE),
])
def test_version_policies(start, models, policy, expected):
    server = start(flags=[f"--model_config_file={written(models, 'models.config', of_two_versions(policy))}"])
    server.wait_for('my_model', 42 if expected == PLUS_TWO else 43)
    answers(server, 'my_model', expected)


def test_labels_and_their_move(start, models):
    """stable and canary; then stable is moved to where canary is, and back."""
    file = written(models, 'models.config', of_two_versions(BOTH + LABELS % (42, 43)))
    server = start(flags=[f'--model_config_file={file}', '--model_config_file_poll_wait_seconds=1',
                          '--allow_version_labels_for_unavailable_models'])

    def are(stable, canary):
        for label, expected in (('stable', stable), ('canary', canary)):
            answer = server.rest_predict('my_model', {'instances': [1.0, 2.0, 5.0]}, f'/labels/{label}')
            if answer != (200, {'predictions': expected}):
                return False
        return True
    eventually('both labels', lambda: are(PLUS_TWO, PLUS_THREE))
    answers(server, 'my_model', PLUS_TWO, label='stable')
    written(models, 'models.config', of_two_versions(BOTH + LABELS % (43, 43)))
    eventually('stable is promoted', lambda: are(PLUS_THREE, PLUS_THREE))
    written(models, 'models.config', of_two_versions(BOTH + LABELS % (42, 43)))
    eventually('stable is rolled back', lambda: are(PLUS_TWO, PLUS_THREE))
    with Client(server) as client:
        assert error_of(client.predict, 'my_model', X, label='none')[0] == grpc.StatusCode.INVALID_ARGUMENT


# --- the other files

def test_a_monitoring_file(start, models):
    file = written(models, 'monitoring.config',
                   'prometheus_config {\n  enable: true,\n  path: "/monitoring/prometheus/metrics"\n}\n')
    server = start(flags=['--model_name=half_plus_two', f'--model_base_path={models}/half_plus_two',
                          f'--monitoring_config_file={file}'])
    answers(server, 'half_plus_two', PLUS_TWO)
    status, text = server.get('/monitoring/prometheus/metrics')
    assert status == 200 and '# TYPE penstock_model_versions gauge' in text


def test_a_batching_file(start, models):
    file = written(models, 'batching.config', 'max_batch_size { value: 128 }\nbatch_timeout_micros { value: 0 }\n'
                   'max_enqueued_batches { value: 1000000 }\nnum_batch_threads { value: 8 }\n')
    server = start(flags=['--model_name=half_plus_two', f'--model_base_path={models}/half_plus_two',
                          '--enable_batching=true', f'--batching_parameters_file={file}'])
    answers(server, 'half_plus_two', PLUS_TWO)


def test_an_ssl_file(start, models):
    """As the tests of the flag have it: PEM text in one message; REST stays open."""
    certificate, key = models / 'server.crt', models / 'server.key'
    make_certificate(certificate, key)
    pem = {name: path.read_text().replace('\n', '\\n') for name, path in (('cert', certificate), ('key', key))}
    file = written(models, 'ssl.config', f'server_key: "{pem["key"]}"\nserver_cert: "{pem["cert"]}"\nclient_verify: false\n')
    server = start(flags=['--model_name=half_plus_two', f'--model_base_path={models}/half_plus_two',
                          f'--ssl_config_file={file}'])
    credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
    with grpc.secure_channel(f'localhost:{server.port}', credentials) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = stub.Predict(predict_request('half_plus_two', X), timeout=30 * SLOWNESS)
    assert list(response.outputs['y'].float_val) == PLUS_TWO
    assert server.rest_predict('half_plus_two', {'instances': [1.0]}) == (200, {'predictions': [2.5]})


@pytest.mark.parametrize('flag,said', [
    ('--mixed_precision=bfloat16', 'or convert the model'),
    ('--prefer_tflite_model', 'keep the SavedModel'),
    ('--platform_config_file=/models/platform.config', 'set what it sets by flags'),
    ('--use_alts_credentials', 'use tls_certificate_file'),
])
def test_refused_flags_name_a_replacement(models, flag, said):
    assert said in fails('--model_name=half_plus_two', f'--model_base_path={models}/half_plus_two', flag)
