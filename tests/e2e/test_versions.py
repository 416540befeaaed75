# SPDX-License-Identifier: Apache-2.0
"""Versions appear, disappear and are broken while 32 clients ask: no request fails, and each is answered by the version
that it says it was. Runs on built-in models (every build) and on those of the runtimes."""
import http.client
import json
import os
import shutil
import threading

import numpy as np
import pytest
import tensorflow as tf

from clients import Client, error_of
from conftest import SAMPLES
from penstock_server import SLOWNESS, eventually

runtimes = pytest.mark.runtimes
release_only = pytest.mark.release_only


def kinds(*under_sanitizers):
    """All kinds of models as parameters. The sanitizers' builds run only the named kinds."""
    for kind in ('builtin', 'tensorflow', 'onnx', 'mixed'):
        marks = ([] if kind == 'builtin' else [runtimes]) + ([] if kind in under_sanitizers else [release_only])
        yield pytest.param(kind, marks=marks)


KINDS = list(kinds('builtin', 'mixed'))
FLAGS = ['--file_system_poll_wait_seconds=1', '--load_retry_interval_micros=200000']
GRPC_CLIENTS, REST_CLIENTS = 24, 8
# Between the calls of a client: loads give way to requests, and take minutes if clients leave them no processor.
PAUSE_SECONDS = 0.2 if SLOWNESS > 1 else 0.02


class Base:
    """A base path whose odd versions add 2 to x / 2 and whose even ones add 3 (built-in: are the identity)."""

    def __init__(self, path, kind):
        self.path, self.kind = str(path), kind
        os.makedirs(self.path)

    def folder(self, version):
        return os.path.join(self.path, str(version))

    def _fill(self, folder, version):
        odd = version % 2 == 1
        if self.kind == 'builtin':
            os.makedirs(folder)
            with open(os.path.join(folder, 'model.builtin'), 'w', encoding='ascii') as file:
                file.write('half_plus_two\n' if odd else 'identity\n')
            return
        form = '_onnx' if self.kind == 'onnx' or (self.kind == 'mixed' and version % 4 >= 2) else ''
        name = ('half_plus_two' if odd else 'half_plus_three') + form
        shutil.copytree(os.path.join(SAMPLES, name, '1'), folder)

    def add(self, version):
        """Appears whole: copied beside and renamed."""
        beside = os.path.join(self.path, f'{version}.incoming')
        self._fill(beside, version)
        os.rename(beside, self.folder(version))

    def add_broken(self, version):
        beside = os.path.join(self.path, f'{version}.incoming')
        os.makedirs(beside)
        name = {'builtin': 'model.builtin', 'onnx': 'model.onnx'}.get(self.kind, 'saved_model.pb')
        with open(os.path.join(beside, name), 'wb') as file:
            file.write(b'nothing that can be loaded')
        os.rename(beside, self.folder(version))

    def remove(self, version):
        shutil.rmtree(self.folder(version))

    def expected(self, version, x):
        """(output name, values)"""
        if self.kind == 'builtin':
            return ('y', x / 2 + 2) if version % 2 else ('x', x)
        return 'y', x / 2 + (2 if version % 2 else 3)


