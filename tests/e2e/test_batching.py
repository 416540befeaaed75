# SPDX-License-Identifier: Apache-2.0
"""Requests that wait for the same model run together, and each gets what it would get alone.

A long run of another model holds the only slot, so that all requests wait. Then they are free to run, at once.
"""
import json
import os
import re

import grpc
import numpy as np
import pytest
import tensorflow as tf

from clients import Client, error_of, predict_request
from conftest import SAMPLES
from encoder_model import WORDS, make_encoder
from penstock_server import SLOWNESS, eventually

ONE_SLOT = '--compute_threads=1'
LONG_US = 60_000_000
ON = 'penstock { scheduling { max_concurrency: 1 } batching { enabled: true } }'
MODELS = {'heavy': 'builtin:delay', 'half': f'base_path: "builtin:half_plus_two" {ON}'}


def value(server, series):
    """The value of a series; 0 if it is not there."""
    found = re.search(rf'^{re.escape(series)} (\S+)$', server.get('/metrics')[1], re.MULTILINE)
    return float(found.group(1)) if found else 0


def runs(server, model, version=1):
    """How many runs the model had whose requests may be batched, and how many requests and rows were in them."""
    labels = f'{{model_name="{model}",model_version="{version}"}}'
    return [value(server, f'penstock_batch_{name}{labels}')
            for name in ('requests_count', 'requests_sum', 'rows_sum')]


class Gate:
    """While it is closed, nothing computes but one run that holds the slot."""

    def __init__(self, server, client):
        self.server, self.stub = server, client.stub
        request = predict_request('heavy', {'delay_us': np.int64(LONG_US)})
        self.held = self.stub.Predict.future(request, timeout=120 * SLOWNESS)
        eventually('the run', lambda: value(server, 'penstock_model_runs{model_name="heavy"}') == 1)

    def send(self, model, inputs, **arguments):
        timeout = arguments.pop('timeout', 120 * SLOWNESS)
        return self.stub.Predict.future(predict_request(model, inputs, **arguments), timeout=timeout)

    def wait_for(self, model, count):
        series = f'penstock_model_queue_length{{model_name="{model}"}}'
        eventually('the queue', lambda: value(self.server, series) == count)

    def open(self):
        self.held.cancel()


def rows(call, output='y'):
    return tf.make_ndarray(call.result().outputs[output]).tolist()


def test_requests_that_wait_run_together_and_get_their_own_rows(start):
    server = start(MODELS, flags=[ONE_SLOT])
    with Client(server) as client:
        gate = Gate(server, client)
        sent = [np.arange(i, i + 1 + i % 3, dtype=np.float32) for i in range(8)]
        calls = [gate.send('half', {'x': x}) for x in sent]
        gate.wait_for('half', 8)
        gate.open()
        for x, call in zip(sent, calls):
            assert rows(call) == (x / 2 + 2).tolist()
        eventually('one run', lambda: runs(server, 'half') == [1, 8, 15])
        eventually('that run and the long one', lambda: value(server, ':tensorflow:core:graph_runs') == 2)
        client.predict('half', {'x': np.float32([1])})
        eventually('a lone run', lambda: runs(server, 'half') == [2, 9, 16])
        status = json.loads(server.get('/admin/v1/models/half')[1])
        assert status['queue'] == {'requests': 0, 'bytes': 0, 'runs': 0}
        curve = status['versions'][0]['batching'][0]
        assert [curve['signature'], curve['rows_limit']] == ['serving_default', 16]
        assert [size['rows'] for size in curve['curve']] == [1, 16] and curve['curve'][0]['row_us'] > 0
        assert json.loads(server.get('/admin/v1/models')[1])['compute']['slots'] == 1


def test_batches_have_no_more_rows_than_allowed(start):
    models = {**MODELS, 'half': MODELS['half'].replace('enabled: true', 'enabled: true max_batch_size: 4')}
    server = start(models, flags=[ONE_SLOT])
    with Client(server) as client:
        gate = Gate(server, client)
        calls = [gate.send('half', {'x': np.float32([i])}) for i in range(10)]
        gate.wait_for('half', 10)
        gate.open()
        assert [rows(call) for call in calls] == [[i / 2 + 2] for i in range(10)]
        eventually('three runs', lambda: runs(server, 'half') == [3, 10, 10])


