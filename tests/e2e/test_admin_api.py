# SPDX-License-Identifier: Apache-2.0
"""Operators look at models and change them over REST; what they change outlives the server."""
import concurrent.futures
import http.client
import json
import os
import signal
import subprocess

import grpc
import numpy as np
import pytest
import requests

from clients import Client
from net_fixtures import make_certificate
from penstock_server import BINARY, Server, eventually
from test_metrics import value
from test_reload import HALF, SAME, answers, folder, reload, write
from test_troubled import FLAGS, Base

FULL = '--admin_api=full'
X = {'x': np.array([1], np.float32)}


def call(server, method, path, body=None, content_type='application/json'):
    data = json.dumps(body) if isinstance(body, (dict, list)) else body
    status, _, answer = server.request(method, '/admin/v1/models' + path, data, {'content-type': content_type})
    return status, json.loads(answer)


def version_of(server, model, **options):
    with Client(server) as client:
        return client.predict_raw(model, X, **options).model_spec.version.value


def models_with_versions(tmp_path, count=3):
    return folder(tmp_path / 'm', range(1, count + 1))


@pytest.fixture(scope='module')
def half(tmp_path_factory):
    """A server for the tests that change nothing: that it serves "half", and nothing else, is so at the end of each."""
    with Server(tmp_path_factory.mktemp('half'), {'half': HALF}, flags=[FULL]) as server:
        yield server


@pytest.fixture
def unchanged(half):
    yield half
    assert answers(half, 'half')
    assert [model['name'] for model in call(half, 'GET', '')[1]['models'] if model['ready']] == ['half']


@pytest.fixture
def keeping(tmp_path):
    """Flags of a server that keeps what operators change."""
    return [FULL, f'--state_file={tmp_path}/state']


def test_the_list_shows_all_models(start, tmp_path):
    base = models_with_versions(tmp_path, 2)
    server = start({'m': f'base_path: "{base}" version_labels {{ key: "stable" value: 2 }}', 'half': HALF})
    status, answer = call(server, 'GET', '')
    assert status == 200
    assert [model['name'] for model in answer['models']] == ['half', 'm']
    memory = answer['memory']
    assert memory['limit_bytes'] > 0
    reserved = sum(version['memory_bytes'] for model in answer['models'] for version in model['versions'])
    assert memory['reserved_bytes'] == memory['measured_bytes'] + memory['estimated_bytes'] == reserved
    assert memory['process_bytes'] > 1 << 20
    status, model = call(server, 'GET', '/m')
    assert status == 200
    assert (model['base_path'], model['load'], model['ready']) == (base, 'ALWAYS', True)
    assert model['labels'] == {'stable': {'version': 2, 'wanted': 2}}
    assert [(each['version'], each['state']) for each in model['versions']] == [(2, 'AVAILABLE')]
    assert model['versions'][0]['since'].endswith('Z')
    assert call(server, 'GET', '/nobody')[0] == 404


def test_the_log_says_what_was_changed_and_by_whom(start):
    server = start({'half': HALF}, flags=[FULL])
    connection = http.client.HTTPConnection('127.0.0.1', server.rest_port)

    def ask(method, path, body, request_id):
        connection.request(method, '/admin/v1/models' + path, body,
                           {'content-type': 'application/json', 'x-request-id': request_id})
        peer = '%s:%d' % connection.sock.getsockname()
        response = connection.getresponse()
        response.read()
        return response.status, f'admin API, {peer} (request {request_id}): '

    status, who = ask('PUT', '/more', '{"base_path": "builtin:half_plus_two"}', 'of-put')
    assert status == 200
    assert who + 'put model more: in force' in server.log() and who + 'put model more: done' in server.log()
    status, who = ask('POST', '/half:pin', '{"version": 9}', 'of-pin')
    assert status == 404
    assert who + 'pin model half to version 9: NOT_FOUND: ' in server.log()
    assert who + 'pin model half to version 9: in force' not in server.log()


