# SPDX-License-Identifier: Apache-2.0
"""Models of one step that are served whole sequences."""
import concurrent.futures
import os

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2

from clients import Client, error_of, predict_request
from penstock_server import SLOWNESS, eventually
from recurrent_models import WIDTH, WORDS, Decoder, Lstm
from test_batching import ONE_SLOT, value
from test_ensembles import ensemble, graph, step

# y = x / 2 + 2, again and again
HALVES = ('base_path: "builtin:half_plus_two" '
          'penstock { batching { cell { state { input: "x" output: "y" each_step: true } %s } } }')
SEQUENCES = 'penstock_cell_sequences{model_name="m",model_version="1"}'


def padded(sequences):
    x = np.zeros((len(sequences), max(map(len, sequences)), *sequences[0].shape[1:]), sequences[0].dtype)
    for row, each in zip(x, sequences):
        row[:len(each)] = each
    return {'x': x, 'lengths': np.int64([len(each) for each in sequences])}


@pytest.mark.runtimes
def test_an_lstm_gives_each_sequence_its_own_answer(start, tmp_path):
    cell = Lstm()
    cell.save(tmp_path / 'm' / '1')
    server = start({'m': f'base_path: "{tmp_path}/m" penstock {{ {cell.CELL} }}'})
    random = np.random.default_rng(1)

    def sequences(count):
        return [random.standard_normal((length, 3), np.float32) for length in random.integers(1, 60, count)]

    def check(sent, answer):
        for row, x in enumerate(sent):
            y, h, c = cell.run(x)
            np.testing.assert_allclose(answer['y'][row, :len(x)], y, atol=1e-5)
            assert not answer['y'][row, len(x):].any()
            np.testing.assert_allclose(answer['h_next'][row], h, atol=1e-5)
            np.testing.assert_allclose(answer['c_next'][row], c, atol=1e-5)

    with Client(server) as client:
        several = sequences(5)
        check(several, client.predict('m', padded(several)))
        # From many clients at a time, so that their steps run together.
        all_sent = [sequences(int(random.integers(1, 4))) for _ in range(60)]
        calls = [client.stub.Predict.future(predict_request('m', padded(sent)), timeout=60 * SLOWNESS) for sent in all_sent]
        for sent, call in zip(all_sent, calls):
            check(sent, {name: tf.make_ndarray(proto) for name, proto in call.result().outputs.items()})
        # A sequence goes on where another request has left it.
        x = sequences(1)[0]
        first = client.predict('m', {'x': x[None, :1]})
        rest = client.predict('m', {'x': x[None, 1:], 'h': first['h_next'], 'c': first['c_next']})
        np.testing.assert_allclose(np.concatenate([first['y'], rest['y']], 1)[0], cell.run(x)[0], atol=1e-5)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        client.metadata('m').metadata['signature_def'].Unpack(signatures)
        signature = signatures.signature_def['serving_default']
        assert [dim.size for dim in signature.inputs['x'].tensor_shape.dim] == [-1, -1, 3]
        assert sorted(signature.inputs) == ['c', 'h', 'lengths', 'x']
    status, body = server.rest_predict('m', {'instances': [{'x': [[1, 2, 3], [0, 0, 1]]}]})
    assert status == 200
    np.testing.assert_allclose(body['predictions'][0]['y'], cell.run(np.float32([[1, 2, 3], [0, 0, 1]]))[0], atol=1e-5)
    steps = sum(len(x) for sent in [several, *all_sent] for x in sent)
    together = value(server, 'penstock_cell_step_rows_sum{model_name="m",model_version="1"}')
    runs = value(server, 'penstock_cell_step_rows_count{model_name="m",model_version="1"}')
    assert together == steps + len(x) + 2 and runs < together / 1.5
    assert value(server, SEQUENCES) == 0