def test_large_requests_run_in_parts(start):
    models = {**MODELS, 'half': MODELS['half'].replace('enabled: true', 'enabled: true max_batch_size: 4'),
              'whole': MODELS['half'].replace('enabled: true',
                                              'enabled: true max_batch_size: 4 split_large_requests: false')}
    server = start(models, flags=[ONE_SLOT, '--inline_request_bytes_max=1000'])
    with Client(server) as client:
        gate = Gate(server, client)
        x = np.arange(10, dtype=np.float32)
        wide = np.arange(2700, dtype=np.float32).reshape(9, 300)  # it is decoded in a slot
        large, small, whole = (gate.send(model, {'x': sent}) for model, sent in (
            ('half', x), ('half', x[:2]), ('whole', x)))
        decoded_late = gate.send('half', {'x': wide})
        gone = gate.send('half', {'x': x})
        gate.wait_for('half', 2 + 1 + 1 + 2)  # of each three parts, two wait at a time
        gone.cancel()
        gate.wait_for('half', 2 + 1 + 1)
        gate.open()
        assert rows(large) == rows(whole) == (x / 2 + 2).tolist()
        assert rows(small) == (x[:2] / 2 + 2).tolist()
        assert rows(decoded_late) == (wide / 2 + 2).tolist()
        # Which part the small one meets depends on the moment at which the wide one is decoded.
        eventually('all parts, and the small one', lambda: runs(server, 'half')[1:] == [7, 21])
        assert runs(server, 'half')[0] in (6, 7)
        eventually('one run', lambda: runs(server, 'whole') == [1, 1, 10])


def test_splitting_as_tensorflow_serving(start, tmp_path):
    file = tmp_path / 'batching.config'
    file.write_text('max_batch_size { value: 9 } enable_large_batch_splitting { value: true } '
                    'max_execution_batch_size { value: 4 }')
    server = start(MODELS, flags=[ONE_SLOT, f'--batching_parameters_file={file}'])
    with Client(server) as client:
        x = np.arange(9, dtype=np.float32)
        assert client.predict('half', {'x': x})['y'].tolist() == (x / 2 + 2).tolist()
        eventually('three runs', lambda: runs(server, 'half') == [3, 3, 9])
        code, text = error_of(client.predict, 'half', {'x': np.zeros(10, np.float32)})
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert text.startswith('Task size 10 is larger than maximum input batch size 9')


def test_shapes_that_differ_do_not_meet(start):
    server = start(MODELS, flags=[ONE_SLOT])
    with Client(server) as client:
        gate = Gate(server, client)
        flat = [gate.send('half', {'x': np.float32([i])}) for i in range(3)]
        wide = [gate.send('half', {'x': np.float32([[i, i]])}) for i in range(2)]
        scalar = gate.send('half', {'x': np.float32(1)})
        gate.wait_for('half', 6)
        gate.open()
        assert [rows(call) for call in flat] == [[2], [2.5], [3]]
        assert [rows(call) for call in wide] == [[[2, 2]], [[2.5, 2.5]]]
        assert rows(scalar) == 2.5
        eventually('two batches; the scalar ran alone', lambda: runs(server, 'half') == [2, 5, 5])


def test_cancelled_and_expired_requests_run_in_no_batch(start):
    server = start(MODELS, flags=[ONE_SLOT])
    with Client(server) as client:
        gate = Gate(server, client)
        calls = [gate.send('half', {'x': np.float32([i])}) for i in range(6)]
        gate.wait_for('half', 6)
        for call in calls[::2]:
            call.cancel()
        code, _ = error_of(client.predict, 'half', {'x': np.float32([1])}, timeout=0.2)
        assert code == grpc.StatusCode.DEADLINE_EXCEEDED
        gate.wait_for('half', 3)
        gate.open()
        assert [rows(call) for call in calls[1::2]] == [[2.5], [3.5], [4.5]]
        eventually('one run', lambda: runs(server, 'half') == [1, 3, 3])


def test_the_parameters_file_of_tensorflow_serving(start, tmp_path):
    file = tmp_path / 'batching.config'
    file.write_text('max_batch_size { value: 8 } batch_timeout_micros { value: 1000 } allowed_batch_sizes: 4 '
                    'allowed_batch_sizes: 8 num_batch_threads { value: 1 } thread_pool_name { value: "pool" } '
                    'max_enqueued_batches { value: 2 }')
    server = start(MODELS, flags=[ONE_SLOT, f'--batching_parameters_file={file}'])
    with Client(server) as client:
        gate = Gate(server, client)
        calls = [gate.send('half', {'x': np.float32([i])}) for i in range(16)]
        gate.wait_for('half', 16)
        assert gate.send('half', {'x': np.float32([0])}).code() == grpc.StatusCode.UNAVAILABLE, 'two batches wait'
        for call in calls[10:]:
            call.cancel()
        gate.wait_for('half', 10)
        gate.open()
        assert [rows(call) for call in calls[:10]] == [[i / 2 + 2] for i in range(10)]
        assert 'thread_pool_name has no effect' in server.log()
        eventually('runs of 8 and of 2', lambda: runs(server, 'half') == [2, 10, 10])
        labels = '{model_name="half",model_version="1"}'
        assert value(server, f'penstock_batch_padding_rows_total{labels}') == 2


