# SPDX-License-Identifier: Apache-2.0
"""Warm-up, with files written by TensorFlow's own TFRecordWriter and the messages of tensorflow-serving-api."""
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from clients import Client, predict_request
from conftest import SAMPLES
from penstock_server import Server, eventually

RECORDS = 'assets.extra/tf_serving_warmup_requests'
FLAGS = ['--max_num_load_retries=0', '--file_system_poll_wait_seconds=1']
ONE = {'x': np.float32([1.0])}


def builtin(folder):
    os.makedirs(folder)
    (folder / 'model.builtin').write_text('half_plus_two\n')


def sample(name):
    return lambda folder: shutil.copytree(f'{SAMPLES}/{name}/1', folder)


OF_A_RUNTIME = [pytest.mark.runtimes, pytest.mark.release_only]
KINDS = [pytest.param(builtin, id='builtin'),
         pytest.param(sample('half_plus_two'), id='tensorflow', marks=OF_A_RUNTIME),
         pytest.param(sample('half_plus_two_onnx'), id='onnxruntime', marks=OF_A_RUNTIME)]


@pytest.fixture(params=KINDS)
def version(request, tmp_path):
    """The folder of version 1 of a model "m": y = x / 2 + 2."""
    request.param(tmp_path / 'm' / '1')
    return tmp_path / 'm' / '1'


@pytest.fixture
def builtin_version(tmp_path):
    builtin(tmp_path / 'm' / '1')
    return tmp_path / 'm' / '1'


def predict_log(inputs, **options):
    request = predict_request('another model', inputs, version=99, **options)
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))


def write_records(folder, *logs):
    os.makedirs(folder / 'assets.extra', exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / RECORDS)) as writer:
        for log in logs:
            writer.write(log if isinstance(log, bytes) else log.SerializeToString())


