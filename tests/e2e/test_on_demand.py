# SPDX-License-Identifier: Apache-2.0
"""Models that are loaded by the first request, and go when they are idle or others need the memory."""
import concurrent.futures
import signal
import time

import grpc
import numpy as np

from clients import Client, error_of
from penstock_server import PASSING_SLOWNESS, eventually
from test_metrics import value
from test_reload import folder, write

X = {'x': np.array([1], np.float32)}


def lazy(base, options='', load='ON_DEMAND'):
    return f'base_path: "{base}" penstock {{ load: {load} {options} }}'


def grpc_requests(server):
    return value(server, 'penstock_net_requests_total', protocol='grpc')


def begin_to_wait(pool, server, client):
    """The error of a request for "m" that has come: a further one on the same connection comes behind it."""
    error_of(client.status, 'm')  # it has no version yet; all that was sent before has come
    before = grpc_requests(server)
    waiting = pool.submit(error_of, client.predict_raw, 'm', X)
    eventually('the request comes', lambda: grpc_requests(server) > before)
    return waiting


def loaded(server, model):
    return 'AVAILABLE' in server.states(model).values()


def test_the_first_requests_wait_for_the_load(start, tmp_path):
    server = start({'m': lazy(folder(tmp_path / 'm', [1, 2]))})
    assert server.get('/readyz')[0] == 200
    assert not loaded(server, 'm')
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: server.rest_predict('m', {'instances': [1.0]}), range(16)))
    assert [status for status, *_ in answers] == [200] * 16
    with Client(server) as client:
        assert client.predict_raw('m', X).model_spec.version.value == 2


def test_an_idle_model_is_unloaded_and_loaded_again(start, tmp_path):
    server = start({'m': lazy(folder(tmp_path / 'm', [1]), 'unload_after_idle_ms: 100')})
    with Client(server) as client:
        for _ in range(2):
            assert client.predict_raw('m', X).model_spec.version.value == 1
            eventually('it is unloaded', lambda: not loaded(server, 'm'))


def test_the_least_recently_used_model_makes_room(start, tmp_path):
    models = {name: lazy(folder(tmp_path / name, [1]), 'memory_bytes: 40') for name in 'abc'}
    server = start(models, flags=['--model_memory_bytes_max=100'])
    with Client(server) as client:
        client.predict_raw('a', X)
        client.predict_raw('b', X)
        time.sleep(0.01)
        for _ in range(3):  # so that b is not used for longest, or least, wherever a look at their use falls
            client.predict_raw('a', X)
        client.predict_raw('c', X)
        eventually('b is unloaded', lambda: not loaded(server, 'b'))
        assert loaded(server, 'a') and loaded(server, 'c')
        client.predict_raw('b', X)


def test_a_model_that_is_kept_is_not_unloaded_for_others(start, tmp_path):
    models = {'kept': lazy(folder(tmp_path / 'kept', [1]), 'memory_bytes: 60 keep_loaded: true'),
              'big': lazy(folder(tmp_path / 'big', [1]), 'memory_bytes: 50')}
    server = start(models, flags=['--model_memory_bytes_max=100'])
    with Client(server) as client:
        client.predict_raw('kept', X)
        error = error_of(client.predict_raw, 'big', X)
        assert error[0] == grpc.StatusCode.UNAVAILABLE
        assert 'it takes 50 bytes, and 60 of the limit of 100 are taken, so that 10 are missing' in error[1]
        client.predict_raw('kept', X)


def test_a_failed_load_answers_waiting_requests(start, tmp_path):
    server = start({'m': lazy(folder(tmp_path / 'm', [1], kind='nonsense'))})
    with Client(server) as client:
        error = error_of(client.predict_raw, 'm', X)
    assert error[0] == grpc.StatusCode.UNAVAILABLE
    assert 'model m cannot be loaded' in error[1] and 'nonsense' in error[1]
    status, body, *_ = server.rest_predict('m', {'instances': [1.0]})
    assert status == 503, body


def test_a_request_waits_no_longer_than_its_deadline_or_the_limit(start, tmp_path):
    """The source has not said anything of the model, so that it may still come."""
    server = start({'m': lazy(folder(tmp_path / 'm', [1]))},
                   flags=['--file_system_poll_wait_seconds=-1', f'--demand_timeout_ms={2000 * PASSING_SLOWNESS}',
                          '--demand_waiters_max=1'])
    with Client(server) as client, concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert error_of(client.predict_raw, 'm', X, timeout=0.2)[0] == grpc.StatusCode.DEADLINE_EXCEEDED
        first = begin_to_wait(pool, server, client)
        error = error_of(client.predict_raw, 'm', X)
        assert error[0] == grpc.StatusCode.UNAVAILABLE and '1 requests wait already' in error[1]
        error = first.result()
    assert error[0] == grpc.StatusCode.UNAVAILABLE
    assert 'still being loaded' in error[1]


