# SPDX-License-Identifier: Apache-2.0
"""Tables in a real Redis cluster, whose nodes die, freeze and move their slots while clients ask."""
import json
import os
import random
import signal
import subprocess
import threading

import numpy as np
import pytest

import redis_cluster
from net_fixtures import make_certificate
from penstock_server import Server, eventually

# They wait for real nodes; redis_test has the same failures for the sanitizers.
pytestmark = pytest.mark.release_only

PASSWORD = 'correct horse'
DIMENSION = 8
KEYS = 10_000


def row_of(key, generation=0):
    return np.arange(DIMENSION, dtype=np.float32) + np.float32(key + 1_000_000 * generation)


def rows_of(keys, generation=0):
    return {key: row_of(key, generation).tobytes() for key in keys}


def write_model(base, name, cluster, **manifest):
    folder = os.path.join(base, name, '1')
    os.makedirs(folder)
    with open(f'{folder}/table.json', 'w', encoding='ascii') as file:
        json.dump({'store': 'redis', 'dtype': 'float32', 'dimension': DIMENSION, **manifest,
                   'redis': {'addresses': cluster.addresses()[:2], 'prefix': name, 'password_file': 'password',
                             'poll_ms': 50, 'answer_timeout_ms': 20_000}}, file)
    return os.path.join(base, name)


@pytest.fixture(name='cluster')
def running_cluster():
    with redis_cluster.Cluster(options={'requirepass': PASSWORD, 'masterauth': PASSWORD}) as cluster:
        yield cluster


@pytest.fixture(name='client')
def cluster_client(cluster):
    client = cluster.client()
    yield client
    client.close()


def serve(tmp_path, models):
    secrets = tmp_path / 'secrets'
    secrets.mkdir()
    (secrets / 'password').write_text(PASSWORD + '\n')
    return Server(tmp_path / 'server', models, flags=[f'--table_secrets_path={secrets}'])


@pytest.fixture(name='server')
def server_of_items(cluster, client, tmp_path):
    # Every 20th key is absent.
    redis_cluster.write_sparse(client, 'items', 'g0', rows_of(key for key in range(KEYS) if key % 20), 64)
    client.wait(1, 10_000)
    with serve(tmp_path, {'items': write_model(tmp_path, 'items', cluster)}) as server:
        yield server


def ask(server, keys, model='items'):
    status, answer = server.rest_predict(model, {'inputs': {'keys': keys}})
    assert status == 200, answer
    return np.array(answer['outputs']['rows'], np.float32), answer['outputs']['found']


def metric(server, name, **labels):
    total = 0.0
    for line in server.get('/metrics')[1].splitlines():
        if line.startswith(name + '{') and all(f'{key}="{value}"' in line for key, value in labels.items()):
            total += float(line.rsplit(' ', 1)[1])
    return total


class Load:
    """Threads that ask, and check each row. Answers must be right, whatever happens meanwhile."""

    def __init__(self, server, threads=2):
        self.server, self.stopped, self.answers, self.wrong = server, False, 0, []
        self.threads = [threading.Thread(target=self._run, args=(seed,)) for seed in range(threads)]

    def _run(self, seed):
        numbers = random.Random(seed)
        while not self.stopped and not self.wrong:
            keys = [numbers.randrange(KEYS) for _ in range(64)]
            try:
                rows, found = ask(self.server, keys)
            except AssertionError as error:
                self.wrong.append(str(error)[:300])
                return
            right = [bool(key % 20) for key in keys]
            if found != right:
                self.wrong.append(f'found {found} instead of {right}')
            for key, row, is_there in zip(keys, rows, right):
                if (row != (row_of(key) if is_there else 0)).any():
                    self.wrong.append(f'{key}: {row}')
            self.answers += 1

    def wait_for_answers(self, count):
        until = self.answers + count
        eventually('answers', lambda: self.wrong or self.answers >= until)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.wait_for_answers(10)
        return self

    def __exit__(self, *error):
        self.stopped = True
        for thread in self.threads:
            thread.join()
        if error[0] is None:
            assert not self.wrong, self.wrong[:3]


def test_rows_of_each_kind_and_a_new_generation(cluster, client, tmp_path):
    redis_cluster.write_sparse(client, 'items', 'g0', rows_of(range(0, 300, 3)), 8)
    words = {b'red': row_of(1).tobytes(), 'gr\u00fcn'.encode(): row_of(2).tobytes(), b'\0': row_of(3).tobytes()}
    redis_cluster.write_sparse(client, 'words', 'g0', words, 8)
    redis_cluster.write_dense(client, 'dense', 'g0', [row_of(key).tobytes() for key in range(100)], 31)
    client.set('other:current', '{}')
    models = {'items': write_model(tmp_path, 'items', cluster),
              'words': write_model(tmp_path, 'words', cluster, key_type='string'),
              'dense': write_model(tmp_path, 'dense', cluster, key_type='dense', default_row=7)}
    with serve(tmp_path, models) as server:
        rows, found = ask(server, [297, 0, 1, 150, 0])
        assert found == [True, True, False, True, True]
        assert (rows == [row_of(297), row_of(0), np.zeros(DIMENSION), row_of(150), row_of(0)]).all()
        rows, found = ask(server, ['gr\u00fcn', 'blue', '\0', 'red'], 'words')
        assert found == [True, False, True, True]
        assert (rows == [row_of(2), np.zeros(DIMENSION), row_of(3), row_of(1)]).all()
        rows, found = ask(server, [99, 100, 30, 31, -1], 'dense')
        assert found == [True, False, True, True, False]
        seven = np.full(DIMENSION, 7)
        assert (rows == [row_of(99), seven, row_of(30), row_of(31), seven]).all()
        redis_cluster.write_sparse(client, 'items', 'g1', rows_of(range(0, 300, 3), 1), 16)
        eventually('the new generation', lambda: ask(server, [3])[0][0, 0] == row_of(3, 1)[0])
        rows, found = ask(server, [297, 0, 1])
        assert (rows == [row_of(297, 1), row_of(0, 1), np.zeros(DIMENSION)]).all()
        assert metric(server, 'penstock_table_generations_total', model_name='items') == 2
        assert 'cluster-require-full-coverage' not in server.log()
        assert PASSWORD not in server.log()


