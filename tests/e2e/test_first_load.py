# SPDX-License-Identifier: Apache-2.0
"""What clients and probes are told before a model has served for the first time."""
import concurrent.futures
import json
import os

import grpc
import numpy as np

from clients import Client, error_of
from penstock_server import eventually
from test_metrics import value
from test_reload import folder, reload

X = {'x': np.array([1], np.float32)}


def test_requests_wait_for_the_first_load_of_their_model(start, tmp_path):
    """Version 1 is not complete for an hour; version 2 is at once, as its folder is renamed into its place."""
    base = folder(tmp_path / 'm', [1])
    folder(tmp_path / 'whole', [2])
    server = start({'m': base}, flags=['--version_settle_ms=3600000', '--initial_load_wait_ms=60000'], ready=False)
    eventually('it is seen', lambda: 'not complete' in server.get('/readyz')[1])
    status, body = server.get('/v1/models/m')
    assert status == 503 and 'version 1 in base path' in json.loads(body)['error']
    with Client(server) as client, concurrent.futures.ThreadPoolExecutor(3) as pool:
        code, text = error_of(client.predict_raw, 'm', X, timeout=0.1)
        assert code == grpc.StatusCode.DEADLINE_EXCEEDED, text
        before = value(server, 'penstock_net_requests_total', protocol='grpc')
        waiting = [pool.submit(server.rest_predict, 'm', {'instances': [1.0]}),
                   pool.submit(client.predict_raw, 'm', X), pool.submit(server.get, '/v1/models/m/metadata')]
        eventually('one has come', lambda: value(server, 'penstock_net_requests_total', protocol='grpc') > before)
        os.rename(tmp_path / 'whole/2', base + '/2')
        assert waiting[0].result()[0] == 200
        assert waiting[1].result().model_spec.version.value == 2
        assert waiting[2].result()[0] == 200
    assert server.get('/v1/models/m')[0] == 200


def test_a_request_that_does_not_wait_gets_the_reason(start, tmp_path):
    base = folder(tmp_path / 'm', [1])
    server = start({'m': base}, flags=['--version_settle_ms=3600000', '--initial_load_wait_ms=0'], ready=False)
    eventually('it is seen', lambda: 'not complete' in server.get('/readyz')[1])
    status, answer = server.rest_predict('m', {'instances': [1.0]})
    assert status == 503 and answer['error'].startswith('model m is being loaded: version 1 in base path'), answer


def test_a_model_that_could_not_be_loaded_says_why(start, tmp_path):
    base = folder(tmp_path / 'm', [1], kind='nonsense')
    server = start({'m': base}, flags=['--load_retry_interval_micros=3600000000'], ready=False)
    eventually('it has failed', lambda: server.has_failed('m', 1))
    status, body = server.get('/v1/models/m')
    version, = json.loads(body)['model_version_status']
    # It is tried again, so that this is not the end of it.
    assert status == 503 and version['state'] == 'START' and 'nonsense' in version['status']['error_message']
    status, answer = server.rest_predict('m', {'instances': [1.0]})
    assert status == 503 and answer['error'].startswith('model m cannot be loaded: ') and 'nonsense' in answer['error']
    with Client(server) as client:
        code, text = error_of(client.predict_raw, 'm', X)
        assert code == grpc.StatusCode.UNAVAILABLE and text == answer['error']
    folder(tmp_path / 'new', [2])
    os.rename(tmp_path / 'new/2', tmp_path / 'm/2')
    server.wait_for('m', 2)
    # From now on the status is never 503 again: a liveness probe would restart the server.
    os.rename(tmp_path / 'm/2', tmp_path / 'm/1/2')
    os.rename(tmp_path / 'm/1', tmp_path / 'elsewhere')
    eventually('it is unloaded', lambda: server.states('m').get(2) == 'END')
    assert server.get('/v1/models/m')[0] == 200
    assert server.rest_predict('m', {'instances': [1.0]})[0] == 503


def test_a_new_model_with_a_mistyped_path_does_not_make_the_server_unready(start, tmp_path):
    models = {'m': folder(tmp_path / 'm', [1])}
    server = start(models)
    error = reload(server, {**models, 'new': str(tmp_path / 'nowhere')})
    assert error is not None and 'No such file or directory' in error.details()
    assert server.get('/readyz')[0] == 200
    assert server.get('/readyz/models/new')[0] == 503
    assert server.get('/v1/models/new')[0] == 404
    strict = start(models, flags=['--ready_when=strict'])
    assert reload(strict, {**models, 'new': str(tmp_path / 'nowhere')}) is not None
    status, body = strict.get('/readyz')
    assert status == 503 and 'nowhere' in body