def test_requests_wait_for_others_if_the_operator_wants_it(start, tmp_path):
    models = {'half': MODELS['half'].replace(
        'enabled: true', 'enabled: true queue_delay_us_max: 3000000000 preferred_batch_sizes: [4, 6]')}
    file = tmp_path / 'batching.config'
    file.write_text('batch_timeout_micros { value: 20000 } max_batch_size { value: 4 }')
    server = start({**models, 'as_tfs': MODELS['half']}, flags=[f'--batching_parameters_file={file}'])
    with Client(server) as client:
        def send(count):
            return [client.stub.Predict.future(predict_request('half', {'x': np.float32([i])}), timeout=100 * SLOWNESS)
                    for i in range(count)]
        calls = send(3)
        eventually('the queue', lambda: value(server, 'penstock_model_queue_length{model_name="half"}') == 3)
        assert runs(server, 'half') == [0, 0, 0]
        calls += send(1)
        assert [rows(call) for call in calls] == [[2], [2.5], [3], [2]]
        eventually('one run', lambda: runs(server, 'half') == [1, 4, 4])
        # Alone, after the time-out.
        assert client.predict('as_tfs', {'x': np.float32([4])})['y'] == [4]
        eventually('one run', lambda: runs(server, 'as_tfs') == [1, 1, 1])


def test_late_requests_are_refused_or_go_last(start):
    def with_timeout(action):
        return MODELS['half'].replace('max_concurrency: 1', f'max_concurrency: 1 queue_timeout_us: 1000 {action}')
    server = start({'heavy': 'builtin:delay', 'reject': with_timeout(''),
                    'delay': with_timeout('queue_timeout_action: DELAY')}, flags=[ONE_SLOT])
    with Client(server) as client:
        gate = Gate(server, client)
        refused, late = (gate.send(model, {'x': np.float32([2])}) for model in ('reject', 'delay'))
        for model in ('reject', 'delay'):
            gate.wait_for(model, 1)
        gate.open()
        assert refused.code() == grpc.StatusCode.UNAVAILABLE
        assert refused.details().startswith('model reject is busy: the request has waited longer than 1000 us; try again')
        assert rows(late) == [3]
        eventually('the count', lambda: value(server, 'penstock_requests_refused_total{reason="waited_too_long"}') == 1)


def test_padding_as_tensorflow_serving(start, tmp_path):
    file = tmp_path / 'batching.config'
    file.write_text('pad_variable_length_inputs: true')
    server = start(MODELS, flags=[ONE_SLOT, f'--batching_parameters_file={file}'])
    with Client(server) as client:
        gate = Gate(server, client)
        calls = [gate.send('half', {'x': np.float32(x)}) for x in ([[2, 4]], [[6, 8, 10]])]
        gate.wait_for('half', 2)
        gate.open()
        # With the first element, and nothing is cut off.
        assert [rows(call) for call in calls] == [[[3, 4, 3]], [[5, 6, 7]]]
        eventually('one run', lambda: runs(server, 'half') == [1, 2, 2])


@pytest.mark.runtimes
def test_texts_of_different_lengths_run_together(start, tmp_path):
    make_encoder(str(tmp_path / 'encoder' / '1'))
    pad = 'pad { input: "input_ids" mask_input: "attention_mask" }'
    models = {'heavy': 'builtin:delay',
              'encoder': f'base_path: "{tmp_path / "encoder"}" penstock {{ scheduling {{ max_concurrency: 1 }} '
                         f'batching {{ {pad} }} }}'}
    server = start(models, flags=[ONE_SLOT])
    random = np.random.default_rng(3)
    texts = [random.integers(1, WORDS, (1 + i % 3, length)) for i, length in enumerate((3, 17, 1, 30, 8, 8, 25, 12))]
    with Client(server) as client:
        for turn, texts_of in ((1, {}), (2, {'attention_mask': np.ones_like})):
            sent = [{'input_ids': ids, **{name: make(ids) for name, make in texts_of.items()}} for ids in texts]
            alone = [client.predict('encoder', inputs) for inputs in sent]
            gate = Gate(server, client)
            calls = [gate.send('encoder', inputs) for inputs in sent]
            gate.wait_for('encoder', len(calls))
            gate.open()
            for ids, expected, call in zip(texts, alone, calls):
                answer = {name: tf.make_ndarray(tensor) for name, tensor in call.result().outputs.items()}
                assert answer['hidden'].shape == (*ids.shape, 32)
                for output, values in expected.items():
                    np.testing.assert_allclose(answer[output], values, atol=1e-5)
            # Eight runs alone, and one together.
            eventually('one run', lambda: runs(server, 'encoder') == [9 * turn, 16 * turn, 30 * turn])
        labels = '{model_name="encoder",model_version="1"}'
        assert value(server, f'penstock_batch_padding_elements_total{labels}') > 0