def test_a_byte_order_mark_before_a_body_is_skipped(unchanged):
    connection = http.client.HTTPConnection('127.0.0.1', unchanged.rest_port)
    connection.request('POST', '/admin/v1/models/half:label', b'\xef\xbb\xbf{"label": "a", "version": 1}',
                       {'content-type': 'application/json'})
    assert connection.getresponse().status == 200
    assert call(unchanged, 'POST', '/half:label', {'label': 'a'})[0] == 200


def test_by_default_models_can_only_be_listed(start):
    server = start({'half': HALF})
    for method, path in (('DELETE', '/half'), ('PUT', '/more'), ('POST', '/half:unload')):
        status, answer = call(server, method, path, {})
        assert status == 403 and '--admin_api=full' in answer['error']
    assert answers(server, 'half')
    server = start({'half': HALF}, flags=['--admin_api=off'])
    assert server.get('/admin/v1/models')[0] == 404


def test_a_port_that_bypasses_tls_changes_no_models(start, tmp_path):
    certificate, key = tmp_path / 'cert.pem', tmp_path / 'key.pem'
    make_certificate(certificate, key)
    ssl_config = tmp_path / 'ssl.config'
    ssl_config.write_text(
        f'server_key: {json.dumps(key.read_text())} server_cert: {json.dumps(certificate.read_text())}')
    flags = [FULL, f'--ssl_config_file={ssl_config}']
    server = start({'half': HALF}, flags=flags + ['--address=0.0.0.0'])
    status, answer = call(server, 'PUT', '/same', {'base_path': SAME})
    assert status == 403 and 'https://' in answer['error']
    assert call(server, 'GET', '/half')[0] == 200
    answer = requests.put(f'https://localhost:{server.port}/admin/v1/models/same', json={'base_path': SAME},
                          verify=str(certificate), timeout=60)
    assert answer.status_code == 200
    assert answers(server, 'same')
    assert call(start({'half': HALF}, flags=flags), 'DELETE', '/half')[0] == 200, 'only this host reaches the port'


def test_a_model_is_added_replaced_and_removed(start, tmp_path):
    server = start({'half': HALF}, flags=[FULL])
    base = models_with_versions(tmp_path)
    status, model = call(server, 'PUT', '/m', {'base_path': base})
    assert status == 200 and model['ready']
    assert version_of(server, 'm') == 3
    status, _ = call(server, 'PUT', '/m', {'base_path': base, 'model_version_policy': {'specific': {'versions': [1]}}})
    assert status == 200
    server.wait_for_only('m', [1])
    assert call(server, 'DELETE', '/m') == (200, {})
    eventually('it is gone', lambda: not answers(server, 'm'))
    assert call(server, 'DELETE', '/m')[0] == 404
    assert answers(server, 'half')


@pytest.mark.parametrize('method, path, body, code, said', [
    ('PUT', '/m', '{', 400, 'not a ModelConfig as JSON'),
    ('PUT', '/m', '[]', 400, 'not a ModelConfig as JSON: Root element must be a message'),
    ('PUT', '/m', '{"base_pth": "/x"}', 400, 'base_pth'),
    ('PUT', '/m', '{}', 400, 'no base_path'),
    ('PUT', '/m', '{"name": "other", "base_path": "/x"}', 400, "names the model 'other', the path 'm'"),
    ('PUT', '/m', '{"base_path": "relative"}', 400, 'cannot list the versions in base path relative'),
    ('PUT', '/m', '{"base_path": "/x", "model_platform": "abacus"}', 400, 'abacus'),
    ('PUT', '/', '{"base_path": "/x"}', 400, 'names no model'),
    ('POST', '/half:pin', '{}', 400, "'version' is missing"),
    ('POST', '/half:pin', '{"version": 1.5}', 400, 'whole number'),
    ('POST', '/half:pin', '{"version": "1"}', 400, 'whole number'),
    ('POST', '/half:pin', '[1]', 400, 'not a JSON object'),
    ('POST', '/half:pin', '{"version": 1, "verison": 2}', 400, "unknown field 'verison'; known: version"),
    ('POST', '/half:pin', '{"version": 9}', 404, 'has no version 9'),
    ('POST', '/half:label', '{"version": 1}', 400, "'label' must be a text"),
    ('POST', '/half:label', '{"label": "none"}', 404, "no label 'none'"),
    ('POST', '/nobody:unload', '', 404, "no model is called 'nobody'"),
])
def test_bad_input_gets_an_error_that_names_the_mistake(unchanged, method, path, body, code, said):
    status, answer = call(unchanged, method, path, body)
    assert status == code and said in answer['error'], answer


