# SPDX-License-Identifier: Apache-2.0
"""The worst that operators do to a server's life: it is killed in the middle of a switch, its last version is deleted under
load, it is given a thousand models, and its list is replaced for ever."""
import json
import os
import threading

import grpc
import numpy as np
import pytest

from clients import Client, error_of
from conftest import SAMPLES
from penstock_server import SLOWNESS, Server, eventually
from test_reload import HALF, folder, reload
from test_versions import Base, Load, ask, kinds, runtimes

HOURLY = ['--file_system_poll_wait_seconds=3600']
MANY = 1000 if SLOWNESS == 1 else 200
KILLS = 4
RELOADS = 200


@pytest.fixture(params=kinds('builtin'))
def base(request, tmp_path):
    return Base(tmp_path / 'model', request.param)


def test_killed_while_versions_switch(start, base, tmp_path):
    """Killed at another moment each time: when the version is seen, while it loads, when it is there, while the old one
    goes. The next process serves the version that it finds, whatever the last one was doing."""
    base.add(1)
    moments = [lambda server, version: None,
               lambda server, version: eventually('it is seen', lambda: f'model m version {version}' in server.log()),
               lambda server, version: server.wait_for('m', version),
               lambda server, version: server.wait_for_only('m', [version])]
    assert len(moments) == KILLS
    for version, wait in enumerate(moments, 2):
        server = Server(tmp_path / f'killed{version}', {'m': base.path}, flags=HOURLY)
        try:
            base.add(version)
            wait(server, version)
        finally:
            server.kill()
    server = start({'m': base.path}, flags=HOURLY)
    server.wait_for_only('m', [KILLS + 1])
    with Client(server) as client:
        assert ask(client, base) == KILLS + 1
    names = sorted(os.listdir(base.path))
    assert names == [str(version) for version in range(1, KILLS + 2)], 'a server writes nothing into a base path'


def test_killed_under_load_and_started_again(start, base, tmp_path):
    """Clients see a lost connection, never a wrong answer."""
    base.add(1)
    server = Server(tmp_path / 'killed', {'m': base.path}, flags=HOURLY)
    try:
        load = Load(server, {'m': base})
        with load:
            load.more(50)
            base.add(2)
            server.kill()
            eventually('a client notices', lambda: load.failures)
    finally:
        server.kill()
    for failure in load.failures:
        assert 'AssertionError' not in failure, failure
    server = start({'m': base.path}, flags=HOURLY)
    server.wait_for_only('m', [2])  # first 1, if 2 is so new that it may still be incomplete
    with Load(server, {'m': base}) as load:
        load.more()
    assert not load.failures, load.failures[:5]
    assert load.seen['m'] == {2}


def test_the_last_version_is_deleted_under_load(start, base):
    """Requests get answers until it is unloaded, and then a clear error: nothing else, and no other model notices."""
    other = Base(base.path + '.other', 'builtin')
    other.add(1)
    base.add(1)
    server = start({'m': base.path, 'other': other.path}, flags=HOURLY)
    outcomes, stopping, lock = set(), threading.Event(), threading.Lock()

    def run():
        with Client(server, [('grpc.use_local_subchannel_pool', 1)]) as client:
            while not stopping.is_set():
                try:
                    outcome = ask(client, base)
                except grpc.RpcError as error:  # which ends with why there is no version just now
                    outcome = error.code(), error.details()[:len(gone[1])]
                with lock:
                    outcomes.add(outcome)
    threads = [threading.Thread(target=run) for _ in range(8)]
    gone = (grpc.StatusCode.UNAVAILABLE, 'model m ')
    with Load(server, {'other': other}) as load:
        for thread in threads:
            thread.start()
        try:
            eventually('it is answered', lambda: 1 in outcomes)
            base.remove(1)
            server.wait_for_only('m', [])
            eventually('it is gone', lambda: gone in outcomes)
            load.more()
            base.add(3)
            eventually('the next one answers', lambda: 3 in outcomes)
        finally:
            stopping.set()
            for thread in threads:
                thread.join()
    assert not load.failures, load.failures[:5]
    assert outcomes == {1, gone, 3}


