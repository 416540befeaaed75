# SPDX-License-Identifier: Apache-2.0
"""Request logging by logging_config: the files that TensorFlow's own tools read."""
import glob
import json
import os
import stat

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (model_management_pb2, model_service_pb2_grpc, predict_pb2,
                                     prediction_log_pb2)
from google.protobuf import text_format

from clients import Client, predict_request
from penstock_server import SLOWNESS, Server, config_text, eventually
from test_command_line import fails


def logged(rate=1, prefix='p', kind=''):
    return (f'logging_config {{ log_collector_config {{ type: "{kind}" filename_prefix: "{prefix}" }} '
            f'sampling_config {{ sampling_rate: {rate} }} }}')


def half(log):
    return {'half': f'base_path: "builtin:half_plus_two" {log}'}


def start_logged(tmp_path, models, *flags):
    return Server(tmp_path / 'server', models, [f'--request_log_directory={tmp_path / "logs"}', *flags])


def files(tmp_path, pattern='*'):
    return sorted(glob.glob(str(tmp_path / 'logs' / pattern)))


def records(tmp_path):
    """The PredictionLogs of all complete files, as a tf.data pipeline reads them."""
    dataset = tf.data.TFRecordDataset(files(tmp_path, '*.tfrecord'))
    return [prediction_log_pb2.PredictionLog.FromString(record.numpy()) for record in dataset]


def x(*values):
    return {'x': np.float32(values)}


def test_tf_data_reads_the_log(tmp_path):
    models = {**half(logged()), 'quiet': 'builtin:half_plus_two',
              'stream': f'base_path: "builtin:stream" {logged(prefix="streams")}'}
    with start_logged(tmp_path, models) as server:
        with Client(server) as client:
            request = predict_request('half', x(1, 2), signature='serving_default')
            answer = client.stub.Predict(request, timeout=30 * SLOWNESS)
            client.predict('quiet', x(1))
            big = predict_request('half', x(*range(100_000)))
            client.stub.Predict(big, timeout=30 * SLOWNESS)
            call = client.channel.unary_stream('/penstock.StreamingPredictionService/PredictStreamed')
            stream = predict_request('stream', {'count': np.int64(3)})
            parts = list(call(stream.SerializeToString(), timeout=30 * SLOWNESS))
        assert server.rest_predict('half', {'instances': [5]}) == (200, {'predictions': [4.5]})
        assert server.rest_predict('half', {'instances': ['wrong']})[0] == 400
        streamed = server.request('POST', '/v1/models/stream:predict', '{"inputs": {"count": 2}}',
                                  {'Accept': 'text/event-stream'})
        assert streamed[0] == 200
    for path in files(tmp_path):
        assert path.endswith('.tfrecord') and stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert {os.path.basename(path).split('-')[0] for path in files(tmp_path)} == {'p', 'streams'}
    logs = records(tmp_path)
    plain = [log for log in logs if log.HasField('predict_log')]
    assert len(plain) == 3, 'the errors and the other model are not logged'
    [first] = [log for log in plain if log.predict_log.request == request]
    assert first.predict_log.response == answer
    spec = first.log_metadata.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ('half', 1, 'serving_default')
    assert first.log_metadata.sampling_config.sampling_rate == 1
    assert any(log.predict_log.request == big for log in plain)
    [rest] = [log.predict_log for log in plain if log.predict_log.request not in (request, big)]
    assert (rest.request.model_spec.name, tf.make_ndarray(rest.request.inputs['x']).tolist()) == ('half', [5.0])
    assert tf.make_ndarray(rest.response.outputs['y']).tolist() == [4.5]
    streams = [log.predict_streamed_log for log in logs if log.HasField('predict_streamed_log')]
    assert sorted(len(log.response) for log in streams) == [2, 3]
    [by_grpc] = [log for log in streams if len(log.response) == 3]
    assert list(by_grpc.request) == [stream]
    assert list(by_grpc.response) == [predict_pb2.PredictResponse.FromString(part) for part in parts]


