# SPDX-License-Identifier: Apache-2.0
"""Our Python client (clients/python) against the server. What needs a server that misbehaves is in the client's own tests."""
import asyncio
import os
import re
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from graphpipe import convert

from penstock_server import ROOT, SLOWNESS, Server, eventually
from test_access import start_guarded

PACKAGE = os.path.join(ROOT, 'clients/python')
sys.path.insert(0, os.path.join(PACKAGE, 'src'))
import penstock_client  # noqa: E402

pytestmark = pytest.mark.release_only  # the server's part is in test_graphpipe.py and test_access.py
MODELS = {'half_plus_two': 'builtin:half_plus_two', 'identity': 'builtin:identity'}
FLAGS = ['--graphpipe_port=-1', '--graphpipe_default_model=half_plus_two']
SECONDS = 60 * SLOWNESS


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp('client'), MODELS, FLAGS) as server:
        yield server


@pytest.fixture(scope='module')
def client(server):
    with penstock_client.Client(f'http://127.0.0.1:{server.rest_port}', timeout=SECONDS) as client:
        yield client


def run_async(url, use, **options):
    """What `use` returns for an AsyncClient."""
    async def run():
        async with penstock_client.AsyncClient(url, timeout=SECONDS, **options) as client:
            return await use(client)
    return asyncio.run(run())


def test_the_example_works_with_the_wheel(server, tmp_path):
    source = shutil.copytree(PACKAGE, tmp_path / 'source', ignore=shutil.ignore_patterns('build', '*.egg-info', '__pycache__'))
    subprocess.run([sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation', '--no-index',
                    '--disable-pip-version-check', '-w', tmp_path, source], check=True, timeout=100)
    wheel, = tmp_path.glob('penstock_client-*-py3-none-any.whl')
    zipfile.ZipFile(wheel).extractall(tmp_path / 'installed')
    assert (tmp_path / 'installed/penstock_client/py.typed').exists()
    with open(os.path.join(PACKAGE, 'README.md'), encoding='utf-8') as file:
        example = re.search(r'```python\n(.*?)```', file.read(), re.S).group(1)
    expected = re.search(r'# (.*)\n$', example).group(1)
    done = subprocess.run([sys.executable, '-c', example.replace('localhost:8501', f'127.0.0.1:{server.rest_port}')],
                          env={**os.environ, 'PYTHONPATH': str(tmp_path / 'installed')}, cwd=tmp_path, capture_output=True,
                          text=True, timeout=100, check=True)
    assert done.stdout.strip() == expected


def test_paths_and_names(server, client):
    x = np.array([1, 2, 5], np.float32)
    for model in (client.model('half_plus_two'), client.model('half_plus_two', version=1),
                  penstock_client.Client(f'http://127.0.0.1:{server.graphpipe_port}').model()):
        assert model.infer_one(x).tolist() == [2.5, 3, 4.5]
        assert model.infer_named({'x': x})['y'].tolist() == [2.5, 3, 4.5]
    identity = client.model('identity')
    assert [each.tolist() for each in identity.infer({'a': x, 'b': x + 1}, ['b', 'a'], config='{}')] == [[2, 3, 6], [1, 2, 5]]
    with pytest.raises(ValueError, match='2 outputs'):
        identity.infer_one([x, x])


def test_every_type_and_shape(client):
    rng = np.random.default_rng(1)
    arrays = [np.asarray(rng.random(shape) * 100).astype(name) for name in convert.t_to_np.values() if name != object
              for shape in ((), (0, 3), (5,), (2, 3, 4), (70, 50))]
    arrays += [np.array([[b'one', b'a\0'], [b'', 'ü'.encode()]], object), np.array(b'', object), np.empty(0, object)]
    for sent, got in zip(arrays, client.model('identity').infer(arrays), strict=True):
        assert (got.dtype, got.shape) == (sent.dtype, sent.shape) and got.tolist() == sent.tolist()
        assert got.flags.aligned and got.flags.writeable


