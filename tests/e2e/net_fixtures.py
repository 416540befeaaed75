# SPDX-License-Identifier: Apache-2.0
"""The server of tests/interop (gRPC's TestService, health, reflection, plain pages) and the Go tools that drive it."""
import os
import pathlib
import signal
import subprocess

import pytest

from penstock_server import BUILD, SLOWNESS

TEST_SERVER = os.path.join(BUILD, 'tests/interop/grpc_test_server')
CACHE = pathlib.Path(os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache') / 'penstock'
STREAMS_MAX = 100  # so few that h2spec can reach the limit


def make_certificate(certificate, key):
    """Files with a certificate for localhost that vouches for itself, and its key."""
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost',
                    '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-addext', 'basicConstraints=critical,CA:TRUE',
                    '-keyout', key, '-out', certificate], check=True, capture_output=True)


class TestServer:
    """A running grpc_test_server. `port` is plain, `tls_port` is TLS."""
    __test__ = False  # not a test case

    def __init__(self, folder, *flags):
        assert os.path.exists(TEST_SERVER), f'{TEST_SERVER} is not built'
        self.certificate, self.key = folder / 'cert.pem', folder / 'key.pem'
        make_certificate(self.certificate, self.key)
        self.errors = open(folder / 'server.log', 'w+')
        self.process = subprocess.Popen(
            [TEST_SERVER, '--streams', str(STREAMS_MAX), '--tls', self.certificate, self.key, *flags],
            stdout=subprocess.PIPE, stderr=self.errors, text=True)
        lines = list(iter(lambda: self.process.stdout.readline().strip(), 'ready'))
        self.port, self.tls_port = (int(line.split()[1]) for line in lines)

    def log(self):
        self.errors.seek(0)
        return self.errors.read()

    def stop(self):
        """Drains it; what it said and how it ended must be clean."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(40 * SLOWNESS) == 0, self.log()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is not None:
            return
        if kind is None:
            self.stop()
        else:
            self.process.kill()


def tool(name):
    path = CACHE / 'bin' / name
    assert path.exists(), f'{path} is missing: run tools/setup/install test'
    return str(path)


def run_tool(name, *arguments, seconds=60):
    """Runs a program of the set-up to its end; what it printed, and its exit code."""
    done = subprocess.run([tool(name), *map(str, arguments)], capture_output=True, text=True, errors='replace',
                          timeout=seconds * SLOWNESS)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope='session')
def test_server(tmp_path_factory):
    with TestServer(tmp_path_factory.mktemp('grpc_test_server')) as server:
        yield server
