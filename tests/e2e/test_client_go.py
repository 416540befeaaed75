# SPDX-License-Identifier: Apache-2.0
"""Our Go client (clients/go) against the server: the example of its README as a module of a user, and the tests of
server_test.go, which need a server. What needs a server that misbehaves is in the client's other tests."""
import os
import re
import subprocess

import pytest

from penstock_server import ROOT, SLOWNESS, Server, eventually
from test_access import start_guarded

PACKAGE = os.path.join(ROOT, 'clients/go')
GO = os.path.join(ROOT, 'tools/go')
SECONDS = 200 * SLOWNESS  # the first time, Go compiles its standard library

pytestmark = [pytest.mark.release_only,  # the server's part is in test_graphpipe.py and test_access.py
              pytest.mark.timeout(2 * SECONDS)]
MODELS = {'half_plus_two': 'builtin:half_plus_two', 'identity': 'builtin:identity'}


def go(folder, *arguments, **environment):
    done = subprocess.run([GO, *arguments], cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True,
                          timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp('go')
    with Server(folder, MODELS, ['--graphpipe_port=-1', '--graphpipe_default_model=half_plus_two',
                                 f'--grpc_socket_path={folder / "socket"}']) as server:
        yield server


def test_the_example_works_in_a_module_of_its_own(server, tmp_path):
    with open(os.path.join(PACKAGE, 'README.md'), encoding='utf-8') as file:
        readme = file.read()
    example = re.search(r'```go\n(.*?)```', readme, re.S).group(1)
    expected = re.search(r'// (.*)\n', example).group(1)
    edit = re.search(r'^go (mod edit .*)$', readme, re.M).group(1).replace('/path/to/penstock/clients/go', PACKAGE)
    (tmp_path / 'main.go').write_text(example.replace('localhost:8501', f'127.0.0.1:{server.rest_port}'))
    go(tmp_path, 'mod', 'init', 'example')
    go(tmp_path, *edit.split())
    assert go(tmp_path, 'run', '.').strip() == expected


def test_calls(server):
    output = go(PACKAGE, 'test', '-count=1', '-v', '-run=^TestReal',
                PENSTOCK_TEST_URL=f'http://127.0.0.1:{server.rest_port}',
                PENSTOCK_TEST_GRAPHPIPE_URL=f'http://127.0.0.1:{server.graphpipe_port}',
                PENSTOCK_TEST_SOCKET_URL=f'unix://{server.folder}/socket')
    assert output.count('--- PASS') == 5 and output.count('--- SKIP') == 1
    copied = [line for line in server.get('/metrics')[1].splitlines() if line.startswith('penstock_graphpipe_copied_bytes')]
    assert sum(float(line.split()[-1]) for line in copied) < 1e6, 'the server did not copy the large tensors'


def test_errors_in_band(start):
    server = start(MODELS, ['--graphpipe_in_band_errors'])
    go(PACKAGE, 'test', '-count=1', '-run=^TestRealErrors', PENSTOCK_TEST_URL=f'http://127.0.0.1:{server.rest_port}')


def test_tls_certificates_and_tokens(start, tmp_path):
    server, pem, certificate, certificate_key, token = start_guarded(start, tmp_path, MODELS, '--health_port=-1')
    eventually('readiness', lambda: server.get('/readyz', port=server.health_port)[0] == 200)
    go(PACKAGE, 'test', '-count=1', '-run=^TestRealTLS', PENSTOCK_TEST_TLS_URL=f'https://localhost:{server.rest_port}',
       PENSTOCK_TEST_TOKEN=token, PENSTOCK_TEST_CA=pem, PENSTOCK_TEST_CERTIFICATE=str(certificate),
       PENSTOCK_TEST_KEY=str(certificate_key))
