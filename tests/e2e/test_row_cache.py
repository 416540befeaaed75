# SPDX-License-Identifier: Apache-2.0
"""Rows that were computed before are answered by the cache: over each protocol, and with all that says so."""
import json

import numpy as np
import pytest
import tensorflow as tf

from clients import Client, predict_request
from penstock_server import SLOWNESS, Server, eventually

HALF = 'base_path: "builtin:half_plus_two" penstock { %s }'
FORCED = 'batching { enabled: true }'  # the input may have any shape, so the server cannot know that it has rows
MODELS = {'half': HALF % f'cache {{ }} regress {{ }} {FORCED}', 'plain': 'builtin:half_plus_two',
          'plain_cached': HALF % 'cache { }'}


def ask(server, rows, model='half', use=None, verb='predict'):
    """The answer, its code, and what it says about the cache."""
    headers = {} if use is None else {'x-penstock-cache': use}
    body = json.dumps({'instances' if verb == 'predict' else 'examples':
                       rows if verb == 'predict' else [{'x': row} for row in rows]})
    code, fields, text = server.request('POST', f'/v1/models/{model}:{verb}', body, headers)
    return json.loads(text), code, fields.get('x-penstock-cache')


def cached(server, version=1):
    (found,) = [each for each in json.loads(server.get('/admin/v1/models/half')[1])['versions']
                if each['version'] == version]
    return found['row_cache']


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp('cached'), MODELS) as running:
        yield running


def test_rest_answers_say_what_the_cache_has_given(server):
    assert ask(server, [1.0, 2.0]) == ({'predictions': [2.5, 3.0]}, 200, 'miss')
    assert ask(server, [2.0]) == ({'predictions': [3.0]}, 200, 'hit')
    assert ask(server, [2.0, 4.0]) == ({'predictions': [3.0, 4.0]}, 200, 'partial')
    assert ask(server, [2.0], use='bypass') == ({'predictions': [3.0]}, 200, None)
    assert ask(server, [2.0], use='refresh') == ({'predictions': [3.0]}, 200, 'miss')
    assert ask(server, [2.0], model='plain') == ({'predictions': [3.0]}, 200, None)
    answer, code, _ = ask(server, [2.0], use='never')
    assert (code, answer['error']) == (400, "x-penstock-cache must be 'bypass' or 'refresh', not 'never'")


def test_grpc_and_rest_share_the_rows(server):
    ask(server, [10.0, 20.0])
    with Client(server) as client:
        def predict(x, metadata=()):
            answer, call = client.stub.Predict.with_call(predict_request('half', {'x': np.float32(x)}),
                                                         timeout=30 * SLOWNESS, metadata=metadata)
            return tf.make_ndarray(answer.outputs['y']).tolist(), \
                dict(call.trailing_metadata()).get('x-penstock-cache')
        assert predict([20, 10, 20]) == ([12, 7, 12], 'hit')
        assert predict([30]) == ([17], 'miss')
        assert predict([30], [('x-penstock-cache', 'bypass')]) == ([17], None)
    assert ask(server, [30.0]) == ({'predictions': [17.0]}, 200, 'hit')


def test_examples_use_the_rows_too(server):
    assert ask(server, [50.0], verb='regress') == ({'results': [27.0]}, 200, 'miss')
    assert ask(server, [50.0], verb='regress') == ({'results': [27.0]}, 200, 'hit')


def test_operators_see_it(server):
    before = cached(server)
    ask(server, [70.0])
    ask(server, [70.0])
    after = cached(server)
    assert after['signatures'] == ['serving_default']
    assert after['row_hits'] == before['row_hits'] + 1
    assert after['row_misses'] == before['row_misses'] + 1
    assert after['memory_entries'] == before['memory_entries'] + 1
    assert 0 < after['memory_bytes'] < after['memory_bytes_max'] == 64 << 20
    metrics = server.get('/metrics')[1]
    assert 'penstock_row_cache_requests_total{model_name="half",model_version="1",result="hit"}' in metrics
    assert ("plain_cached version 1: the answers of signature 'serving_default' are not cached: the input 'x' may have "
            'any number of dimensions (batching { enabled: true } says that its rows do not depend on each other)'
            ) in server.log()


def test_a_new_version_has_rows_of_its_own(start, tmp_path):
    folder = tmp_path / 'half' / '1'
    folder.mkdir(parents=True)
    (folder / 'model.builtin').write_text('half_plus_two\n')
    server = start({'half': f'base_path: "{folder.parent}" penstock {{ cache {{ }} {FORCED} }}'},
                   flags=['--file_system_poll_wait_seconds=1'])
    assert ask(server, [1.0])[2] == 'miss'
    assert ask(server, [1.0])[2] == 'hit'
    (folder.parent / '2').mkdir()
    (folder.parent / '2' / 'model.builtin').write_text('half_plus_two\n')
    server.wait_for_only('half', [2])
    assert ask(server, [1.0])[2] == 'miss'
