# SPDX-License-Identifier: Apache-2.0
"""Backends and models that break while they serve: that version is retired, says why, and is loaded again; no other
one notices. With the backend of tests/backends, which breaks on command."""
import json
import os

import numpy as np
import pytest

from clients import Client, error_of
from penstock_server import BUILD, eventually

pytestmark = pytest.mark.runtimes
FLAGS = [f'--backend_directory={os.path.join(BUILD, "tests/backends")}', '--file_system_poll_wait_seconds=1']


def quick(interval_ms=50, retries=1000):
    return [*FLAGS, f'--load_retry_interval_micros={interval_ms * 1000}', f'--max_num_load_retries={retries}']


class Base:
    """A base path of troubled models."""

    def __init__(self, path):
        self.path = str(path)

    def set(self, version, text='well'):
        """What the version's next load does; a new version appears whole."""
        beside, folder = os.path.join(self.path, f'{version}.incoming'), os.path.join(self.path, str(version))
        file = os.path.join(beside, 'model.troubled')
        os.makedirs(beside, exist_ok=True)
        with open(file, 'w', encoding='ascii') as stream:
            stream.write(text + '\n')
        if os.path.exists(folder):
            os.replace(file, os.path.join(folder, 'model.troubled'))
        else:
            os.rename(beside, folder)


@pytest.fixture
def base(tmp_path):
    return Base(tmp_path / 'base')


def command(client, text, version=None):
    """(version that answered, answer)"""
    response = client.predict_raw('m', {'command': np.array([text.encode()], object)}, version=version)
    return response.model_spec.version.value, response.outputs['echo'].string_val[0].decode()


def entry(client, version):
    """The status of one version, over gRPC."""
    return next(each for each in client.status('m').model_version_status if each.version == version)


def test_a_broken_version_is_retired_and_loaded_again(start, base):
    base.set(1)
    server = start({'m': base.path, 'half': 'builtin:half_plus_two'}, flags=quick())
    with Client(server) as client:
        assert command(client, 'hello') == (1, 'hello')
        base.set(1, 'fail')  # so that the state in between can be seen
        assert command(client, 'break') == (1, 'break')

        def reload_failed():
            status = entry(client, 1).status
            return 'failed as asked' in status.error_message and status
        status = eventually('the reload fails', reload_failed)
        assert status.error_code == 15
        code, text = error_of(command, client, 'hello')
        assert code.name == 'UNAVAILABLE'
        assert text == ("Servable m version 1 was taken from service: the backend 'troubled' reported it as broken: "
                        'broken as asked')
        assert error_of(command, client, 'hello', version=1) == (code, text)
        status, answer = server.rest_predict('m', {'instances': [{'command': 'hello'}]})
        assert (status, answer['error']) == (503, text)
        assert server.states('m')[1] in ('START', 'LOADING')
        assert client.predict('half', {'x': np.float32([2])})['y'] == [3]
        status, body = server.get('/readyz')
        assert status == 503 and 'm' in body
        assert server.get('/readyz/models/half')[0] == 200
        base.set(1)
        server.wait_for('m', 1)
        assert command(client, 'hello') == (1, 'hello')
        assert not entry(client, 1).status.error_code
    assert server.get('/readyz')[0] == 200
    metrics = server.get('/metrics')[1]
    assert 'penstock_model_broken_total{model_name="m"} 1' in metrics
    assert 'penstock_model_loads_total{model_name="m",result="ok"} 2' in metrics
    assert 'is broken and taken from service' in server.log()


def test_the_state_says_why_while_it_waits_for_its_reload(start, base):
    base.set(1)
    server = start({'m': base.path}, flags=quick(interval_ms=3_600_000))
    with Client(server) as client:
        command(client, 'break')
        server.wait_for('m', 1, 'START')
        status = entry(client, 1).status
        assert status.error_code == 14 and 'broken as asked' in status.error_message
        by_rest = json.loads(server.get('/v1/models/m')[1])['model_version_status'][0]
        assert by_rest['state'] == 'START' and by_rest['status']['error_code'] == 'UNAVAILABLE'
        assert 'broken as asked' in by_rest['status']['error_message']
        base.set(2)  # a new version need not wait
        server.wait_for('m', 2)
        assert command(client, 'hello') == (2, 'hello')


def test_the_other_ready_version_takes_over(start, base):
    base.set(1)
    base.set(2)
    fields = f'base_path: "{base.path}" model_version_policy {{ all {{}} }}'
    server = start({'m': fields}, flags=quick(interval_ms=3_600_000))
    with Client(server) as client:
        server.wait_for_only('m', [1, 2])
        assert command(client, 'break') == (2, 'break')
        eventually('version 1 takes over', lambda: server.states('m')[2] == 'START')
        assert command(client, 'hello') == (1, 'hello')
        assert error_of(command, client, 'hello', version=2)[0].name == 'UNAVAILABLE'
    assert server.get('/readyz')[0] == 200


def test_a_version_that_breaks_again_and_again_is_given_up(start, base):
    base.set(1, 'break')
    server = start({'m': base.path}, flags=quick(interval_ms=1, retries=3), ready=False)
    with Client(server) as client:
        eventually('it is given up', lambda: server.log().count('taken from service') == 4)
        server.wait_for('m', 1, 'END')
        assert error_of(command, client, 'hello')[0].name == 'UNAVAILABLE'
        base.set(2)
        server.wait_for_only('m', [2])
        assert command(client, 'hello') == (2, 'hello')


def test_a_broken_backend_stays_broken_but_the_server_goes_on(start, base):
    base.set(1)
    server = start({'m': base.path, 'half': 'builtin:half_plus_two'}, flags=quick(interval_ms=1, retries=2))
    with Client(server) as client:
        command(client, 'break_backend')
        eventually('loads are refused',
                   lambda: 'needs a restart of the server' in entry(client, 1).status.error_message)
        assert 'all broken as asked' in error_of(command, client, 'hello')[1]
        assert client.predict('half', {'x': np.float32([2])})['y'] == [3]


@pytest.mark.parametrize('how, text', [('fail', 'failed as asked'), ('throw', 'thrown as asked'),
                                       ('no_model', 'gave no model')])
def test_a_load_that_goes_wrong_is_a_status(start, base, how, text):
    base.set(1, how)
    server = start({'m': base.path, 'half': 'builtin:half_plus_two'}, flags=quick(retries=1), ready=False)
    with Client(server) as client:
        server.wait_for('half', 1)
        eventually('the load has failed', lambda: server.has_failed('m', 1))
        assert text in entry(client, 1).status.error_message
        assert base.path in entry(client, 1).status.error_message


def test_a_run_that_hangs_ends_at_its_deadline_and_at_a_cancel(start, base):
    base.set(1)
    server = start({'m': base.path}, flags=FLAGS)
    with Client(server) as client:
        inputs = {'command': np.array([b'hang'], object)}
        assert error_of(client.predict_raw, 'm', inputs, timeout=0.2)[0].name == 'DEADLINE_EXCEEDED'
        from clients import predict_request
        call = client.stub.Predict.future(predict_request('m', inputs), timeout=60)
        call.cancel()
        assert command(client, 'hello') == (1, 'hello')
        base.set(2)
        server.wait_for_only('m', [2])  # nothing holds version 1 any more
