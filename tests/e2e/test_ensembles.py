# SPDX-License-Identifier: Apache-2.0
"""Ensembles as clients see them: models like all others, whose steps are other models."""
import concurrent.futures
import json
import os
import shutil
import signal
import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2

from clients import Client, error_of, predict_request
from conftest import SAMPLES
from penstock_server import SLOWNESS, eventually
from test_batching import ON, ONE_SLOT, Gate, rows, runs, value
from test_reload import folder, write

HALF = 'builtin:half_plus_two'
QUICK = ['--version_settle_ms=0']


def mapping(field, names):
    return ' '.join(f'{field} {{ key: "{name}" value: "{tensor}" }}' for name, tensor in names.items())


def step(name, model, inputs, outputs, more=''):
    return f'step {{ name: "{name}" model: "{model}" {mapping("inputs", inputs)} {mapping("outputs", outputs)} {more} }}'


def graph(inputs, outputs, *steps, version=1):
    ends = ' '.join([f'input: "{name}"' for name in inputs] + [f'output: "{name}"' for name in outputs])
    return f'ensemble {{ version: {version} {ends} {" ".join(steps)} }}'


def chain(model, more='', version=1, second=''):
    """x -> model -> t -> model -> y, of half_plus_two"""
    return graph(['x'], ['y'], step('one', model, {'x': 'x'}, {'y': 't'}, more),
                 step('two', second or model, {'x': 't'}, {'y': 'y'}, more), version=version)


def ensemble(*graphs, more=''):
    return f'{more} penstock {{ {" ".join(graphs)} }}'


def twice(x):
    return ((np.float32(x) / 2 + 2) / 2 + 2).tolist()


@pytest.mark.runtimes
def test_steps_in_tensorflow_onnx_and_builtin(start):
    models = {'digits': os.path.join(SAMPLES, 'digits'), 'onnx': os.path.join(SAMPLES, 'digits_onnx'), 'half': HALF,
              'all': ensemble(graph(
                  ['images'], ['p', 'label', 'h'], step('tf', 'digits', {'images': 'images'}, {'probabilities': 'p'}),
                  step('onnx', 'onnx', {'images': 'images'}, {'label': 'label', 'probabilities': 'q'}),
                  step('half', 'half', {'x': 'q'}, {'y': 'h'})))}
    server = start(models)
    images = np.random.default_rng(1).random((3, 8, 8), np.float32)
    with Client(server) as client:
        p = client.predict('digits', {'images': images})['probabilities']
        onnx = client.predict('onnx', {'images': images})
        for _ in range(3):
            answer = client.predict('all', {'images': images})
            assert sorted(answer) == ['h', 'label', 'p']
            np.testing.assert_allclose(answer['p'], p, atol=1e-5)
            np.testing.assert_array_equal(answer['label'], onnx['label'])
            np.testing.assert_allclose(answer['h'], onnx['probabilities'] / 2 + 2, atol=1e-5)
    status, body = server.rest_predict('all', {'inputs': {'images': images.tolist()}})
    assert status == 200
    np.testing.assert_allclose(body['outputs']['h'], onnx['probabilities'] / 2 + 2, atol=1e-5)


def test_an_ensemble_is_a_model_like_others(start):
    labels = 'version_labels { key: "stable" value: 1 } model_version_policy { all {} }'
    server = start({'half': HALF, 'both': ensemble(
        chain('half'), graph(['x'], ['t', 'y'], step('one', 'half', {'x': 'x'}, {'y': 't'}),
                             step('two', 'half', {'x': 't'}, {'y': 'y'}), version=2), more=labels)})
    server.wait_for_only('both', [1, 2])  # a model is ready with its first version
    with Client(server) as client:
        assert client.predict('both', {'x': np.float32([2, 4])})['y'].tolist() == twice([2, 4])
        assert sorted(client.predict('both', {'x': np.float32([2])})) == ['t', 'y']
        assert sorted(client.predict('both', {'x': np.float32([2])}, outputs=['y'])) == ['y']
        assert sorted(client.predict('both', {'x': np.float32([2])}, label='stable')) == ['y']
        assert sorted(client.predict('both', {'x': np.float32([2])}, version=1)) == ['y']
        assert [each.version for each in client.status('both').model_version_status] == [2, 1]
        signatures = get_model_metadata_pb2.SignatureDefMap()
        client.metadata('both').metadata['signature_def'].Unpack(signatures)
        signature = signatures.signature_def['serving_default']
        assert signature.inputs['x'].dtype == tf.float32.as_datatype_enum
        assert sorted(signature.outputs) == ['t', 'y']
        code, text = error_of(client.predict, 'both', {'z': np.float32([2])})
        assert code == grpc.StatusCode.INVALID_ARGUMENT and '{x}' in text
    assert server.rest_predict('both', {'inputs': [6.0]}, '/labels/stable') == (200, {'outputs': twice([6])})
    metadata = json.loads(server.get('/v1/models/both/metadata')[1])
    assert list(metadata['metadata']['signature_def']['signature_def']['serving_default']['inputs']) == ['x']
    assert server.states('both') == {1: 'AVAILABLE', 2: 'AVAILABLE'}
    assert value(server, ':tensorflow:serving:request_count{model_name="both",status="OK"}') == 6
    assert value(server, ':tensorflow:serving:request_count{model_name="half",status="OK"}') == 0