def write_file(folder, name, data):
    os.makedirs(folder / 'warmup', exist_ok=True)
    (folder / 'warmup' / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def answers(server):
    with Client(server) as client:
        return client.predict('m', {'x': np.float32([2.0, 5.0])})['y'].tolist() == [3.0, 4.5]


def error_of(start, folder):
    """What the model's status says when the load has failed."""
    server = start({'m': str(folder.parent)}, flags=FLAGS, ready=False)
    eventually('the end of the load', lambda: server.has_failed('m', 1))
    status, text = server.get('/v1/models/m')
    assert status == 503
    return text


def test_records_are_run_before_the_version_serves(start, version):
    write_records(version, predict_log(ONE), predict_log({'x': np.float32([1.0, 2.0])}, signature='serving_default'))
    server = start({'m': str(version.parent)}, flags=FLAGS)
    assert 'warmed up m version 1: 2 requests, 1 times each' in server.log()
    assert answers(server)
    metrics = server.get('/metrics')[1]
    assert f':tensorflow:serving:model_warmup_records_read{{model_path="{version}"}} 2' in metrics
    assert f':tensorflow:serving:model_warmup_latency_count{{model_path="{version}",status="OK"}} 1' in metrics
    eventually('the log', lambda: 'model m version 1 is available' in server.log())
    log = server.log()
    assert log.index('warmed up m version 1') < log.index('model m version 1 is available')


def test_recorded_requests_of_our_own(start, version):
    write_file(version, '1.json', '{"instances": [1.0, 2.0]}')
    write_file(version, '2.json', '{"signature_name": "serving_default", "inputs": {"x": [1.0]}}')
    write_file(version, '3.pb', predict_request('m', ONE).SerializeToString())
    server = start({'m': str(version.parent)}, flags=FLAGS)
    assert 'warmed up m version 1: 3 requests, 1 times each' in server.log()
    assert answers(server)


def test_a_run_that_fails_fails_the_load(start, version):
    write_records(version, predict_log(ONE), predict_log({'x': np.array([b'text'], dtype=object)}))
    text = error_of(start, version)
    assert f'warm-up: {version}/{RECORDS}: record 2: ' in text
    assert 'string' in text.lower()


def test_a_version_whose_warm_up_fails_leaves_the_one_before(start, version):
    second = version.parent / '2'
    with Server(version.parent / 'server', {'m': str(version.parent)}, flags=FLAGS) as server:
        shutil.copytree(version, version.parent / 'copy')
        write_file(version.parent / 'copy', 'bad.json', '{"instances": ["a"]}')
        os.rename(version.parent / 'copy', second)
        eventually('the failure', lambda: server.has_failed('m', 2))
        assert server.states('m')[1] == 'AVAILABLE'
        assert answers(server)
        assert f'{second}/warmup/bad.json: ' in server.log()


def test_missing_and_empty_files(start, version):
    write_records(version)
    (version / 'warmup').mkdir()
    server = start({'m': str(version.parent)}, flags=FLAGS)
    assert (version / RECORDS).stat().st_size == 0
    assert answers(server)
    assert 'warmed up' not in server.log()


def test_iterations(start, builtin_version):
    write_records(builtin_version, predict_log(ONE))
    server = start({'m': str(builtin_version.parent)}, flags=[*FLAGS, '--num_request_iterations_for_warmup=5'])
    assert 'warmed up m version 1: 1 requests, 5 times each' in server.log()


def add_version(version, number):
    shutil.copytree(version, version.parent / 'copy')
    os.rename(version.parent / 'copy', version.parent / str(number))


def test_a_new_version_runs_what_the_one_before_has_answered(start, version):
    server = start({'m': str(version.parent)}, flags=FLAGS)
    assert answers(server)
    with Client(server) as client:
        with pytest.raises(Exception, match='no_such'):
            client.predict('m', {'x': np.float32([1.0])}, signature='no_such')
    add_version(version, 2)
    eventually('version 2', lambda: 'model m version 2 is available' in server.log())
    assert 'warmed up m version 2 with 1 recent requests of its model, 1 times each' in server.log()
    assert answers(server)


def test_recent_requests_can_be_turned_off(start, builtin_version):
    server = start({'m': str(builtin_version.parent)}, flags=[*FLAGS, '--warmup_recent_requests_max=0'])
    assert answers(server)
    add_version(builtin_version, 2)
    eventually('version 2', lambda: 'model m version 2 is available' in server.log())
    assert 'warmed up' not in server.log()


def test_iterations_of_one_model(start, builtin_version):
    write_records(builtin_version, predict_log(ONE))
    base = f'base_path: "{builtin_version.parent}"'
    server = start({'m': f'{base} penstock {{ warm_up {{ iterations: 7 }} }}', 'n': base,
                    'off': f'{base} penstock {{ warm_up {{ enabled: false }} }}'},
                   flags=[*FLAGS, '--num_request_iterations_for_warmup=5'])
    log = server.log()
    assert 'warmed up m version 1: 1 requests, 7 times each' in log
    assert 'warmed up n version 1: 1 requests, 5 times each' in log
    assert 'warmed up off' not in log


def test_switched_off(start, builtin_version):
    write_records(builtin_version, b'no request')
    server = start({'m': str(builtin_version.parent)}, flags=[*FLAGS, '--enable_model_warmup=false'])
    assert answers(server)


def test_switched_on_for_one_model(start, builtin_version):
    write_records(builtin_version, predict_log(ONE))
    server = start({'m': f'base_path: "{builtin_version.parent}" penstock {{ warm_up {{ enabled: true }} }}'},
                   flags=[*FLAGS, '--noenable_model_warmup'])
    assert 'warmed up m version 1' in server.log()


def test_too_many_records(start, builtin_version):
    write_records(builtin_version, *[predict_log(ONE)] * 1001)
    assert 'Number of warmup records exceeds the maximum (1000)' in error_of(start, builtin_version)


def test_bad_format(start, builtin_version):
    (builtin_version / 'assets.extra').mkdir()
    (builtin_version / RECORDS).write_bytes(b'this is no file of records at all')
    assert 'no uncompressed TFRecord file' in error_of(start, builtin_version)


def test_cut_off(start, builtin_version):
    write_records(builtin_version, predict_log(ONE), predict_log(ONE))
    data = (builtin_version / RECORDS).read_bytes()
    (builtin_version / RECORDS).write_bytes(data[:-1])
    assert f'the file ends at byte {len(data) - 1}, in the checksum of the record' in error_of(start, builtin_version)


def test_a_compressed_file(start, builtin_version):
    (builtin_version / 'assets.extra').mkdir()
    with tf.io.TFRecordWriter(str(builtin_version / RECORDS), options='GZIP') as writer:
        writer.write(predict_log(ONE).SerializeToString())
    assert 'no uncompressed TFRecord file' in error_of(start, builtin_version)


def test_a_record_that_is_no_prediction_log(start, builtin_version):
    write_records(builtin_version, b'\xff\xff\xff')
    said = 'record 1: Failed to parse warmup record: it is no tensorflow.serving.PredictionLog'
    assert said in error_of(start, builtin_version)


def test_session_runs_of_inner_tensors_are_refused(start, builtin_version):
    log = prediction_log_pb2.PredictionLog()
    log.session_run_log.request.feed.add(name='x:0')
    write_records(builtin_version, log)
    assert 'Unsupported log_type for warmup: SessionRun, unless one signature' in error_of(start, builtin_version)


def test_records_of_every_kind_are_run(start, builtin_version):
    logs = [prediction_log_pb2.PredictionLog() for _ in range(5)]
    requests = [logs[0].classify_log.request, logs[1].regress_log.request, logs[2].multi_inference_log.request]
    for request in requests:
        example = request.input.example_list.examples.add()
        example.features.feature['x'].float_list.value.append(1.0)
    task = requests[2].tasks.add(method_name='tensorflow/serving/classify')
    task.model_spec.name = 'another'
    run = logs[3].session_run_log.request
    run.feed.add(name='x', tensor=tf.make_tensor_proto([1.0]))
    run.fetch.append('y')
    logs[4].predict_streamed_log.request.add().CopyFrom(predict_log(ONE).predict_log.request)
    write_records(builtin_version, *logs, predict_log(ONE))
    server = start({'m': str(builtin_version.parent)}, flags=FLAGS)
    assert 'warmed up m version 1: 6 requests' in server.log()


def test_recorded_examples_that_the_model_refuses_fail_the_load(start, builtin_version):
    log = prediction_log_pb2.PredictionLog()
    log.regress_log.request.input.example_list.examples.add()
    write_records(builtin_version, log)
    assert 'record 1: example 0 has no feature ' in error_of(start, builtin_version)


ENDLESS = [*FLAGS, '--num_request_iterations_for_warmup=2000000000']


def test_a_warm_up_ends_when_its_version_is_no_longer_wanted(start, builtin_version):
    write_records(builtin_version, predict_log(ONE))
    server = start({'m': str(builtin_version.parent)}, flags=ENDLESS, ready=False)
    server.wait_for('m', 1, 'LOADING')
    builtin(builtin_version.parent / 'new')
    os.rename(builtin_version.parent / 'new', builtin_version.parent / '2')
    server.wait_for_only('m', [2])
    assert answers(server)


def test_the_end_of_the_server_ends_a_warm_up(start, builtin_version):
    write_records(builtin_version, predict_log(ONE))
    server = start({'m': str(builtin_version.parent)}, flags=ENDLESS, ready=False)
    server.wait_for('m', 1, 'LOADING')
    server.stop()


def test_a_warm_up_counts_in_the_time_of_a_load(start, builtin_version):
    write_records(builtin_version, predict_log(ONE))
    base = f'base_path: "{builtin_version.parent}"'
    server = start({'m': f'{base} penstock {{ load_timeout_ms: 200 }}'}, flags=ENDLESS, ready=False)
    eventually('the end of the load', lambda: server.has_failed('m', 1))