def test_settings_that_make_a_failure_worse_are_named(tmp_path):
    with redis_cluster.Cluster(safe=False, options={'requirepass': PASSWORD, 'masterauth': PASSWORD,
                                                    'maxmemory': '100mb', 'maxmemory-policy': 'allkeys-lru'}) as cluster:
        client = cluster.client()
        redis_cluster.write_sparse(client, 'items', 'g0', rows_of(range(10)), 8)
        client.close()
        with serve(tmp_path, {'items': write_model(tmp_path, 'items', cluster)}) as server:
            assert ask(server, [3])[1] == [True]
            log = server.log()
            for advice in ('cluster-require-full-coverage no', 'cluster-allow-reads-when-down yes',
                           'maxmemory-policy noeviction'):
                assert f'CONFIG SET {advice}' in log


def test_over_tls_the_certificate_is_checked(tmp_path):
    secrets = tmp_path / 'secrets'
    secrets.mkdir()
    make_certificate(secrets / 'ca.pem', secrets / 'key.pem')
    make_certificate(secrets / 'other.pem', secrets / 'other_key.pem')
    files = {'tls-cert-file': secrets / 'ca.pem', 'tls-key-file': secrets / 'key.pem', 'tls-ca-cert-file': secrets / 'ca.pem',
             'tls-cluster': 'yes', 'tls-replication': 'yes', 'tls-auth-clients': 'no'}
    port, tls_port = redis_cluster.free_ports(2)
    node = redis_cluster.Node(str(tmp_path), port, {'tls-port': tls_port, **files})
    try:
        node.wait(node.client.ping, 'does not start')
        node.client.execute_command('CLUSTER', 'ADDSLOTSRANGE', 0, redis_cluster.SLOTS - 1)
        node.wait(lambda: b'cluster_state:ok' in redis_cluster.raw(node, 'CLUSTER', 'INFO'), 'is not ok')
        # One hash that is as large as all buffers of a connection.
        keys = range(4000)
        redis_cluster.write_sparse(node.client, 'items', 'g0', rows_of(keys), 1)
        for name, ca_file in (('items', 'ca.pem'), ('stranger', 'other.pem')):
            folder = tmp_path / name / '1'
            folder.mkdir(parents=True)
            redis = {'addresses': [f'127.0.0.1:{tls_port}'], 'prefix': 'items', 'tls': True, 'ca_file': ca_file}
            (folder / 'table.json').write_text(json.dumps({
                'store': 'redis', 'dtype': 'float32', 'dimension': DIMENSION, 'redis': redis}), encoding='ascii')
        models = {name: str(tmp_path / name) for name in ('items', 'stranger')}
        with Server(tmp_path / 'server', models, flags=[f'--table_secrets_path={secrets}', '--max_num_load_retries=0'],
                    ready=False) as server:
            server.wait_for('items', 1)
            rows, found = ask(server, list(keys))
            assert all(found) and (rows[:, 0] == keys).all()
            eventually('the refusal', lambda: 'the certificate is refused: ' in server.log())
    finally:
        node.process.kill()
        node.process.wait()


def test_a_master_is_killed(cluster, server):
    with Load(server) as load:
        victim = cluster.nodes[0]
        victim.process.kill()
        victim.process.wait()
        eventually('a new master', lambda: any(
            b'master' in line.split()[2]
            for line in redis_cluster.raw(cluster.nodes[1], 'CLUSTER', 'NODES').splitlines()
            if str(cluster.nodes[3].port).encode() in line.split()[1]))
        load.wait_for_answers(100)
    assert metric(server, 'penstock_table_redis_node_failures_total') > 0


def test_a_master_freezes_and_comes_back(cluster, server):
    with Load(server) as load:
        victim = cluster.nodes[1]
        victim.process.send_signal(signal.SIGSTOP)
        load.wait_for_answers(100)
        victim.process.send_signal(signal.SIGCONT)
        load.wait_for_answers(100)
    assert metric(server, 'penstock_table_redis_commands_total', kind='replica') > 0


def test_slots_move(cluster, server):
    source, target = cluster.nodes[0], cluster.nodes[2]
    with Load(server) as load:
        moved = subprocess.run(
            ['redis-cli', '--no-auth-warning', '-a', PASSWORD, '--cluster', 'reshard', f'127.0.0.1:{source.port}',
             '--cluster-from', cluster.ids[source.port].decode(), '--cluster-to', cluster.ids[target.port].decode(),
             '--cluster-slots', '1500', '--cluster-yes'], capture_output=True, text=True, timeout=60, check=False)
        assert moved.returncode == 0, moved.stdout[-500:] + moved.stderr[-500:]
        load.wait_for_answers(50)
    assert metric(server, 'penstock_table_redis_commands_total', kind='redirect') > 0