def test_versions_of_steps_come_and_go(start, tmp_path):
    path = folder(tmp_path / 'm', [1])
    models = {'m': path, 'newest': ensemble(chain('m')), 'first': ensemble(chain('m', 'version: 1'))}
    server = start(models, flags=QUICK)
    with Client(server) as client:
        def answers(model):
            return client.predict(model, {'x': np.float32([2])})['y'].tolist() == twice([2])

        folder(tmp_path / 'm', [2])
        server.wait_for_only('m', [1, 2])  # a step keeps the first one
        assert answers('newest') and answers('first')
        folder(tmp_path / 'm', [3], kind='delay')
        server.wait_for_only('m', [1, 2, 3])  # the third one fits no step, so they keep the second one
        assert answers('newest') and answers('first')
        eventually('the reason', lambda: "go on with m version 2: " in server.get('/v1/models/newest')[1])
        state = json.loads(server.get('/admin/v1/models/newest')[1])['versions'][0]
        assert "m version 3: step 'one', input 'x'" in state['error']
        assert [each['version'] for each in state['steps']] == [2, 2]
        assert server.get('/readyz/models/newest')[0] == 200
        assert server.log().count("model newest version 1: the steps go on with m version 2") == 1
        folder(tmp_path / 'm', [4])
        server.wait_for_only('m', [1, 4])
        assert answers('newest') and answers('first')
        write(server, {'m': path, 'newest': models['newest']})
        server.terminate(signal.SIGHUP)
        server.wait_for_only('m', [4])
        assert answers('newest')


def test_a_new_graph_needs_a_new_version(start):
    models = {'half': HALF, 'e': ensemble(chain('half'))}
    server = start(models)
    other = graph(['x'], ['y'], step('one', 'half', {'x': 'x'}, {'y': 'y'}))

    def reload_file(changed, *log):
        write(server, changed)
        server.terminate(signal.SIGHUP)
        eventually('the log', lambda: all(text in server.log() for text in log))

    reload_file({**models, 'e': ensemble(other)}, "model 'e': the graph of its version 1, which is loaded, cannot change")
    reload_file({'e': models['e']}, "model 'e' version 1, step 'one': there is no model 'half' in the list")
    assert server.rest_predict('e', {'inputs': [6.0]}) == (200, {'outputs': twice([6])})
    new = ensemble(other.replace('version: 1', 'version: 2'), more='version_labels { key: "new" value: 2 }')
    reload_file({**models, 'e': new}, 'model e version 2 is available')
    assert server.rest_predict('e', {'inputs': [6.0]}, '/labels/new') == (200, {'outputs': [5.0]})
    server.wait_for_only('e', [2])


def test_an_ensemble_waits_for_its_models(start, tmp_path):
    (tmp_path / 'm').mkdir()
    server = start({'e': ensemble(chain('m', second='half')), 'half': HALF, 'm': str(tmp_path / 'm')}, QUICK, ready=False)
    eventually('the reason', lambda: "step 'one'" in server.get('/readyz')[1])
    with Client(server) as client:
        code, text = error_of(client.predict, 'e', {'x': np.float32([2])})
        assert code == grpc.StatusCode.UNAVAILABLE and "step 'one': " in text and 'model m' in text
        folder(tmp_path / 'm', [1])
        eventually('readiness', lambda: server.get('/readyz')[0] == 200)
        assert client.predict('e', {'x': np.float32([2])})['y'].tolist() == twice([2])
        shutil.rmtree(tmp_path / 'm/1')
        eventually('the end', lambda: 1 not in {v for v, s in server.states('m').items() if s != 'END'})
        code, text = error_of(client.predict, 'e', {'x': np.float32([2])})
        assert code == grpc.StatusCode.UNAVAILABLE and text.startswith("step 'one': ")
        assert server.rest_predict('e', {'inputs': [2.0]})[0] == 503
        assert server.states('e') == {1: 'AVAILABLE'}
        status, body = server.get('/readyz/models/e')
        assert status == 503 and "step 'one': " in body
        folder(tmp_path / 'm', [1])
        eventually('an answer', lambda: server.rest_predict('e', {'inputs': [2.0]})[0] == 200)