@pytest.mark.runtimes
def test_a_cell_of_tensorflow(start, tmp_path):
    class Step(tf.Module):
        def __init__(self):
            self.turn = tf.Variable(np.random.default_rng(3).standard_normal((2, 2), np.float32))

        @tf.function(input_signature=[tf.TensorSpec([None, 2], name='x'), tf.TensorSpec([None, 2], name='h')])
        def __call__(self, x, h):
            h_next = tf.tanh(x + h @ self.turn)
            return {'y': 2 * h_next, 'h_next': h_next}

    module = Step()
    tf.saved_model.save(module, str(tmp_path / 'm' / '1'), signatures={'serving_default': module.__call__})
    server = start({'m': f'base_path: "{tmp_path}/m" penstock {{ batching {{ cell {{ '
                         'input: "x" state { input: "h" output: "h_next" } } } }'})
    x = np.random.default_rng(4).standard_normal((3, 7, 2), np.float32)
    h, expected = np.zeros((3, 2), np.float32), []
    for step in range(7):
        h = np.tanh(x[:, step] + h @ module.turn.numpy())
        expected.append(2 * h)
    with Client(server) as client:
        np.testing.assert_allclose(client.predict('m', {'x': x})['y'], np.stack(expected, 1), atol=1e-5)


@pytest.mark.runtimes
def test_an_encoder_starts_a_decoder_that_stops(start, tmp_path):
    encoder, decoder = Lstm(width=WIDTH), Decoder()
    encoder.save(tmp_path / 'encoder' / '1')
    decoder.save(tmp_path / 'decoder' / '1')
    both = ensemble(graph(['x', 'x_lengths', 'start', 'limit'], ['words', 'count'],
                          step('encode', 'encoder', {'x': 'x', 'lengths': 'x_lengths'}, {'h_next': 'state'}),
                          step('decode', 'decoder', {'word': 'start', 'h': 'state', 'lengths': 'limit'},
                               {'next': 'words', 'steps': 'count'})))
    server = start({'encoder': f'base_path: "{tmp_path}/encoder" penstock {{ {encoder.CELL} }}',
                    'decoder': f'base_path: "{tmp_path}/decoder" penstock {{ {decoder.CELL} }}', 'both': both})
    random = np.random.default_rng(2)
    with Client(server) as client:
        ended = set()
        for _ in range(10):
            sequences = [random.standard_normal((length, 3), np.float32) for length in random.integers(1, 20, 4)]
            sent = padded(sequences)
            starts = random.integers(1, WORDS, 4)
            answer = client.predict('both', {'x': sent['x'], 'x_lengths': sent['lengths'], 'start': starts,
                                             'limit': np.int64([12] * 4)})
            for row, x in enumerate(sequences):
                words = decoder.run(starts[row], encoder.run(x)[1], 12)
                assert answer['count'][row] == len(words)
                assert answer['words'][row].tolist() == words + [0] * (12 - len(words))
                ended.add(len(words) < 12)
        assert ended == {True, False}


def test_a_loop_feeds_its_answer_back(start):
    server = start({'m': HALVES % 'steps_max: 50'})
    with Client(server) as client:
        answer = client.predict('m', {'x': np.float32([0, 8]), 'lengths': np.int64([3, 1])})
        assert answer['y'].tolist() == [[2, 3, 3.5], [6, 0, 0]]
        code, text = error_of(client.predict, 'm', {'x': np.float32([0]), 'lengths': np.int64([51])})
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert "the input 'lengths' has the length 51; it must be 0 to 50 (steps_max)" in text
        code, text = error_of(client.predict, 'm', {'x': np.float32([0, 1]), 'lengths': np.int64([1])})
        assert "the inputs 'lengths' and 'x' have 1 and 2 rows" in text or "'x' and 'lengths' have 2 and 1 rows" in text
        code, text = error_of(client.predict, 'm', {'x': np.float32([0])})
        assert code == grpc.StatusCode.INVALID_ARGUMENT and 'lengths' in text
    assert server.rest_predict('m', {'instances': [{'x': 0, 'lengths': 2}]}) == (200, {'predictions': [[2.0, 3.0]]})