def test_the_mode_changes_by_a_reload(start, tmp_path):
    base = folder(tmp_path / 'm', [1])
    server = start({'m': lazy(base, load='NEVER'), 'half': 'builtin:half_plus_two'})
    with Client(server) as client:
        error = error_of(client.predict_raw, 'm', X)
        assert error[0] == grpc.StatusCode.UNAVAILABLE and 'unloaded by an operator' in error[1]
        write(server, {'m': lazy(base, load='ALWAYS')})
        server.process.send_signal(signal.SIGHUP)
        eventually('it is loaded', lambda: loaded(server, 'm'))
        assert client.predict_raw('m', X).model_spec.version.value == 1


def test_two_models_that_do_not_fit_together_both_answer(start, tmp_path):
    """What was loaded for those who wait stays until they have it, although another model waits for its memory."""
    models = {name: lazy(folder(tmp_path / name, [1]), 'memory_bytes: 60') for name in 'ab'}
    server = start(models, flags=['--model_memory_bytes_max=100'])
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda i: server.rest_predict('ab'[i % 2], {'instances': [1.0]}), range(80)))
    assert [status for status, _ in answers if status != 200] == []


def test_no_request_is_turned_away_when_the_load_ends_as_it_comes(start, tmp_path):
    server = start({'m': lazy(folder(tmp_path / 'm', [1]), 'unload_after_idle_ms: 1')})
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            answers = list(pool.map(lambda _: server.rest_predict('m', {'instances': [1.0]}), range(8)))
            assert [status for status, _ in answers] == [200] * 8
            eventually('it is unloaded', lambda: not loaded(server, 'm'))


def test_waiting_requests_get_an_error_at_the_shutdown(start, tmp_path):
    server = start({'m': lazy(folder(tmp_path / 'm', [1]))}, flags=['--file_system_poll_wait_seconds=-1'])
    with Client(server) as client, concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = begin_to_wait(pool, server, client)
        server.terminate()
        error = waiting.result()
    assert error == (grpc.StatusCode.UNAVAILABLE, 'the server is shutting down')
    assert server.wait() == 0


def test_clients_that_have_left_take_no_place(start, tmp_path):
    server = start({'m': lazy(folder(tmp_path / 'm', [1]))},
                   flags=['--file_system_poll_wait_seconds=-1', '--demand_waiters_max=2',
                          f'--demand_timeout_ms={1000 * PASSING_SLOWNESS}'])
    with Client(server) as client:
        for _ in range(5):
            assert error_of(client.predict_raw, 'm', X, timeout=0.05)[0] == grpc.StatusCode.DEADLINE_EXCEEDED
        assert 'still being loaded' in error_of(client.predict_raw, 'm', X)[1]


def test_metadata_loads_the_model_and_its_status_does_not(start, tmp_path):
    models = {name: lazy(folder(tmp_path / name, [1])) for name in ('m', 'n')}
    server = start(models)
    for name in models:
        eventually('its version is known', lambda: server.states(name) == {1: 'START'})  # pylint: disable=W0640
    with Client(server) as client:
        assert client.status('m').model_version_status
        assert not loaded(server, 'm') and not loaded(server, 'n')
        assert 'signature_def' in client.metadata('m').metadata
        assert loaded(server, 'm') and not loaded(server, 'n')
        status, body = server.get('/v1/models/n/metadata')
        assert status == 200 and 'signature_def' in body
        assert loaded(server, 'n')


def test_nothing_is_loaded_for_a_version_that_is_not_there(start, tmp_path):
    server = start({'m': f'{lazy(folder(tmp_path / "m", [1]))} version_labels {{ key: "lost" value: 7 }}'})
    eventually('the version is known', lambda: server.states('m') == {1: 'START'})
    missing = 'Servable not found for request: Specific(m, 7): the model has version 1'
    waits = 'label "lost" of model m waits for version 7: the model has version 1'
    with Client(server) as client:
        assert error_of(client.predict_raw, 'm', X, version=7) == (grpc.StatusCode.NOT_FOUND, missing)
        assert error_of(client.predict_raw, 'm', X, label='lost') == (grpc.StatusCode.UNAVAILABLE, waits)
        assert error_of(client.predict_raw, 'm', X, label='none')[0] == grpc.StatusCode.INVALID_ARGUMENT
        assert error_of(client.metadata, 'm', version=7) == (grpc.StatusCode.NOT_FOUND, missing)
    assert server.rest_predict('m', {'instances': [1.0]}, path='/versions/7')[0] == 404
    assert server.get('/v1/models/m/versions/7/metadata')[0] == 404
    assert server.get('/v1/models/m/labels/lost/metadata')[0] == 503
    assert server.states('m') == {1: 'START'}