def test_large_tensors_are_not_copied(server, client):
    def copied():
        return [line for line in server.get('/metrics')[1].splitlines() if line.startswith('penstock_graphpipe_copied')]
    before = copied()
    x = np.random.default_rng(1).random((8, 224, 224, 3), np.float32)
    y = client.model('identity').infer_one(x)
    assert np.array_equal(x, y) and y.ctypes.data % 64 == 0
    assert copied() == before


def test_metadata(client):
    metadata = client.model('half_plus_two').metadata()
    assert (metadata.name, metadata.server) == ('half_plus_two', 'penstock')
    assert metadata.inputs == (penstock_client.IOMetadata('x', 'of any rank', (None,), np.dtype(np.float32)),)
    assert [each.name for each in metadata.outputs] == ['y']


def test_errors(client):
    x = np.ones(1, np.float32)
    with pytest.raises(penstock_client.BadRequest, match='the inputs are: x'):
        client.model('half_plus_two').infer({'q': x})
    with pytest.raises(penstock_client.BadRequest, match='label'):
        client.model('half_plus_two', label='no').infer(x)
    for model in (client.model('none'), client.model('half_plus_two', version=7)):
        with pytest.raises(penstock_client.NotFound, match='none|7'):
            model.infer(x)
    assert client.model('half_plus_two').infer_one(x) == 2.5


def test_errors_in_band(start):
    server = start(MODELS, ['--graphpipe_in_band_errors'])
    with penstock_client.Client(f'http://127.0.0.1:{server.rest_port}', timeout=SECONDS) as client:
        with pytest.raises(penstock_client.BadRequest, match='the inputs are: x'):
            client.model('half_plus_two').infer({'q': np.ones(1, np.float32)})


def test_asyncio(server):
    x = np.random.default_rng(1).random((8, 224, 224, 3), np.float32)

    async def use(client):
        answers = await asyncio.gather(*(client.model('identity').infer([x[i:], np.array([str(i)])]) for i in range(8)))
        with pytest.raises(penstock_client.NotFound):
            await client.model('none').infer(x[:1])
        return answers, await client.model('half_plus_two').metadata()
    answers, metadata = run_async(f'http://127.0.0.1:{server.rest_port}', use)
    for index, (part, text) in enumerate(answers):
        assert np.array_equal(part, x[index:]) and text.tolist() == [str(index).encode()]
    assert metadata.outputs[0].name == 'y'


def test_tls_certificates_and_tokens(start, tmp_path):
    server, pem, certificate, certificate_key, token = start_guarded(start, tmp_path, MODELS)
    url = f'https://localhost:{server.rest_port}'
    x = np.random.default_rng(1).random((2, 224, 224, 3), np.float32)
    files = {'ca_file': pem, 'certificate_file': str(certificate), 'key_file': str(certificate_key)}

    async def infer(client):
        return await client.model('identity').infer_one(x)

    def is_ready(model):
        try:
            return model.metadata()
        except (penstock_client.ConnectionFailed, penstock_client.NotFound, penstock_client.Unavailable):
            return None
    with penstock_client.Client(url, token=token, timeout=SECONDS, **files) as client:
        eventually('the model', lambda: is_ready(client.model('identity')))
        assert np.array_equal(client.model('identity').infer_one(x), x)
        connections = list(client._pool._idle)
        assert len(connections) == 1
        client.model('identity').metadata()
        assert client._pool._idle == connections, 'TLS connections are kept, too'
    assert np.array_equal(run_async(url, infer, token=token, **files), x)
    with pytest.raises(penstock_client.Unauthorized):
        penstock_client.Client(url, token='wrong', **files).model('identity').infer(x[:1])
    for options in ({'ca_file': str(tmp_path / 'ca.pem')}, {}):  # another authority; the system's
        with pytest.raises(penstock_client.ConnectionFailed, match='CERTIFICATE_VERIFY_FAILED'):
            penstock_client.Client(url, **options).model('identity').infer(x[:1])
        with pytest.raises(penstock_client.ConnectionFailed):
            run_async(url, infer, **options)
