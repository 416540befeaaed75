# SPDX-License-Identifier: Apache-2.0
"""Our Java client (clients/java) against the server, by ClientCalls.java. What needs a server that misbehaves is in the client's
own tests."""
import os
import re
import shutil
import subprocess

import pytest

from penstock_server import ROOT, SLOWNESS, Server
from test_access import start_guarded
from test_client_python import FLAGS, MODELS

CLIENT = os.path.join(ROOT, 'clients/java')
CALLS = os.path.join(ROOT, 'tests/e2e/ClientCalls.java')
SECONDS = 100 * SLOWNESS

pytestmark = [pytest.mark.release_only,  # the server's part is in test_graphpipe.py and test_access.py
              pytest.mark.skipif(not shutil.which('javac'), reason='no JDK: tools/setup/install test brings it')]


@pytest.fixture(scope='module')
def jar(tmp_path_factory):
    folder = tmp_path_factory.mktemp('jar')
    subprocess.run([os.path.join(CLIENT, 'build'), 'jar', folder], check=True, timeout=SECONDS)
    path = folder / 'penstock-client.jar'
    subprocess.run(['javac', '-J-XX:TieredStopAtLevel=1', '-cp', path, '-d', folder / 'calls', CALLS], check=True,
                   timeout=SECONDS)
    return path


def run_java(jar, *arguments):
    done = subprocess.run(['java', '-XX:TieredStopAtLevel=1', '-cp', f'{jar}:{jar.parent}/calls', *arguments],
                          capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_the_example_and_calls(jar, tmp_path):
    with open(os.path.join(CLIENT, 'README.md'), encoding='utf-8') as file:
        example = re.search(r'```java\n(.*?)```', file.read(), re.S).group(1)
    with Server(tmp_path / 'server', MODELS, [*FLAGS, '--body_bytes_max=20000000']) as server:
        url = f'http://127.0.0.1:{server.rest_port}'
        (tmp_path / 'Example.java').write_text(example.replace('http://localhost:8501', url), encoding='utf-8')
        assert run_java(jar, tmp_path / 'Example.java') == re.search(r'// (.*)$', example, re.M).group(1)
        copied = copied_bytes(server)
        assert run_java(jar, 'ClientCalls', 'plain', url, f'http://127.0.0.1:{server.graphpipe_port}') == 'all is well'
        assert copied_bytes(server) - copied < 1 << 20, 'no large tensor was copied in the server'


def copied_bytes(server):
    return sum(float(line.split()[-1]) for line in server.get('/metrics')[1].splitlines()
               if line.startswith('penstock_graphpipe_copied_bytes_total'))


def test_errors_in_band(jar, start):
    server = start(MODELS, ['--graphpipe_in_band_errors'])
    assert run_java(jar, 'ClientCalls', 'in_band', f'http://127.0.0.1:{server.rest_port}') == 'all is well'


def test_tls_certificates_and_tokens(jar, start, tmp_path):
    server, pem, certificate, certificate_key, token = start_guarded(start, tmp_path, MODELS)
    assert run_java(jar, 'ClientCalls', 'tls', f'https://localhost:{server.rest_port}', token, pem, certificate, certificate_key,
                    tmp_path / 'ca.pem') == 'all is well'
