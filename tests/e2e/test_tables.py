# SPDX-License-Identifier: Apache-2.0
"""Look-up tables: rows for keys over each protocol, and versions that come and break."""
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from penstock_server import BINARY, ROOT, SLOWNESS, Server, eventually
from test_ensembles import ensemble, graph, step
from test_graphpipe import infer_message

sys.path.insert(0, os.path.join(ROOT, 'clients/python/src'))
from penstock_client import tables  # noqa: E402

ROWS, DIMENSION = 1000, 16


def row_of(key, version=1):
    return np.arange(DIMENSION, dtype=np.float32) + np.float32(key * version)


def write_table(base, version, keys, **manifest):
    folder = os.path.join(base, f'.{version}')
    os.makedirs(folder)
    np.array(keys, np.int64).tofile(f'{folder}/key')
    np.array([row_of(key, version) for key in keys], np.float32).tofile(f'{folder}/emb_vector')
    with open(f'{folder}/table.json', 'w', encoding='ascii') as file:
        json.dump({'dimension': DIMENSION, **manifest}, file)
    os.rename(folder, os.path.join(base, str(version)))


def write_words(base):
    folder = os.path.join(base, '1')
    os.makedirs(folder)
    with open(f'{folder}/keys.txt', 'w', encoding='utf-8') as file:
        file.write('rot\ngrün\n')
    np.save(f'{folder}/rows.npy', np.array([[1], [2]], np.int64))
    with open(f'{folder}/table.json', 'w', encoding='ascii') as file:
        json.dump({'key_type': 'string', 'default_row': -1}, file)


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    base = tmp_path_factory.mktemp('tables')
    write_table(f'{base}/items', 1, range(0, 3 * ROWS, 3))
    write_words(f'{base}/words')
    os.makedirs(f'{base}/vocabulary/1')
    with open(f'{base}/vocabulary/1/keys.txt', 'w', encoding='utf-8') as file:
        file.write('rot\ngrün\n')
    with open(f'{base}/vocabulary/1/table.json', 'w', encoding='ascii') as file:
        json.dump({'key_type': 'vocabulary'}, file)
    with Server(base / 'server', {name: f'{base}/{name}' for name in ('items', 'words', 'vocabulary')}) as running:
        yield running


def ask(server, keys, model='items'):
    """(rows, found) over REST."""
    status, answer = server.rest_predict(model, {'inputs': {'keys': keys}})
    assert status == 200, answer
    return np.array(answer['outputs']['rows']), answer['outputs']['found']


def test_rest_gives_rows_for_keys(server):
    rows, found = ask(server, [[2997, 3], [4, 0]])
    assert np.array_equal(rows, [[row_of(2997), row_of(3)], [np.zeros(DIMENSION), row_of(0)]])
    assert found == [[True, True], [False, True]]
    status, answer = server.rest_predict('items', {'instances': [3, 5]})
    assert status == 200
    assert answer['predictions'] == [{'rows': row_of(3).tolist(), 'found': True},
                                     {'rows': [0.0] * DIMENSION, 'found': False}]


def test_keys_may_be_strings(server):
    rows, found = ask(server, ['grün', 'blau', 'rot'], 'words')
    assert rows.tolist() == [[2], [-1], [1]]
    assert found == [True, False, True]


def test_a_vocabulary_gives_ids_and_words(server):
    status, answer = server.rest_predict('vocabulary', {'inputs': {'keys': ['grün', 'blau']}})
    assert (status, answer['outputs']) == (200, {'ids': [1, -1], 'found': [True, False]})
    status, answer = server.rest_predict('vocabulary', {'signature_name': 'strings', 'inputs': {'ids': [1, 5]}})
    assert (status, answer['outputs']) == (200, {'keys': ['grün', ''], 'found': [True, False]})


def test_grpc_gives_the_same(server):
    import tensorflow as tf
    from clients import Client
    keys = np.arange(600, dtype=np.int64)
    with Client(server) as client:
        outputs = client.predict_raw('items', {'keys': keys}).outputs
        rows, found = (tf.make_ndarray(outputs[name]) for name in ('rows', 'found'))
        assert np.array_equal(found, keys % 3 == 0)
        assert np.array_equal(rows, [row_of(key) if key % 3 == 0 else np.zeros(DIMENSION) for key in keys])
        only = client.predict_raw('items', {'keys': keys}, outputs=['found']).outputs
        assert list(only) == ['found']