def test_a_log_warms_up_a_model(tmp_path):
    """The file has the form of the warm-up file, so it may become one."""
    with start_logged(tmp_path, half(logged())) as server, Client(server) as client:
        client.predict('half', x(1))
    version = tmp_path / 'model' / '1'
    os.makedirs(version / 'assets.extra')
    (version / 'model.builtin').write_text('half_plus_two')
    os.rename(files(tmp_path)[0], version / 'assets.extra' / 'tf_serving_warmup_requests')
    with Server(tmp_path / 'second', {'half': str(tmp_path / 'model')}) as server:
        with open(server.log_path, encoding='utf-8') as log:
            assert 'warm' in log.read()


def test_logged_rest_requests_can_be_sent_over_grpc(tmp_path):
    options = 'penstock { classify { label: "a" feature { input: "x" name: "number" } } }'
    models = {'half': f'base_path: "builtin:half_plus_two" {options} {logged()}'}
    with start_logged(tmp_path, models) as server:
        for path in ('half', 'half/versions/1'):
            assert server.request('POST', f'/v1/models/{path}:predict', '{"instances": [5]}')[0] == 200
        assert server.request('POST', '/v1/models/half:classify', '{"examples": [{"number": 2.0}]}')[0] == 200
    logs = records(tmp_path)
    predicts = [log.predict_log.request for log in logs if log.HasField('predict_log')]
    assert sorted(request.model_spec.HasField('version') for request in predicts) == [False, True]
    [classify] = [log.classify_log.request for log in logs if log.HasField('classify_log')]
    with start_logged(tmp_path / 'again', models) as server, Client(server) as client:
        for request in predicts:
            assert client.stub.Predict(request, timeout=30 * SLOWNESS).outputs['y'].float_val == [4.5]
        answer = client.stub.Classify(classify, timeout=30 * SLOWNESS)
        assert [(c.label, c.score) for c in answer.result.classifications[0].classes] == [('a', 3.0)]


def test_files_end_by_size_while_the_server_runs(tmp_path):
    with start_logged(tmp_path, half(logged()), '--request_log_file_bytes_max=1') as server, Client(server) as client:
        client.predict('half', x(1))
        eventually('a complete file', lambda: files(tmp_path, '*.tfrecord'))
        client.predict('half', x(2))
        eventually('another one', lambda: len(files(tmp_path, '*.tfrecord')) == 2)
        assert len(records(tmp_path)) == 2


def test_json_lines(tmp_path):
    with start_logged(tmp_path, half(logged(kind='jsonl'))) as server, Client(server) as client:
        client.predict('half', x(1))
    [path] = files(tmp_path, '*.jsonl')
    with open(path, encoding='utf-8') as file:
        [line] = map(json.loads, file)
    assert line['log_metadata']['model_spec'] == {'name': 'half', 'version': '1'}
    assert line['request']['model_spec']['name'] == 'half' and 'x' in line['request']['inputs']
    assert 'y' in line['response']['outputs']


def test_without_a_directory_a_log_is_refused(tmp_path):
    config = tmp_path / 'models.config'
    config.write_text(config_text(half(logged())))
    sentence = "model 'half' has a logging_config, but the server has no directory for logs: start it with " \
               '--request_log_directory'
    assert sentence in fails(f'--model_config_file={config}')
    with Server(tmp_path / 'server', {'half': 'builtin:half_plus_two'}) as server, \
            grpc.insecure_channel(server.address) as channel:
        request = model_management_pb2.ReloadConfigRequest()
        text_format.Parse(config_text(half(logged())), request.config)
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        try:
            stub.HandleReloadConfigRequest(request, timeout=30 * SLOWNESS)
            raise AssertionError('it was taken')
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.INVALID_ARGUMENT and sentence in error.details()


def test_a_reload_turns_the_log_on_and_off(tmp_path):
    with start_logged(tmp_path, half('')) as server, Client(server) as client, \
            grpc.insecure_channel(server.address) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)

        def reload(log):
            request = model_management_pb2.ReloadConfigRequest()
            text_format.Parse(config_text(half(log)), request.config)
            stub.HandleReloadConfigRequest(request, timeout=30 * SLOWNESS)
        client.predict('half', x(1))
        reload(logged())
        client.predict('half', x(2))
        reload('')
        client.predict('half', x(3))
        eventually('the end of the file', lambda: files(tmp_path, '*.tfrecord'))
        [log] = records(tmp_path)
        assert tf.make_ndarray(log.predict_log.request.inputs['x']).tolist() == [2.0]
