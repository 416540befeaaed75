# SPDX-License-Identifier: Apache-2.0
"""A remote model with the versions of its targets, which get new ones one after the other while clients ask."""
import contextlib
import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf

from clients import Client, predict_request
from penstock_server import SLOWNESS, Server, eventually
from test_remote import remote
from test_versions import Base

pytestmark = [pytest.mark.release_only, pytest.mark.runtimes]
FLAGS = ['--file_system_poll_wait_seconds=1', '--version_lease_ms=1500']
ROOT_FLAGS = ['--remote_targets=127.0.0.1:*', '--remote_version_interval_ms=100']


class Load:
    """Asks on several threads, and checks that each answer is by the version that it says it is."""

    def __init__(self, server, threads=6):
        self.versions, self.bad, self.is_over = {}, [], False
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(server,)) for _ in range(threads)]

    def run(self, server):
        request = predict_request('m', {'x': np.float32([4, 8])})
        with Client(server) as client:
            while not self.is_over:
                version, wrong = 0, None
                try:
                    response = client.stub.Predict(request, timeout=20 * SLOWNESS)
                    version = response.model_spec.version.value
                    answer = tf.make_ndarray(response.outputs['y']).tolist()
                    if answer != ([4, 6] if version % 2 == 1 else [5, 7]):
                        wrong = f'{answer} of version {version}'
                except grpc.RpcError as error:
                    wrong = f'{error.code()} {error.details()}'
                with self.lock:
                    self.versions[version] = self.versions.get(version, 0) + 1
                    if wrong:
                        self.bad.append(wrong)

    def more(self, version, count=100):
        """Until this version has answered so many more."""
        end = self.versions.get(version, 0) + count
        eventually(f'answers of version {version}', lambda: self.bad or self.versions.get(version, 0) >= end, 60)
        assert not self.bad, self.bad[:5]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self.is_over = True
        for thread in self.threads:
            thread.join()


def test_a_new_version_is_served_when_enough_targets_have_it(tmp_path):
    bases = [Base(tmp_path / f'base{i}', 'onnx') for i in range(3)]
    for base in bases:
        base.add(1)
    with contextlib.ExitStack() as stack:
        targets = [stack.enter_context(Server(tmp_path / f'target{i}', {'m': base.path}, FLAGS))
                   for i, base in enumerate(bases)]
        models = {'m': remote(*(each.address for each in targets), more='min_replicas: 2')}
        root = stack.enter_context(Server(tmp_path / 'root', models, ROOT_FLAGS))
        load = stack.enter_context(Load(root))
        load.more(1)
        for version in (2, 3):
            bases[0].add(version)
            targets[0].wait_for('m', version)
            # One is not enough. It keeps the version before for the root.
            load.more(version - 1, 300)
            assert load.versions.get(version, 0) == 0
            assert targets[0].states('m')[version - 1] == 'AVAILABLE'
            bases[1].add(version)
            root.wait_for_only('m', [version])
            assert targets[2].states('m').get(version) != 'AVAILABLE'
            load.more(version)
            bases[2].add(version)
            for target in targets:
                target.wait_for_only('m', [version])
            load.more(version)
        assert not load.bad
        # The targets go back to an older version: the root follows, although it holds the newer one.
        for base in bases:
            base.remove(3)
        root.wait_for_only('m', [2])
        load.more(2)
        assert not load.bad