def test_other_methods_and_forms_are_refused(unchanged):
    assert call(unchanged, 'POST', '/half:explode', {})[0] == 405
    assert call(unchanged, 'PATCH', '/half', {})[0] == 405
    assert call(unchanged, 'GET', '/half:pin')[0] == 405
    status, answer = call(unchanged, 'POST', '/half:unload', 'a=b', content_type='application/x-www-form-urlencoded')
    assert status == 400 and 'application/json' in answer['error']


def test_roll_back_with_one_call_that_outlives_the_server(start, tmp_path, keeping):
    base = models_with_versions(tmp_path)
    server = start({'m': base}, flags=keeping)
    assert version_of(server, 'm') == 3
    status, model = call(server, 'POST', '/m:pin', {'version': 2})
    assert (status, model['pinned_version']) == (200, 2)
    assert version_of(server, 'm') == 2
    folder(tmp_path / 'm', [4])
    server.stop()
    server = start({'m': base}, flags=keeping)
    assert version_of(server, 'm') == 2
    status, _ = call(server, 'POST', '/m:unpin', {})
    assert status == 200
    eventually('the newest one serves', lambda: version_of(server, 'm') == 4)


def test_labels_are_moved_and_removed(start, tmp_path):
    base = models_with_versions(tmp_path)
    server = start({'m': f'base_path: "{base}" model_version_policy {{ all {{}} }}'}, flags=[FULL])
    for version in (1, 3):
        status, model = call(server, 'POST', '/m:label', {'label': 'stable', 'version': version})
        assert status == 200 and model['labels']['stable'] == {'version': version, 'wanted': version}
        assert version_of(server, 'm', label='stable') == version
    status, answer = call(server, 'POST', '/m:label', {'label': 'stable', 'version': 9})
    assert status == 400 and 'assign label to version 9' in answer['error'], answer
    assert version_of(server, 'm', label='stable') == 3
    assert call(server, 'POST', '/m:label', {'label': 'stable'})[0] == 200
    assert call(server, 'GET', '/m')[1]['labels'] == {}


def test_unload_and_load(start, tmp_path, keeping):
    base = models_with_versions(tmp_path, 1)
    models = {'m': base, 'lazy': f'base_path: "{base}" penstock {{ load: ON_DEMAND }}'}
    server = start(models, flags=keeping)
    assert call(server, 'POST', '/m:unload', {})[1]['load'] == 'NEVER'
    eventually('it is unloaded', lambda: server.rest_predict('m', {'instances': [1.0]})[0] == 503)
    assert call(server, 'POST', '/m:unload', {})[1]['load'] == 'NEVER'  # to say it again is no error
    assert server.get('/readyz')[0] == 200
    server.stop()
    server = start(models, flags=keeping)
    assert server.rest_predict('m', {'instances': [1.0]})[0] == 503
    for _ in range(2):
        status, model = call(server, 'POST', '/m:load', {})
        assert status == 200 and model['ready'] and model['load'] == 'ALWAYS'
    status, model = call(server, 'POST', '/lazy:load', {})
    assert status == 200 and model['ready'] and model['load'] == 'ON_DEMAND'