def test_sequences_of_clients_that_leave_end(start):
    """Long ones in masses, many of them cancelled: the others have right answers, and nothing stays."""
    server = start({'m': HALVES % 'steps_max: 100000'})
    with Client(server) as client:
        def send(steps):
            return client.stub.Predict.future(
                predict_request('m', {'x': np.float32([0] * 20), 'lengths': np.int64([steps] * 20)}), timeout=60 * SLOWNESS)

        leaving = [send(100_000) for _ in range(20)]
        eventually('sequences', lambda: value(server, SEQUENCES) == 400)
        staying = [send(30) for _ in range(20)]
        for call in leaving:
            call.cancel()
        for call in staying:
            y = tf.make_ndarray(call.result().outputs['y'])
            assert y.shape == (20, 30) and y[:, :3].tolist() == [[2, 3, 3.5]] * 20 and np.allclose(y[:, -1], 4)
        eventually('the end of all', lambda: value(server, SEQUENCES) == 0)
        late = client.stub.Predict.future(
            predict_request('m', {'x': np.float32([0]), 'lengths': np.int64([100_000])}), timeout=0.02)
        assert late.exception().code() == grpc.StatusCode.DEADLINE_EXCEEDED
        eventually('the end of the late one', lambda: value(server, SEQUENCES) == 0)


def test_large_requests_are_decoded_between_the_steps_of_others(start):
    """They wait for a slot to be decoded in, and there is only one."""
    server = start({'m': (HALVES % 'steps_max: 1000000').replace('each_step: true', '')}, flags=[ONE_SLOT])
    large = np.zeros((1, 40_000), np.float32)
    with Client(server) as client:
        # Minutes of steps.
        long = client.stub.Predict.future(
            predict_request('m', {'x': np.zeros(1000, np.float32), 'lengths': np.int64([1_000_000] * 1000)}), timeout=300)
        eventually('the long sequences', lambda: value(server, SEQUENCES) == 1000)
        for _ in range(3):
            assert client.predict('m', {'x': large, 'lengths': np.int64([2])})['y'][0, 0] == 3
        assert not long.done()
        long.cancel()


def test_too_many_sequences_are_refused(start):
    server = start({'m': HALVES % 'sequences_max: 3'})
    with Client(server) as client:
        code, text = error_of(client.predict, 'm', {'x': np.float32([0] * 4), 'lengths': np.int64([1] * 4)})
        assert code == grpc.StatusCode.INVALID_ARGUMENT and 'the request has 4 sequences; at most 3' in text
        assert client.predict('m', {'x': np.float32([0] * 3), 'lengths': np.int64([1] * 3)})['y'].tolist() == [[2]] * 3


def test_a_version_switch_lets_sequences_finish(start, tmp_path):
    def write(version):
        os.makedirs(tmp_path / 'm' / str(version))
        (tmp_path / 'm' / str(version) / 'model.builtin').write_text('half_plus_two\n')

    write(1)
    server = start({'m': (HALVES % 'steps_max: 100000').replace('builtin:half_plus_two', f'{tmp_path}/m')},
                   flags=['--version_settle_ms=0'])
    with Client(server) as client, concurrent.futures.ThreadPoolExecutor(8) as pool:
        def sequence(_):
            y = client.predict('m', {'x': np.float32([0]), 'lengths': np.int64([20_000])}, timeout=120)['y']
            return y.shape == (1, 20_000) and np.allclose(y[0, 40:], 4)

        running = pool.map(sequence, range(60))
        write(2)
        server.wait_for_only('m', [2])
        write(3)
        server.wait_for_only('m', [3])
        assert all(running)


@pytest.mark.parametrize('cell, text', [
    ('input: "z" state { input: "x" output: "y" }', "has a cell with the input 'z', which the model lacks; it has 'x'"),
    ('state { input: "x" output: "q" }', "has a cell with the state output 'q', which the model lacks"),
    ('state { input: "x" output: "y" } lengths_input: "x"', "a tensor of the name 'x', which the server adds"),
])
def test_models_that_are_no_such_cells_are_not_served(start, cell, text):
    server = start({'m': f'base_path: "builtin:half_plus_two" penstock {{ batching {{ cell {{ {cell} }} }} }}',
                    'half': 'builtin:half_plus_two'}, flags=['--max_num_load_retries=0', '--ready_when=models:half'])
    eventually('the reason', lambda: text in server.get('/v1/models/m')[1])
    assert server.rest_predict('half', {'instances': [2.0]}) == (200, {'predictions': [3.0]})
