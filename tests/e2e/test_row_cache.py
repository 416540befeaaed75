# SPDX-License-Identifier: Apache-2.0
"""Rows that were computed before are answered by the cache: over each protocol, and with all that says so."""
import json
import os
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from clients import Client, predict_request
from conftest import SAMPLES
from penstock_server import BINARY, SLOWNESS, Server, config_text, eventually
from test_graphpipe import infer_message

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


def test_graphpipe_shares_the_rows_of_its_config(server):
    ask(server, [80.0])

    def infer(config):
        message = infer_message([np.float32([80])], config=config)
        status, headers, body = server.request('POST', '/graphpipe/half', message)
        assert status == 200 and np.float32(42).tobytes() in body
        return headers['x-penstock-cache']
    assert [infer(config) for config in (None, 'other', 'other', 'third', None)] == ['hit', 'miss', 'hit', 'miss', 'hit']


def test_operators_see_it(server):
    before = cached(server)
    ask(server, [70.0])
    ask(server, [70.0])
    after = cached(server)
    assert after['signatures'] == ['serving_default'] and after['not_cached'] == []
    assert after['row_hits'] == before['row_hits'] + 1
    assert after['row_misses'] == before['row_misses'] + 1
    assert after['memory_entries'] == before['memory_entries'] + 1
    assert 0 < after['memory_bytes'] < after['memory_bytes_max'] == 64 << 20
    plain = json.loads(server.get('/admin/v1/models/plain_cached')[1])['versions'][0]['row_cache']
    assert plain == {'signatures': [], 'not_cached': [
        {'name': 'serving_default', 'reason': "the input 'x' may have any number of dimensions"}]}
    metrics = server.get('/metrics')[1]
    assert 'model_name="plain_cached"' not in ''.join(
        line for line in metrics.splitlines() if line.startswith('penstock_row_cache')), 'it has no cache'
    assert "half version 1: the answers of signature 'serving_default' are cached" in server.log()
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


def on_disk(folder, more=''):
    return {'half': f'base_path: "{folder}" penstock {{ cache {{ memory_bytes: 0 {more} }} {FORCED} }}'}


@pytest.fixture
def half_folder(tmp_path):
    version = tmp_path / 'half' / '1'
    version.mkdir(parents=True)
    (version / 'model.builtin').write_text('half_plus_two\n')
    return version.parent


def killed(server):
    """Ends the server as a crash would."""
    server.kill()
    server.stop = lambda: None


def wait_until_written(server, rows):
    eventually('the rows on disk', lambda: cached(server)['disk']['written'] >= rows)


def test_rows_on_disk_survive_restarts_and_kills_and_forget_changed_files(start, tmp_path, half_folder):
    flags = [f'--row_cache_directory={tmp_path}/rows']
    file = half_folder / '1' / 'note'  # any file of the version counts
    file.write_text('a')
    server = start(on_disk(half_folder), flags=flags)
    assert ask(server, [1.0, 2.0])[2] == 'miss'
    wait_until_written(server, 2)
    assert ask(server, [2.0]) == ({'predictions': [3.0]}, 200, 'hit')
    server.stop()
    server = start(on_disk(half_folder), flags=flags)
    assert ask(server, [1.0, 2.0]) == ({'predictions': [2.5, 3.0]}, 200, 'hit')
    for first in range(0, 4000, 200):  # it is killed while it writes these
        ask(server, [float(row) for row in range(first, first + 200)])
    wait_until_written(server, 200)  # others are being written
    killed(server)
    server = start(on_disk(half_folder), flags=[*flags, '--saved_model_tags=gpu'])
    assert ask(server, [1.0])[2] == 'miss', 'an option of the loads may change answers'
    server.stop()
    times = file.stat()
    file.write_text('b')
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    server = start(on_disk(half_folder), flags=flags)
    assert ask(server, [1.0])[2] == 'miss', 'the files have changed, but for their sizes and times'
    for first in range(0, 4000, 400):
        rows = [float(row) for row in range(first, first + 400)]
        assert ask(server, rows)[0] == {'predictions': [row / 2 + 2 for row in rows]}
    server.stop()


@pytest.mark.runtimes
def test_rows_of_an_onnx_model_survive_a_restart(start, tmp_path):
    """What the runtime has opened names the rows. It must be the same after a restart."""
    folder = tmp_path / 'half'
    shutil.copytree(os.path.join(SAMPLES, 'half_plus_two_onnx'), folder)
    flags = [f'--row_cache_directory={tmp_path}/rows']
    server = start(on_disk(folder), flags=flags)
    assert ask(server, [1.0, 2.0]) == ({'predictions': [2.5, 3.0]}, 200, 'miss')
    wait_until_written(server, 2)
    server.stop()
    server = start(on_disk(folder), flags=flags)
    assert ask(server, [1.0, 2.0]) == ({'predictions': [2.5, 3.0]}, 200, 'hit')


def test_rows_that_a_kill_leaves_are_right(start, tmp_path, half_folder):
    flags = [f'--row_cache_directory={tmp_path}/rows']
    server = start(on_disk(half_folder), flags=flags)
    for first in range(0, 4000, 200):
        ask(server, [float(row) for row in range(first, first + 200)])
    killed(server)
    server = start(on_disk(half_folder), flags=flags)
    outcomes = set()
    for first in range(0, 4000, 200):
        rows = [float(row) for row in range(first, first + 200)]
        answer, code, outcome = ask(server, rows)
        assert (answer, code) == ({'predictions': [row / 2 + 2 for row in rows]}, 200)
        outcomes.add(outcome)
    assert outcomes & {'hit', 'partial'}


def test_the_second_server_with_a_folder_uses_no_disk(start, tmp_path, half_folder):
    flags = [f'--row_cache_directory={tmp_path}/rows']
    first = start(on_disk(half_folder), flags=flags)
    second = start(on_disk(half_folder), flags=flags)
    assert f'the row cache uses no disk: another server uses the folder {tmp_path}/rows/half' in second.log()
    assert cached(first)['disk']['on'] and not cached(second)['disk']['on']
    for server in (first, second):
        assert ask(server, [1.0]) == ({'predictions': [2.5]}, 200, 'miss')


def test_a_cache_on_disk_needs_a_directory(tmp_path, half_folder):
    config = tmp_path / 'models.config'
    config.write_text(config_text(on_disk(half_folder, 'disk_bytes: 1000000')))
    done = subprocess.run([BINARY, 'serve', '--port=-1', '--rest_api_port=0', f'--model_config_file={config}'],
                          capture_output=True, text=True, timeout=60 * SLOWNESS)
    assert done.returncode == 1
    assert "model 'half' has a cache on disk, but the server has no directory for it" in done.stderr