def test_a_version_that_turns_into_something_else(start, base):
    """What is served is in memory: a folder that becomes a file, or a link to nowhere, takes away that version alone."""
    base.add(1)
    base.add(2)
    server = start({'m': base.path}, flags=[*HOURLY, '--max_num_load_retries=0'])
    with Load(server, {'m': base}) as load:
        load.more()
        os.rename(base.folder(2), base.path + '.2')
        os.symlink('/nowhere', base.folder(2))
        load.more()
        server.wait_for_only('m', [1])
        os.remove(base.folder(2))
        with open(base.folder(2), 'w', encoding='ascii') as file:
            file.write('no folder')
        load.more()
        os.remove(base.folder(2))
        os.rename(base.path + '.2', base.folder(2))
        server.wait_for_only('m', [2])
        load.more()
    assert not load.failures, load.failures[:5]


def test_the_base_path_becomes_a_file(start, base):
    """As with any that cannot be read, what is served stays, and the status says why nothing new comes."""
    base.add(1)
    server = start({'m': base.path}, flags=HOURLY)
    os.rename(base.path, base.path + '.away')
    with open(base.path, 'w', encoding='ascii') as file:
        file.write('no folder')
    eventually('the status says so', lambda: 'cannot list the versions' in server.get('/readyz/models/m')[1])
    with Client(server) as client:
        assert ask(client, base) == 1
        os.remove(base.path)
        os.rename(base.path + '.away', base.path)
        base.add(2)
        server.wait_for_only('m', [2])
        assert ask(client, base) == 2


def test_a_thousand_models(start, tmp_path):
    models = {f'm{i:04}': folder(tmp_path / f'm{i:04}', [1 + i % 3]) for i in range(MANY)}
    server = start(models)
    for i in (0, MANY // 2, MANY - 1):
        name = f'm{i:04}'
        assert server.states(name) == {1 + i % 3: 'AVAILABLE'}
        assert server.rest_predict(name, {'instances': [1.0, 2.0]})[1] == {'predictions': [2.5, 3.0]}
    status, body = server.get('/metrics')
    assert status == 200 and f'penstock_model_versions{{model_name="m{MANY - 1:04}",state="AVAILABLE"}} 1' in body
    with Client(server) as client:
        assert error_of(client.predict, 'more', {'x': np.float32([1])})[1] == 'Servable not found for request: Latest(more)'
    # Half of them go, and the others stay, in one list.
    assert reload(server, dict(list(models.items())[::2])) is None
    eventually('the others are gone', lambda: set(server.states('m0001').values()) <= {'END'})
    assert server.rest_predict('m0002', {'instances': [1.0]})[0] == 200
    server.terminate()
    assert server.wait(30) == 0


@runtimes
@pytest.mark.skipif(SLOWNESS > 1, reason='a sanitizer keeps what is freed')
@pytest.mark.parametrize('form', ['', '_onnx'], ids=['tensorflow', 'onnx'])
def test_two_hundred_reloads_of_real_models_leave_nothing_behind(start, form):
    """Each time a model goes and another comes, and with it what its runtime keeps."""
    server = start({'half': HALF})
    bases, sizes = [os.path.join(SAMPLES, name + form) for name in ('half_plus_two', 'half_plus_three')], []
    for i in range(RELOADS):
        assert reload(server, {'half': HALF, f'model{i % 2}': bases[i % 2]}) is None
        status, body = server.rest_predict(f'model{i % 2}', {'instances': [1.0]})
        assert (status, body) == (200, {'predictions': [2.5 + i % 2]}), json.dumps(body)
        eventually('the other is gone', lambda: set(server.states(f'model{1 - i % 2}').values()) <= {'END'})
        sizes.append(server.memory_bytes())
    assert sizes[-1] < sizes[RELOADS // 4] + 4_000_000, sizes[::RELOADS // 8]
