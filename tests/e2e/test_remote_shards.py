# SPDX-License-Identifier: Apache-2.0
"""A table in three shards with two replicas each, and a root that looks rows up in them."""
import contextlib
import json
import os
import signal
import threading
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf

from clients import Client, error_of, predict_request
from penstock_server import SLOWNESS, Server, eventually

SHARDS, ROWS, DIMENSION = 3, 3000, 16
ALL = 2**64 - 1


def mix(key):
    key &= ALL
    key = (key ^ key >> 30) * 0xBF58476D1CE4E5B9 & ALL
    key = (key ^ key >> 27) * 0x94D049BB133111EB & ALL
    return key ^ key >> 31


def hash_of_string(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & ALL
    return mix(value)


def rows_of(keys, version=1):
    """The row of each key; zeros for those that are not there. Even keys are."""
    keys = np.asarray(keys)
    rows = np.arange(DIMENSION, dtype=np.float32) + keys[..., None].astype(np.float32) * 100 + np.float32(version - 1)
    return np.where((keys % 2 == 0)[..., None], rows, np.float32(0))


def write_version(base, index, version):
    keys = np.array([key for key in range(0, 2 * ROWS, 2) if mix(key) % SHARDS == index], np.int64)
    folder = f'{base}/emb-{index}/.{version}'
    os.makedirs(folder)
    keys.tofile(f'{folder}/key')
    rows_of(keys, version).tofile(f'{folder}/emb_vector')
    write_manifest(folder, index, dimension=DIMENSION)
    os.rename(folder, f'{base}/emb-{index}/{version}')


def write_shard(base, index):
    write_version(base, index, 1)
    words = [f'wört{number}' for number in range(50) if hash_of_string(f'wört{number}') % SHARDS == index]
    folder = f'{base}/words-{index}/1'
    os.makedirs(folder)
    with open(f'{folder}/keys.txt', 'w', encoding='utf-8') as file:
        file.writelines(word + '\n' for word in words)
    np.save(f'{folder}/rows.npy', np.array([[int(word[4:])] for word in words], np.int64))
    write_manifest(folder, index, key_type='string', default_row=-7)


def write_manifest(folder, index, **manifest):
    with open(f'{folder}/table.json', 'w', encoding='ascii') as file:
        json.dump({'shard': {'index': index, 'count': SHARDS, 'hash': 'mix64'}, **manifest}, file)


def targets(servers):
    return ' '.join(f'targets: "{each.address}"' for each in servers)


def remote(text):
    return f'penstock {{ remote {{ {text} }} }}'


@pytest.fixture(scope='module')
def tables(tmp_path_factory):
    base = tmp_path_factory.mktemp('tables')
    for index in range(SHARDS):
        write_shard(base, index)
    return base


@pytest.fixture(scope='module')
def replicas(tmp_path_factory, tables):
    """[[two servers] of each shard]"""
    with contextlib.ExitStack() as stack:
        servers = []
        # All have one configuration, and take their part of it.
        models = {f'{name}-{index}': f'{tables}/{name}-{index}' for name in ('emb', 'words') for index in range(SHARDS)}
        for index in range(SHARDS):
            flags = [f'--shard_filter=emb-{{i}}: i % {SHARDS} == k; words-{{i}}: i % {SHARDS} == k', f'--shard_ordinal={index}']
            servers.append([stack.enter_context(Server(tmp_path_factory.mktemp('shard'), models, flags)) for _ in range(2)])
        yield servers
        # A test has ended them.
        for each in servers[1] + servers[2][:1]:
            each.kill()
        stack.pop_all()
        for each in servers[0] + servers[2][1:]:
            each.__exit__(None, None, None)


@pytest.fixture(scope='module')
def root(tmp_path_factory, replicas):
    every = [server for pair in replicas for server in pair]
    pairs = ' '.join(f'shard {{ {targets(pair)} }}' for pair in replicas)
    models = {'emb': remote(f'shards: {SHARDS} {targets(every)}'),
              'words': remote(f'version: 1 model: "words-{{i}}" {pairs} when_shard_fails: DEFAULT_ROWS'),
              'whole': remote(f'model: "emb-0" {targets(replicas[0])}')}
    flags = ['--remote_targets=127.0.0.1:*', '--remote_health_interval_ms=300', '--remote_ejection_ms=500',
             '--remote_version_interval_ms=200']
    with Server(tmp_path_factory.mktemp('root'), models, flags) as running:
        yield running


def look_up(client, keys, model='emb', timeout=30, signature=''):
    request = predict_request(model, {'keys': np.asarray(keys)}, signature)
    outputs = client.stub.Predict(request, timeout=timeout * SLOWNESS).outputs
    return {name: tf.make_ndarray(value) for name, value in outputs.items()}


def test_gives_each_key_its_row(root):
    with Client(root) as client:
        for shape in ((0,), (1,), (500,), (7, 11)):
            keys = np.random.default_rng(1).integers(-5, 2 * ROWS, shape)
            answer = look_up(client, keys)
            assert answer.keys() == {'rows', 'found'}
            assert np.array_equal(answer['found'], (keys % 2 == 0) & (keys >= 0))
            assert np.array_equal(answer['rows'], rows_of(np.where(keys < 0, 1, keys)))
        pooled = look_up(client, [[2, 3, 4], [4, 6, 8]], signature='sum')['pooled']
        assert np.array_equal(pooled, [rows_of([2, 4]).sum(0), rows_of([4, 6, 8]).sum(0)])
        # A shard itself refuses the keys of others, so that they do not seem to be missing.
        code, text = error_of(look_up, client, range(50), model='whole')
        assert code == grpc.StatusCode.INVALID_ARGUMENT and 'belongs to shard' in text
    status, answer = root.rest_predict('words', {'inputs': {'keys': ['wört7', 'no', 'wört49', 'wört7']}})
    assert status == 200 and answer == {'outputs': {'rows': [[7], [-7], [49], [7]], 'found': [True, False, True, True],
                                                    'answered': [True] * 4}}
    status, answer = root.rest_predict('emb', {'signature_name': 'table', 'inputs': {}})
    assert status == 200 and answer['outputs'] == {
        'key_type': 'int64', 'hash': 'mix64', 'dimension': DIMENSION, 'row_count': ROWS, 'shard': [0, 1], 'default_row': []}


def test_a_server_loads_only_its_part(replicas):
    states = [replicas[1][0].states(f'{name}-{index}') for name in ('emb', 'words') for index in range(SHARDS)]
    assert states == [{}, {1: 'AVAILABLE'}, {}] * 2


class Load:
    """Looks keys up on several threads until its end, checks each row, and keeps the longest time."""

    def __init__(self, server, versions=(2,), threads=4):
        self.versions = versions
        self.good, self.bad, self.longest, self.is_over = 0, [], 0, False
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(server, seed)) for seed in range(threads)]

    def run(self, server, seed):
        random = np.random.default_rng(seed)
        with Client(server) as client:
            while not self.is_over:
                keys = random.integers(0, 2 * ROWS, 100)
                begin = time.monotonic()
                wrong = None
                try:
                    answer = look_up(client, keys, timeout=20)
                    # All rows are of one version.
                    if not any(np.array_equal(answer['rows'], rows_of(keys, version)) for version in self.versions):
                        wrong = f'wrong rows for {keys}: {answer["rows"]}'
                except grpc.RpcError as error:
                    wrong = f'{error.code()} {error.details()}'
                with self.lock:
                    self.longest = max(self.longest, time.monotonic() - begin)
                    self.good += wrong is None
                    if wrong is not None:
                        self.bad.append(wrong)

    def more(self, count=300):
        """Until so many further requests were answered. Says how long the slowest one took."""
        with self.lock:
            self.longest, end = 0, self.good + count
        eventually('answers', lambda: self.bad or self.good >= end, 60)
        assert not self.bad
        return f'{self.longest * 1000:.0f} ms'

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self.is_over = True
        for thread in self.threads:
            thread.join()