def test_a_new_reading_of_the_file_keeps_the_changes_of_operators(start, tmp_path):
    base = models_with_versions(tmp_path)
    server = start({'m': base, 'gone': HALF}, flags=[FULL])
    assert call(server, 'PUT', '/more', {'base_path': SAME})[0] == 200
    assert call(server, 'DELETE', '/gone')[0] == 200
    assert call(server, 'POST', '/m:pin', {'version': 1})[0] == 200
    write(server, {'m': base, 'gone': HALF, 'new': HALF})
    server.process.send_signal(signal.SIGHUP)
    eventually('the new one answers', lambda: answers(server, 'new'))
    assert version_of(server, 'm') == 1 and answers(server, 'more') and not answers(server, 'gone')
    # A client that gives a whole list gets that list; what is pinned stays pinned.
    assert reload(server, {'m': base, 'gone': HALF}) is None
    eventually('the list is the client\'s', lambda: answers(server, 'gone') and not answers(server, 'more'))
    assert version_of(server, 'm') == 1


@pytest.mark.parametrize('what, flags, said', [
    ('file', [], 'mend it'), ('bad model', [], ' with --state_file='),
    ('folder', [], 'not a file that can be read'), ('fifo', [], 'not a file that can be read'),
    ('nothing', ['--rest_api_enable_cors_support'], 'exclude each other'), ('no folder', [], 'there is no folder')])