def test_deadlines_cancels_and_errors_of_steps(start):
    """With one slot, which a step must not hold while others wait; and with requests that are decoded in a slot."""
    both = graph(['d', 'e'], ['f', 'g'], step('left', 'delay', {'delay_us': 'd'}, {'delay_us': 'f'}),
                 step('right', 'delay', {'delay_us': 'e'}, {'delay_us': 'g'}))
    server = start({'delay': 'builtin:delay', 'both': ensemble(both),
                    'chain': ensemble(graph(['d'], ['f', 'g'],
                                            step('inner', 'both', {'d': 'd', 'e': 'd'}, {'f': 'f', 'g': 'g'})))},
                   flags=[ONE_SLOT, '--inline_request_bytes_max=8', '--demand_timeout_ms=1000'])
    with Client(server) as client:
        def none_is_left():
            return value(server, 'penstock_compute_slots_taken') == 0 and not [
                line for line in server.get('/metrics')[1].splitlines()
                if line.startswith('penstock_model_queue_length{') and not line.endswith(' 0')]

        for d in (np.int64([1]), np.ones(100, np.int64)):
            assert client.predict('both', {'d': d, 'e': d})['g'].tolist() == d.tolist()
            assert client.predict('chain', {'d': d})['f'].tolist() == d.tolist()
        code, text = error_of(client.predict, 'chain', {'d': np.int64([-1])})
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert text.startswith("step 'inner' (both version 1): step ") and 'the input' in text
        long = np.int64([50_000_000])
        code, _ = error_of(client.predict, 'both', {'d': long, 'e': long}, timeout=0.3)
        assert code == grpc.StatusCode.DEADLINE_EXCEEDED
        eventually('the end of all steps', none_is_left)
        calls = [client.stub.Predict.future(predict_request('chain', {'d': long}), timeout=60 * SLOWNESS) for _ in range(5)]

        def waiting(model):
            return value(server, f'penstock_model_queue_length{{model_name="{model}"}}')
        # A step has the slot, and the other steps of what is decoded wait: of one request, or of more if they were decoded
        # before its steps were in the queue.
        eventually('the queue', lambda: waiting('delay') == 2 * (5 - waiting('chain')) - 1)
        for call in calls:
            call.cancel()
        eventually('the end of all steps', none_is_left)


def test_steps_of_several_requests_run_together(start):
    server = start({'heavy': 'builtin:delay', 'half': f'base_path: "{HALF}" {ON}', 'e': ensemble(chain('half'))},
                   flags=[ONE_SLOT])
    with Client(server) as client:
        gate = Gate(server, client)
        calls = [gate.send('e', {'x': np.float32([i])}) for i in range(6)]
        gate.wait_for('half', 6)
        gate.open()
        assert [rows(call) for call in calls] == [twice([i]) for i in range(6)]

        def have_met():
            count, requests, _ = runs(server, 'half')
            return requests == 12 and count < 12

        eventually('runs of several requests', have_met)
        count, _, _ = runs(server, 'half')
        stage = 'penstock_stage_latency_us_count{{model_name="{}",model_version="1",stage="{}"}}'
        assert value(server, stage.format('half', 'run')) == 12
        assert value(server, stage.format('half', 'queue')) >= 6
        assert value(server, stage.format('e', 'run')) == 6
        assert value(server, ':tensorflow:core:graph_runs') == count + value(server, stage.format('heavy', 'run'))


def test_no_request_is_lost_while_versions_change(start, tmp_path):
    path = folder(tmp_path / 'm', [1])
    server = start({'m': path, 'e': ensemble(chain('m'))}, flags=QUICK)
    is_over = threading.Event()

    def send():
        count = 0
        with Client(server) as client:
            while not is_over.is_set() or count < 100:
                assert client.predict('e', {'x': np.float32([2])})['y'].tolist() == twice([2])
                count += 1
        return count

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        sent = [pool.submit(send) for _ in range(3)]
        for version in range(2, 8):
            folder(tmp_path / 'm', [version])
            server.wait_for_only('m', [version])
        is_over.set()
        assert sum(each.result() for each in sent) >= 300