def test_a_model_that_is_left_out_of_a_reload_shows_end(start, tmp_path):
    models = {'m': folder(tmp_path / 'm', [1]), 'n': folder(tmp_path / 'n', [1, 3])}
    server = start(models)
    assert reload(server, {'m': models['m']}) is None
    eventually('it has ended', lambda: server.states('n') == {3: 'END'})
    assert server.rest_predict('n', {'instances': [1.0]}) == (
        404, {'error': 'Servable not found for request: Latest(n)'})


def test_incomplete_folders_are_no_versions(start, tmp_path):
    base = folder(tmp_path / 'm', [1])
    os.mkdir(base + '/2')
    os.makedirs(base + '/3/variables')
    with open(base + '/3/variables/variables.index', 'w', encoding='ascii') as file:
        file.write('half')
    server = start({'m': base})
    assert server.states('m') == {1: 'AVAILABLE'}
    eventually('it says what is missing', lambda: 'left out: it has variables and no saved_model.pb' in server.log())
    assert server.rest_predict('m', {'instances': [1.0]}, path='/versions/3') == (
        404, {'error': 'Servable not found for request: Specific(m, 3): the model has version 1; version 3 is there, '
                       'but it is not complete: it has variables and no saved_model.pb'})
    status, body = server.get('/v1/models/m/versions/2')
    assert status == 404
    assert 'version 2 is there, but it is not complete: it has no files, or only empty ones' in json.loads(body)['error']


def test_if_the_newest_version_cannot_be_loaded_the_next_lower_one_is(start, tmp_path):
    base = folder(tmp_path / 'm', [1])
    folder(tmp_path / 'm', [2], kind='nonsense')
    server = start({'m': base}, flags=['--load_retry_interval_micros=3600000000'])
    assert server.states('m') == {1: 'AVAILABLE', 2: 'START'} and server.has_failed('m', 2)
    with Client(server) as client:
        assert client.predict_raw('m', X).model_spec.version.value == 1
        os.remove(base + '/2/model.builtin')
        folder(tmp_path / 'whole', [2])
        os.rename(tmp_path / 'whole/2/model.builtin', base + '/2/model.builtin')
        eventually('it is mended', lambda: server.states('m') == {1: 'END', 2: 'AVAILABLE'})
        assert client.predict_raw('m', X).model_spec.version.value == 2


def labelled(base, **labels):
    return {'m': f'base_path: "{base}" ' + ' '.join(
        f'version_labels {{ key: "{label}" value: {version} }}' for label, version in labels.items())}


def test_labels_of_versions_that_are_not_selected_or_do_not_exist(start, tmp_path):
    base = folder(tmp_path / 'm', [1, 2, 3])
    allow = '--allow_version_labels_for_unavailable_models'
    for flags in ([], [allow]):
        server = start({'m': base}, flags=flags)
        with Client(server) as client:
            def version(label=None, client=client):
                return client.predict_raw('m', X, label=label).model_spec.version.value
            assert reload(server, labelled(base, stable=1)) is None
            eventually('it is loaded', lambda: server.states('m').get(1) == 'AVAILABLE')
            assert (version(), version('stable')) == (3, 1)
            # One that does not exist refuses the whole list.
            error = reload(server, labelled(base, stable=9, canary=2))
            assert error.code() == grpc.StatusCode.FAILED_PRECONDITION and '"stable"' in error.details()
            assert version('stable') == 1
            assert error_of(client.predict_raw, 'm', X, label='canary')[0] == grpc.StatusCode.INVALID_ARGUMENT
            # A new one may be ahead of its version if the flag says so; the log warns.
            error = reload(server, labelled(base, stable=1, ahead=9))
            assert (error is None) == bool(flags)
            assert error_of(client.predict_raw, 'm', X, label='ahead')[0] == (
                grpc.StatusCode.UNAVAILABLE if flags else grpc.StatusCode.INVALID_ARGUMENT)
            if flags:
                eventually('the log warns', lambda: 'label "ahead"' in server.log())


def test_a_reload_that_is_refused_because_of_a_load_moves_no_label(start, tmp_path):
    base = folder(tmp_path / 'm', [1, 2])
    folder(tmp_path / 'm', [3], kind='nonsense')
    fields = 'model_version_policy { specific { versions: 1 } } version_labels { key: "a" value: 1 }'
    server = start({'m': f'base_path: "{base}" {fields}'})
    error = reload(server, labelled(base, a=2, b=3))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION and 'nonsense' in error.details()
    with Client(server) as client:
        assert client.predict_raw('m', X, label='a').model_spec.version.value == 1
        assert error_of(client.predict_raw, 'm', X, label='b')[0] == grpc.StatusCode.INVALID_ARGUMENT