def test_a_bad_start_says_why(tmp_path, what, flags, said):
    path = tmp_path / 'state'
    if what == 'file':
        path.write_text('nonsense {', encoding='utf-8')
    elif what == 'bad model':
        path.write_text('added { name: "x" base_path: "/x" model_platform: "nonsense" }', encoding='utf-8')
    elif what == 'folder':
        path.mkdir()
    elif what == 'fifo':
        os.mkfifo(path)
    elif what == 'no folder':
        path = tmp_path / 'nowhere' / 'state'
    done = subprocess.run([BINARY, 'serve', '--model_base_path=' + HALF, '--port=-1', '--rest_api_port=-1', FULL,
                           f'--state_file={path}', *flags], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert said in done.stderr + done.stdout


def test_a_configured_label_whose_version_is_missing_is_logged(start, tmp_path):
    base = models_with_versions(tmp_path)
    server = start({'m': f'base_path: "{base}" version_labels {{ key: "a" value: 9 }}'})
    eventually('the log says it', lambda: 'label "a"' in server.log() and 'version 9 of model m' in server.log())
    assert version_of(server, 'm') == 3
    assert call(server, 'GET', '/m')[1]['labels'] == {'a': {'version': None, 'wanted': 9}}
    assert server.rest_predict('m', {'instances': [1.0]}, path='/labels/a') == (
        503, {'error': 'label "a" of model m waits for version 9: the model has version 3'})


def test_a_body_that_is_too_long_is_refused(unchanged):
    status, answer = call(unchanged, 'POST', '/half:pin', '[' + '1,' * 500_000 + '1]')
    assert status == 400 and 'more than' in answer['error']


def test_a_refused_label_is_unchanged_also_after_a_restart(start, tmp_path, keeping):
    base = models_with_versions(tmp_path)
    folder(tmp_path / 'm', [5], kind='nonsense')
    config = {'m': f'base_path: "{base}" model_version_policy {{ all {{}} }}'}
    flags = [*keeping, '--ready_when=any']
    server = start(config, flags=flags)
    assert call(server, 'POST', '/m:label', {'label': 's', 'version': 2})[0] == 200
    for version in (5, 77):
        assert call(server, 'POST', '/m:label', {'label': 's', 'version': version})[0] == 400
        assert call(server, 'GET', '/m')[1]['labels'] == {'s': {'version': 2, 'wanted': 2}}
    server.stop()
    server = start(config, flags=flags)
    server.wait_for('m', 2)
    assert version_of(server, 'm', label='s') == 2


def test_a_state_that_cannot_be_kept_says_so(start, tmp_path, keeping):
    os.makedirs(tmp_path / 'state.new')  # where the new state would be written
    server = start({'half': HALF}, flags=keeping)
    status, answer = call(server, 'PUT', '/more', {'base_path': SAME})
    assert status == 500 and 'in force, but will not outlive the server' in answer['error']
    assert answers(server, 'more')


@pytest.fixture
def slow(tmp_path):
    """A base path whose version loads as long as its file says "wait"."""
    base = Base(tmp_path / 'slow')
    base.set(1, 'wait')
    yield base
    base.set(1)  # so that the server can end


SLOW_FLAGS = [*FLAGS, FULL, '--version_settle_ms=0']


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor() as executor:
        yield executor


def loads(server):
    return server.states('slow').get(1) == 'LOADING'


def put_slow(pool, server, slow):
    """The call that adds it, under way: its version loads."""
    waiting = pool.submit(call, server, 'PUT', '/slow', {'base_path': slow.path})
    eventually('it loads', lambda: loads(server))
    return waiting


@pytest.mark.runtimes
def test_a_slow_change_delays_no_other(start, tmp_path, pool, slow):
    server = start({'half': HALF, 'm': models_with_versions(tmp_path)}, flags=SLOW_FLAGS)
    waiting = put_slow(pool, server, slow)
    assert call(server, 'PUT', '/quick', {'base_path': SAME})[0] == 200
    assert call(server, 'POST', '/m:pin', {'version': 2})[0] == 200
    write(server, {'half': HALF, 'm': f'{tmp_path}/m', 'read': HALF})
    server.process.send_signal(signal.SIGHUP)
    eventually('the file is in force', lambda: answers(server, 'read'))
    assert version_of(server, 'm') == 2
    assert not waiting.done() and loads(server)
    slow.set(1)
    status, model = waiting.result()
    assert status == 200 and model['ready']


@pytest.mark.runtimes
def test_removing_a_model_does_not_wait_for_its_load(start, pool, slow):
    server = start({'half': HALF}, flags=SLOW_FLAGS)
    waiting = put_slow(pool, server, slow)
    assert call(server, 'DELETE', '/slow') == (200, {})
    status, answer = waiting.result()
    assert status == 409 and 'removed, unloaded or moved' in answer['error']


@pytest.mark.runtimes
def test_a_client_that_leaves_delays_no_other(start, pool, slow):
    server = start({'half': HALF}, flags=[*SLOW_FLAGS, '--half_close_grace_ms=1'])
    connection = http.client.HTTPConnection('127.0.0.1', server.rest_port)
    connection.request('PUT', '/admin/v1/models/slow', json.dumps({'base_path': slow.path}),
                       {'content-type': 'application/json'})
    eventually('it loads', lambda: loads(server))
    other = pool.submit(call, server, 'PUT', '/slow', {'base_path': slow.path, 'version_labels': {'stable': 1}})
    connection.close()
    eventually('it is the turn of the other one', lambda: call(server, 'GET', '/slow')[1]['labels'])
    assert not other.done()
    slow.set(1)
    assert other.result()[0] == 200


@pytest.mark.runtimes
def test_the_shutdown_answers_waiting_changes(start, pool, slow):
    server = start({'half': HALF}, flags=SLOW_FLAGS)
    waiting = put_slow(pool, server, slow)
    before = value(server, 'penstock_net_requests', protocol='grpc')
    listed = pool.submit(reload, server, {'half': HALF, 'slow': slow.path})
    eventually('it has come', lambda: value(server, 'penstock_net_requests', protocol='grpc') > before)
    behind = http.client.HTTPConnection('127.0.0.1', server.rest_port)
    behind.request('PUT', '/admin/v1/models/slow', json.dumps({'base_path': SAME}), {'content-type': 'application/json'})
    server.terminate()
    status, answer = waiting.result()
    assert status == 503 and 'shutting down' in answer['error']
    response = behind.getresponse()
    assert response.status == 503 and b'shutting down' in response.read()
    assert listed.result().code() == grpc.StatusCode.UNAVAILABLE
    slow.set(1)