def test_a_new_version_is_served_when_all_shards_have_it(root, replicas, tables):
    with Load(root, versions=(1, 2)) as load:
        load.more()
        for index in (2, 0):
            write_version(tables, index, 2)
            for each in replicas[index]:
                each.wait_for('emb-' + str(index), 2)
        load.more(500)
        assert root.states('emb') == {1: 'AVAILABLE'}
        write_version(tables, 1, 2)
        root.wait_for_only('emb', [2])
        load.more()
    assert not load.bad
    with Client(root) as client:
        assert np.array_equal(look_up(client, [2, 4])['rows'], rows_of([2, 4], 2))


def test_no_request_fails_if_a_replica_stops_or_dies(root, replicas):
    with Load(root, versions=(1, 2)) as load:
        print('calm:', load.more())
        replicas[0][0].terminate(signal.SIGSTOP)
        print('one stopped:', load.more(1000))
        replicas[0][0].terminate(signal.SIGCONT)
        print('it goes on:', load.more())
        replicas[1][0].kill()
        print('one killed:', load.more(1000))
        replicas[2][0].kill()
        print('two killed:', load.more())
    assert not load.bad


# The last one: it ends a shard. It does not rely on the others, which may run elsewhere.
def test_a_shard_without_targets_is_an_error_or_gives_default_rows(root, replicas):
    for each in replicas[1]:
        each.kill()
    words = [f'wört{number}' for number in range(50)]
    lost = np.array([hash_of_string(word) % SHARDS == 1 for word in words])
    with Client(root) as client:
        answer = look_up(client, words, model='words')
        assert np.array_equal(answer['answered'], ~lost) and np.array_equal(answer['found'], ~lost)
        assert np.array_equal(answer['rows'][:, 0], np.where(lost, -7, np.arange(50)))
        code, text = error_of(look_up, client, range(50))
        assert code == grpc.StatusCode.UNAVAILABLE and 'shard 1 (emb-1)' in text
        keys = [key for key in range(100) if mix(key) % SHARDS != 1]
        rows = look_up(client, keys)['rows']
        assert any(np.array_equal(rows, rows_of(keys, version)) for version in (1, 2))