def test_large_requests_are_decoded_and_run_together(start):
    server = start(MODELS, flags=[ONE_SLOT, '--inline_request_bytes_max=1000'])
    with Client(server) as client:
        gate = Gate(server, client)
        sent = [np.full((2, 300), i, np.float32) for i in range(4)]
        calls = [gate.send('half', {'x': x}) for x in sent]
        gate.wait_for('half', 4)
        gate.open()
        for x, call in zip(sent, calls):
            assert rows(call) == (x / 2 + 2).tolist()
        eventually('one run', lambda: runs(server, 'half') == [1, 4, 8])


@pytest.mark.runtimes
def test_batched_answers_equal_those_alone(start):
    """Digits in TensorFlow and ONNX Runtime, batched because a check at the load shows that it is right."""
    once = 'penstock { scheduling { max_concurrency: 1 } }'
    models = {'heavy': 'builtin:delay', **{
        name: f'base_path: "{os.path.join(SAMPLES, name)}" {once}' for name in ('digits', 'digits_onnx')}}
    server = start(models, flags=[ONE_SLOT])
    images = np.random.default_rng(1).random((20, 8, 8), np.float32)
    parts = [images[i:i + 1 + i % 3] for i in range(12)]
    with Client(server) as client:
        for name in ('digits', 'digits_onnx'):
            alone = [client.predict(name, {'images': part}) for part in parts]
            gate = Gate(server, client)
            calls = [gate.send(name, {'images': part}) for part in parts]
            gate.wait_for(name, 12)
            gate.open()
            for expected, call in zip(alone, calls):
                assert sorted(call.result().outputs) == sorted(expected)
                for output, values in expected.items():
                    np.testing.assert_allclose(tf.make_ndarray(call.result().outputs[output]), values, atol=1e-5)
            eventually('joined runs', lambda: runs(server, name, 2)[1] >= runs(server, name, 2)[0] + 6)


@pytest.mark.runtimes
def test_a_failing_request_fails_alone(start):
    folder = os.path.join(os.path.dirname(__file__), '..', 'models', 'not_negative')
    server = start({'heavy': 'builtin:delay', 'root': f'base_path: "{os.path.abspath(folder)}" {ON}'}, flags=[ONE_SLOT])
    with Client(server) as client:
        gate = Gate(server, client)
        calls = [gate.send('root', {'x': np.float32([x])}) for x in (4, -1, 9)]
        gate.wait_for('root', 3)
        gate.open()
        assert (rows(calls[0]), rows(calls[2])) == ([2], [3])
        assert calls[1].code() == grpc.StatusCode.INVALID_ARGUMENT
        assert 'must not be negative' in calls[1].details()


@pytest.mark.runtimes
def test_event_loops_join_what_arrives_at_one_moment(start):
    inline = ['--inline_run_time_max_us=1000000', '--inline_run_time_limit_us=10000000', '--event_loops=1']
    digits = f'base_path: "{os.path.join(SAMPLES, "digits_onnx")}" penstock {{ batching {{ enabled: true }} }}'
    server = start({'heavy': 'builtin:delay', 'digits': digits}, flags=[ONE_SLOT, *inline])
    images = np.random.default_rng(1).random((100, 1, 8, 8), np.float32)
    with Client(server) as client:
        alone = [client.predict('digits', {'images': image}) for image in images]
        for image in images:
            client.predict('digits', {'images': image})
        gate = Gate(server, client)  # from now on only event loops compute

        def some_have_met():
            calls = [gate.send('digits', {'images': image}) for image in images]
            for expected, call in zip(alone, calls):
                for output, values in expected.items():
                    np.testing.assert_allclose(tf.make_ndarray(call.result().outputs[output]), values, atol=1e-5)
            count, requests, _ = runs(server, 'digits', 2)
            return requests > count

        eventually('a run of several requests', some_have_met)
        gate.open()
