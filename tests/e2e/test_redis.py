# SPDX-License-Identifier: Apache-2.0
"""Tables in a real Redis cluster, whose nodes die, freeze and move their slots while clients ask."""
import json
import os
import random
import signal
import subprocess
import tempfile
import threading

import numpy as np
import pytest

import redis_cluster
from net_fixtures import make_certificate
from penstock_server import BINARY, Server, eventually
from test_terminal import Terminal

# They wait for real nodes; redis_test has the same failures for the sanitizers.
pytestmark = pytest.mark.release_only

PASSWORD = 'correct horse'
DIMENSION = 8
KEYS = 10_000


def row_of(key, generation=0):
    return np.arange(DIMENSION, dtype=np.float32) + np.float32(key + 1_000_000 * generation)


def rows_of(keys, generation=0):
    return {key: row_of(key, generation).tobytes() for key in keys}


def push(cluster, table, rows, *flags):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'password')
        with open(path, 'w', encoding='ascii') as file:
            file.write(PASSWORD + '\n')
        return redis_cluster.push(BINARY, cluster.addresses()[0], table, rows, f'--password_file={path}', *flags)


def write_model(base, name, cluster, cache_bytes=0, **manifest):
    folder = os.path.join(base, name, '1')
    os.makedirs(folder)
    with open(f'{folder}/table.json', 'w', encoding='ascii') as file:
        json.dump({'store': 'redis', 'dtype': 'float32', 'dimension': DIMENSION, **manifest,
                   'redis': {'addresses': cluster.addresses()[:2], 'prefix': name, 'password_file': 'password',
                             'poll_ms': 50, 'answer_timeout_ms': 20_000, 'cache_bytes': cache_bytes}}, file)
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
def server_of_items(cluster, tmp_path):
    # Every 20th key is absent.
    push(cluster, 'items', rows_of(key for key in range(KEYS) if key % 20), '--partitions=64')
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
    assert push(cluster, 'items', rows_of(range(0, 300, 3)), '--partitions=8').startswith(
        'items: generation 1 has 100 rows of 8 float32 elements in 8 hashes\nto serve it')
    words = {b'red': row_of(1).tobytes(), 'gr\u00fcn'.encode(): row_of(2).tobytes(), b'\0': row_of(3).tobytes()}
    push(cluster, 'words', words, '--partitions=8')
    push(cluster, 'dense', [row_of(key).tobytes() for key in range(100)], '--block_rows=31')
    # Redis itself knows what is there.
    for key in (0, 297):
        assert client.hget(f'items:1:{redis_cluster.hash_of(key) % 8}', str(key)) == row_of(key).tobytes()
    assert client.hget(f'words:1:{redis_cluster.hash_of(b"red") % 8}', 'red') == row_of(1).tobytes()
    assert client.get('dense:1:3') == b''.join(row_of(key).tobytes() for key in range(93, 100))
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
        push(cluster, 'items', rows_of(range(0, 300, 3), 1), '--partitions=16', '--generation=next')
        eventually('the new generation', lambda: ask(server, [3])[0][0, 0] == row_of(3, 1)[0])
        rows, found = ask(server, [297, 0, 1])
        assert (rows == [row_of(297, 1), row_of(0, 1), np.zeros(DIMENSION)]).all()
        assert metric(server, 'penstock_table_generations_total', model_name='items') == 2
        assert 'cluster-require-full-coverage' not in server.log()
        assert PASSWORD not in server.log()


def test_settings_that_make_a_failure_worse_are_named(tmp_path):
    with redis_cluster.Cluster(safe=False, options={'requirepass': PASSWORD, 'masterauth': PASSWORD,
                                                    'maxmemory': '100mb', 'maxmemory-policy': 'allkeys-lru'}) as cluster:
        push(cluster, 'items', rows_of(range(10)))
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
    tls_port = redis_cluster.free_ports(1)[0]
    with redis_cluster.single_node(tmp_path, {'tls-port': tls_port, **files}):
        # One hash that is as large as all buffers of a connection.
        keys = range(4000)
        redis_cluster.push(BINARY, f'127.0.0.1:{tls_port}', 'items', rows_of(keys), '--partitions=1', '--tls',
                           f'--ca_file={secrets}/ca.pem')
        with pytest.raises(AssertionError, match='the certificate is refused'):
            redis_cluster.push(BINARY, f'127.0.0.1:{tls_port}', 'items', rows_of(keys), '--tls', '--timeout_s=1',
                               f'--ca_file={secrets}/other.pem')
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