class Load:
    """Clients that ask again and again, over gRPC and REST, and check every answer."""

    def __init__(self, server, models):
        """`models`: {name: Base}"""
        self.server, self.models = server, models
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.seen, self.failures, self.requests = {name: set() for name in models}, [], 0
        self.clients = [Client(server, [('grpc.use_local_subchannel_pool', 1)]) for _ in range(6)]
        self.threads = [threading.Thread(target=self._run, args=(self._grpc, i)) for i in range(GRPC_CLIENTS)]
        self.threads += [threading.Thread(target=self._run, args=(self._rest, i)) for i in range(REST_CLIENTS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60 * SLOWNESS)
        for client in self.clients:
            client.close()

    def _run(self, loop, index):
        try:
            loop(index)
        except Exception as error:  # pylint: disable=broad-except
            with self.lock:
                self.failures.append(repr(error))

    def _grpc(self, index):
        client, names, count = self.clients[index % len(self.clients)], list(self.models), index
        while not self.stopping.wait(PAUSE_SECONDS):
            count += 1
            name = names[count % len(names)]
            x = np.array([count % 100, index], np.float32)
            response = client.predict_raw(name, {'x': x}, timeout=20)
            self._check(name, response.model_spec.version.value,
                        {key: tf.make_ndarray(value) for key, value in response.outputs.items()}, x)

    def _rest(self, index):
        connection, names, count = None, list(self.models), index
        while not self.stopping.wait(PAUSE_SECONDS):
            count += 1
            name = names[count % len(names)]
            x = [float(count % 100), float(index)]
            if connection is None:
                connection = http.client.HTTPConnection('127.0.0.1', self.server.rest_port, timeout=20 * SLOWNESS)
            connection.request('POST', f'/v1/models/{name}:predict', json.dumps({'inputs': {'x': x}}))
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, body
            # The version is not in the answer, but it must be what one of both kinds of version says.
            got, x = json.loads(body)['outputs'], np.array(x, np.float32)
            base = self.models[name]
            assert any(np.array_equal(got, base.expected(v, x)[1]) for v in (1, 2)), (got, x)
            with self.lock:
                self.requests += 1
        if connection:
            connection.close()

    def _check(self, name, version, outputs, x):
        key, values = self.models[name].expected(version, x)
        assert list(outputs) == [key], (version, outputs)
        assert np.array_equal(outputs[key], values), (version, outputs, x)
        with self.lock:
            self.requests += 1
            self.seen[name].add(version)

    def more(self, count=200):
        """Lets that many further requests be answered."""
        goal = self.requests + count
        eventually('requests are answered', lambda: self.failures or self.requests >= goal, 60)
        assert not self.failures, self.failures[:5]


@pytest.mark.parametrize('kind', KINDS)
def test_versions_swap_under_load(start, tmp_path, kind):
    base = Base(tmp_path / 'model', kind)
    base.add(1)
    server = start({'m': base.path}, flags=FLAGS)
    with Load(server, {'m': base}) as load:
        load.more()
        for version in range(2, 7):
            base.add(version)
            server.wait_for('m', version)
            load.more()
            if version % 2:
                base.remove(version - 1)
        base.add_broken(7)
        eventually('the broken version is tried', lambda: 7 in server.states('m'))
        load.more()
        assert server.states('m')[6] == 'AVAILABLE'
        base.remove(7)
        base.remove(6)  # rolls back to 5
        server.wait_for_only('m', [5])
        load.more()
        base.add(8)
        server.wait_for_only('m', [8])
        load.more()
    assert not load.failures, load.failures[:5]
    assert load.seen['m'] == {1, 2, 3, 4, 5, 6, 8}


@pytest.mark.parametrize('kind', KINDS)
def test_several_models_swap_under_load(start, tmp_path, kind):
    bases = {f'm{i}': Base(tmp_path / f'model{i}', kind) for i in range(4)}
    for base in bases.values():
        base.add(1)
    everything = 'model_version_policy { all {} }'
    config = {name: f'base_path: "{base.path}" {everything if name == "m3" else ""}' for name, base in bases.items()}
    server = start(config, flags=FLAGS)
    with Load(server, bases) as load:
        load.more(400)
        for name in ('m0', 'm1', 'm3'):
            bases[name].add(2)
        for name in ('m0', 'm1', 'm3'):
            server.wait_for(name, 2)
        bases['m0'].add_broken(3)
        bases['m1'].remove(1)
        load.more(400)
        server.wait_for_only('m1', [2])
        server.wait_for_only('m2', [1])
        server.wait_for_only('m3', [1, 2])
    assert not load.failures, load.failures[:5]
    assert load.seen == {'m0': {1, 2}, 'm1': {1, 2}, 'm2': {1}, 'm3': {1, 2}}


def ask(client, base, **choice):
    """The version that answers, having checked the answer."""
    x = np.array([3, 8], np.float32)
    response = client.predict_raw('m', {'x': x}, **choice)
    version = response.model_spec.version.value
    key, values = base.expected(version, x)
    np.testing.assert_array_equal(tf.make_ndarray(response.outputs[key]), values)
    return version


@pytest.fixture(params=KINDS)
def base(request, tmp_path):
    return Base(tmp_path / 'model', request.param)


def test_only_the_latest_is_served(start, base):
    for version in (1, 2, 10):
        base.add(version)
    server = start({'m': base.path}, flags=FLAGS)
    with Client(server) as client:
        assert ask(client, base) == 10
        server.wait_for_only('m', [10])
        assert error_of(client.predict, 'm', {'x': np.float32([1])}, version=2)[1] == (
            'Servable not found for request: Specific(m, 2): the model has version 10')


def test_the_latest_two(start, base):
    for version in (1, 2, 3):
        base.add(version)
    server = start({'m': f'base_path: "{base.path}" model_version_policy {{ latest {{ num_versions: 2 }} }}'},
                   flags=FLAGS)
    server.wait_for_only('m', [2, 3])
    with Client(server) as client:
        assert (ask(client, base), ask(client, base, version=2)) == (3, 2)
        base.add(4)
        server.wait_for_only('m', [3, 4])
        assert (ask(client, base), ask(client, base, version=3)) == (4, 3)


def test_specific_versions_and_labels(start, base):
    for version in (1, 2, 3):
        base.add(version)
    server = start({'m': f'base_path: "{base.path}" model_version_policy {{ specific {{ versions: 1 versions: 2 }} }} '
                         'version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 }'},
                   flags=[*FLAGS, '--allow_version_labels_for_unavailable_models'])
    server.wait_for_only('m', [1, 2])
    with Client(server) as client:
        assert (ask(client, base), ask(client, base, label='stable'), ask(client, base, label='canary')) == (2, 1, 2)


def test_a_wanted_version_that_is_missing_is_named(start, base):
    base.add(1)
    server = start({'m': f'base_path: "{base.path}" model_version_policy {{ specific {{ versions: 1 versions: 77 }} }}'},
                   flags=FLAGS)
    server.wait_for_only('m', [1])
    missing = f'model m: version 77 is wanted and is not in base path {base.path}; there are: 1'
    eventually('the warning', lambda: missing in server.log())
    base.add(77)
    server.wait_for_only('m', [1, 77])
    assert server.log().count(missing) == 1


def test_names_that_are_not_versions_are_passed_over(start, base):
    base.add(7)
    for name in ('8.tmp', 'nine', '1x', '.10'):
        os.makedirs(os.path.join(base.path, name))
    os.rename(base.folder(7), os.path.join(base.path, '0007'))
    server = start({'m': base.path}, flags=FLAGS)
    server.wait_for_only('m', [7])
    with Client(server) as client:
        assert ask(client, base) == 7


def test_renaming_rolls_back(start, base):
    base.add(1)
    base.add(2)
    server = start({'m': base.path}, flags=FLAGS)
    with Client(server) as client:
        assert ask(client, base) == 2
        os.rename(base.folder(2), base.folder(2) + '.denied')
        server.wait_for_only('m', [1])
        assert ask(client, base) == 1
        os.rename(base.folder(2) + '.denied', base.folder(2))
        server.wait_for_only('m', [2])
        assert ask(client, base) == 2


def test_a_base_path_that_appears_later(start, base):
    os.rmdir(base.path)
    server = start({'m': base.path}, flags=FLAGS, ready=False)
    assert server.get('/readyz')[0] == 503
    with Client(server) as client:
        code, message = error_of(client.predict, 'm', {'x': np.float32([1])})
        assert code.name == 'UNAVAILABLE' and 'cannot list the versions in base path' in message
        os.makedirs(base.path)
        base.add(1)
        server.wait_for('m', 1)
        assert ask(client, base) == 1
        eventually('ready', lambda: server.get('/readyz')[0] == 200)


def test_a_base_path_that_vanishes_unloads_nothing(start, base):
    base.add(1)
    server = start({'m': base.path}, flags=FLAGS)
    with Client(server) as client:
        os.rename(base.path, base.path + '.away')
        eventually('it is missed', lambda: 'No such file or directory' in server.get('/readyz/models/m')[1])
        assert ask(client, base) == 1
        with open(base.path, 'w', encoding='ascii'):
            pass  # so that a second look shows, too
        eventually('it is no folder', lambda: 'Not a directory' in server.get('/readyz/models/m')[1])
        assert ask(client, base) == 1
        os.remove(base.path)
        os.rename(base.path + '.away', base.path)
        base.add(2)
        server.wait_for_only('m', [2])
        assert ask(client, base) == 2


def test_deleting_all_versions_unloads(start, base):
    base.add(1)
    server = start({'m': base.path}, flags=FLAGS)
    base.remove(1)
    server.wait_for_only('m', [])
    with Client(server) as client:
        code, message = error_of(client.predict, 'm', {'x': np.float32([1])})
        assert code.name == 'UNAVAILABLE' and 'there are no versions in base path' in message
        base.add(1)
        server.wait_for_only('m', [1])
        assert ask(client, base) == 1


def test_a_broken_version_is_retried_until_it_loads(start, base):
    base.add(1)
    server = start({'m': base.path}, flags=[*FLAGS, '--max_num_load_retries=1000'])
    base.add_broken(2)
    eventually('version 2 is tried', lambda: 2 in server.states('m'))
    with Client(server) as client:
        assert ask(client, base) == 1
        shutil.rmtree(base.folder(2))
        base.add(2)
        server.wait_for_only('m', [2], 60)
        assert ask(client, base) == 2


def test_a_broken_model_shows_its_error_and_harms_no_other(start, base, tmp_path):
    base.add(1)
    other = Base(tmp_path / 'other', base.kind)
    other.add_broken(5)
    os.makedirs(tmp_path / 'empty/1')
    server = start({'m': base.path, 'broken': other.path, 'empty': str(tmp_path / 'empty'),
                    'missing': str(tmp_path / 'nowhere')}, flags=[*FLAGS, '--max_num_load_retries=1'], ready=False)
    server.wait_for('m', 1)
    with Client(server) as client:
        for _ in range(50):
            assert ask(client, base) == 1
        def failed():
            entries = client.status('broken').model_version_status
            return entries and entries[0].status.error_code and entries[0]
        entry = eventually('it has failed', failed)
        assert entry.version == 5 and '5' in entry.status.error_message
        code, message = error_of(client.predict, 'broken', {'x': np.float32([1])})
        assert code.name == 'UNAVAILABLE' and entry.status.error_message in message
        code, message = error_of(client.predict, 'empty', {'x': np.float32([1])})
        assert code.name == 'UNAVAILABLE' and 'version 1 is not complete: it has no files, or only empty ones' in message
    status, body = server.get('/readyz')
    assert status == 503
    for name in ('broken', 'empty', 'missing'):
        assert name in body
    assert server.get('/healthz')[0] == 200