def test_graphpipe_gives_the_same(server):
    status, _, body = server.request('POST', '/graphpipe/items', infer_message([np.int64([6])]))
    assert status == 200 and row_of(6).tobytes() in body


def test_metrics_count_rows(server):
    ask(server, [0, 1])
    metrics = server.get('/metrics')[1]
    assert f'penstock_table_rows{{model_name="items",model_version="1"}} {ROWS}\n' in metrics
    for result in ('hit', 'miss'):
        assert f'penstock_table_rows_total{{model_name="items",model_version="1",result="{result}"}}' in metrics


def test_tables_are_steps_of_an_ensemble(start, tmp_path):
    """Words become ids, and ids become rows. The client for Python has written the rows."""
    os.makedirs(tmp_path / 'ids/1')
    (tmp_path / 'ids/1/keys.txt').write_text('red\ngreen\n')
    (tmp_path / 'ids/1/table.json').write_text('{"key_type": "vocabulary"}')
    tables.write(tmp_path / 'rows/1', [0, 1], np.array([row_of(1), row_of(2)]), default_row=0.5)
    server = start({'ids': str(tmp_path / 'ids'), 'rows': str(tmp_path / 'rows'),
                    'both': ensemble(graph(['words'], ['rows', 'known'],
                                           step('ids', 'ids', {'keys': 'words'}, {'ids': 'ids', 'found': 'known'}),
                                           step('rows', 'rows', {'keys': 'ids'}, {'rows': 'rows'})))})
    status, answer = server.rest_predict('both', {'inputs': {'words': ['green', 'blue', 'red']}})
    assert status == 200, answer
    assert answer['outputs'] == {'rows': [row_of(2).tolist(), [0.5] * DIMENSION, row_of(1).tolist()],
                                 'known': [True, False, True]}


def test_inspect_compares_checksums(tmp_path):
    write_table(str(tmp_path), 1, [1, 2], checksums={'emb_vector': 'crc32c:00000000'})
    done = subprocess.run([BINARY, 'inspect', tmp_path], capture_output=True, text=True, timeout=60 * SLOWNESS, check=False)
    assert done.returncode == 1
    assert 'emb_vector is damaged: its checksum is crc32c:' in done.stderr + done.stdout


def test_a_torn_version_leaves_the_one_before_in_service(start, tmp_path):
    base = str(tmp_path / 'items')
    write_table(base, 1, [1, 2])
    server = start({'items': base}, flags=['--file_system_poll_wait_seconds=1', '--max_num_load_retries=0'])
    write_table(base, 2, [1, 2], dimension=DIMENSION + 1)
    eventually('the failed load', lambda: server.has_failed('items', 2))
    assert 'emb_vector has 128 bytes of rows, but 2 rows of 17 float32 elements have 136' in server.log()
    assert np.array_equal(ask(server, [2])[0], [row_of(2)])
    write_table(base, 3, [1, 2], shard={'index': 0, 'count': 1, 'hash': 'mix64'})
    server.wait_for_only('items', [3])
    assert np.array_equal(ask(server, [2])[0], [row_of(2, 3)])
    assert os.path.exists(f'{base}/3/key.index')


def test_a_table_whose_index_cannot_be_made_is_tried_once(start, tmp_path):
    base = str(tmp_path / 'items')
    write_table(base, 1, [1, 1])
    server = start({'items': base}, flags=['--file_system_poll_wait_seconds=1', '--max_num_load_retries=0'], ready=False)
    eventually('the failed load', lambda: server.has_failed('items', 1))
    time.sleep(2.5)  # some scans: the unfinished index must not look like a change
    assert server.log().count('could not be loaded') == 1


def test_a_table_that_is_damaged_is_taken_from_service(start, tmp_path):
    base = str(tmp_path / 'items')
    write_table(base, 1, range(5000))
    write_table(base, 2, range(5000), checksums={'emb_vector': 'crc32c:00000000'})
    server = start({'items': f'base_path: "{base}" model_version_policy {{ all {{}} }}'}, ready=False,
                   flags=['--max_num_load_retries=0'])
    eventually('the error', lambda: 'emb_vector is damaged: its checksum is crc32c:' in server.log())
    eventually('the end of the version', lambda: server.states('items').get(2) != 'AVAILABLE')
    server.wait_for('items', 1)
    os.truncate(f'{base}/1/emb_vector', 100)
    status, answer = server.rest_predict('items', {'inputs': {'keys': [4000]}}, '/versions/1')
    assert status == 503 and 'emb_vector cannot be read any more' in answer['error']
    assert server.process.poll() is None