class LongPush:
    """A push that takes long enough to be disturbed."""
    ROWS, PARTS = 150_000, 600

    def __init__(self, cluster, tmp_path):
        self.cluster = cluster
        (tmp_path / 'password').write_text(PASSWORD)
        keys = np.arange(self.ROWS, dtype=np.int64) * 3
        rows = keys[:, None].astype(np.float32) + np.arange(DIMENSION, dtype=np.float32)
        folder = redis_cluster.write_folder(f'{tmp_path}/long/1', dict(zip(keys.tolist(), map(bytes, rows))))
        self.command = redis_cluster.push_command(
            BINARY, ','.join(cluster.addresses()[1:3]), 'long', folder, f'--partitions={self.PARTS}', '--inflight_mb=1',
            '--timeout_s=30', f'--password_file={tmp_path}/password')

    def keys(self, client):
        return sum(1 for number in range(self.PARTS) if client.exists(f'long:1:{number}'))

    def start(self, client):
        """Returns when it has begun to write."""
        process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        eventually('the first hashes', lambda: any(client.exists(f'long:1:{number}') for number in range(20)))
        return process

    def check(self, client):
        """Each row is there, and nothing expires."""
        assert json.loads(client.get('long:current')) == {
            'generation': '1', 'rows': self.ROWS, 'partitions': self.PARTS, 'key_type': 'int64', 'dtype': 'float32',
            'dimension': DIMENSION}
        assert client.get('long:push') is None
        seen = 0
        for number in range(self.PARTS):
            fields = client.hgetall(f'long:1:{number}')
            assert client.ttl(f'long:1:{number}') == -1
            assert len(fields.pop(redis_cluster.SENTINEL)) == 8
            for key, row in fields.items():
                assert redis_cluster.hash_of(int(key)) % self.PARTS == number
                assert np.frombuffer(row, np.float32).tolist() == [int(key) + i for i in range(DIMENSION)]
            seen += len(fields)
        assert seen == self.ROWS


def test_a_push_is_killed_and_goes_on(cluster, client, tmp_path):
    push = LongPush(cluster, tmp_path)
    process = push.start(client)
    process.kill()
    process.communicate()
    there = push.keys(client)
    assert 0 < there < push.PARTS and client.get('long:current') is None
    terminal = Terminal(push.command, 300, 'xterm')
    terminal.process.wait(60)
    terminal.end()
    assert f'long: generation 1 has {push.ROWS} rows' in terminal.lines()[0]
    assert 'of them were there from an earlier attempt' in terminal.lines()[0]
    assert b' rows  ' in terminal.raw and b'[#' in terminal.raw  # the bar
    push.check(client)


def test_a_master_is_killed_during_a_push(cluster, client, tmp_path):
    push = LongPush(cluster, tmp_path)
    process = push.start(client)
    cluster.nodes[0].process.kill()
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert f'generation 1 has {push.ROWS} rows' in output
    with cluster.client() as after:
        push.check(after)


def test_an_answer_has_the_rows_of_one_generation(cluster, tmp_path):
    def rows(generation):
        return rows_of(range(KEYS), generation)
    push(cluster, 'items', rows(0))
    with serve(tmp_path, {'items': write_model(tmp_path, 'items', cluster, cache_bytes=200_000)}) as server:
        mixed, latest, stopped = [], [0, 0], []

        def run(number):
            numbers = random.Random(number)
            while not stopped and not mixed:
                keys = [numbers.randrange(KEYS) for _ in range(64)]
                generations = {(row[0] - key) / 1_000_000 for key, row in zip(keys, ask(server, keys)[0].tolist())}
                if len(generations) > 1 or max(generations) < latest[number]:
                    mixed.append(generations)
                latest[number] = max(generations)
        threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        try:
            for generation in (1, 2, 3):
                push(cluster, 'items', rows(generation), f'--partitions={10 * generation}', '--grace_s=3')
                eventually('the generation', lambda generation=generation: mixed or min(latest) == generation)
        finally:
            stopped.append(True)
            for thread in threads:
                thread.join()
        assert not mixed
        assert metric(server, 'penstock_table_generations_total', model_name='items') == 4
        assert metric(server, 'penstock_table_generation', model_name='items') == 4
        # Some rows came from the cache, and some did not fit.
        for layer in ('cache', 'redis'):
            assert metric(server, 'penstock_table_layer_rows_total', layer=layer) > 1000


def test_a_push_says_what_is_wrong(cluster, client, tmp_path):
    push(cluster, 'items', rows_of(range(10)))
    with pytest.raises(AssertionError, match=r"'items' in Redis does not fit .*of 8 float32 .*; not of 2 float32"):
        push(cluster, 'items', {1: b'12345678'})
    with pytest.raises(AssertionError, match='NOAUTH|refuses the connection'):
        redis_cluster.push(BINARY, cluster.addresses()[0], 'items', rows_of(range(10)), '--timeout_s=1')
    with pytest.raises(AssertionError, match='--replicas=1 would be content'):
        push(cluster, 'items', rows_of(range(10)), '--replicas=2', '--timeout_s=1')
    for node in cluster.nodes:
        node.client.config_set('maxmemory', '1')
    with pytest.raises(AssertionError, match='OOM command not allowed'):
        push(cluster, 'other', rows_of(range(10)))


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
