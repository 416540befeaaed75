# SPDX-License-Identifier: Apache-2.0
"""An S3 server (versitygw, which `make setup` builds) on loopback, and a client that fills it."""
import datetime
import hashlib
import hmac
import http.client
import os
import socket
import ssl
import subprocess
import urllib.parse

from net_fixtures import tool
from penstock_server import SLOWNESS, eventually

ACCESS_KEY, SECRET_KEY, REGION = 'testkey', 'testsecret', 'eu-test-1'


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class S3Server:
    """One process, whose buckets lie in a folder. Use it as a context manager. Checks signatures."""

    def __init__(self, folder, certificate=None, port=None, secret=SECRET_KEY):
        """`certificate`: (PEM file, key file) for TLS."""
        self.root, sidecar = os.path.join(folder, 'buckets'), os.path.join(folder, 'metadata')
        for path in (self.root, sidecar):
            os.makedirs(path, exist_ok=True)
        self.certificate, self.port, self.secret = certificate, port or free_port(), secret
        tls = ['--cert', certificate[0], '--key', certificate[1]] if certificate else []
        command = [tool('versitygw'), '--port', f'127.0.0.1:{self.port}', '--region', REGION, '--quiet', *tls,
                   'posix', '--sidecar', sidecar, self.root]
        with open(os.path.join(folder, 's3.log'), 'ab') as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env={
                **os.environ, 'ROOT_ACCESS_KEY': ACCESS_KEY, 'ROOT_SECRET_KEY': secret})
        try:
            eventually('the S3 server listens', self._listens)
        except BaseException:
            self.stop()
            raise

    def _listens(self):
        assert self.process.poll() is None, 'the S3 server ended by itself'
        with socket.socket() as probe:
            return probe.connect_ex(('127.0.0.1', self.port)) == 0

    @property
    def environment(self):
        """What makes Penstock its client."""
        scheme = 'https' if self.certificate else 'http'
        return {'AWS_ACCESS_KEY_ID': ACCESS_KEY, 'AWS_SECRET_ACCESS_KEY': self.secret, 'AWS_REGION': REGION,
                'AWS_ENDPOINT_URL': f'{scheme}://localhost:{self.port}', 'AWS_SESSION_TOKEN': ''}

    def request(self, method, path, body=b'', query=''):
        """One signed request; fails unless the answer is 2xx."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime('%Y%m%dT%H%M%SZ')
        day, path = now[:8], urllib.parse.quote(path)
        headers = {'host': f'localhost:{self.port}', 'x-amz-content-sha256': hashlib.sha256(body).hexdigest(),
                   'x-amz-date': now}
        names = ';'.join(sorted(headers))
        canonical = '\n'.join([method, path, query, *(f'{name}:{headers[name]}' for name in sorted(headers)), '', names,
                               headers['x-amz-content-sha256']])
        scope = f'{day}/{REGION}/s3/aws4_request'
        to_sign = '\n'.join(['AWS4-HMAC-SHA256', now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ('AWS4' + self.secret).encode()
        for part in (*scope.split('/'), to_sign):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        headers['authorization'] = (f'AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders={names}, '
                                    f'Signature={key.hex()}')
        kind, options = http.client.HTTPConnection, {}
        if self.certificate:
            kind, options = http.client.HTTPSConnection, {'context': ssl._create_unverified_context()}
        connection = kind('localhost', self.port, timeout=20 * SLOWNESS, **options)
        connection.request(method, path + ('?' + query if query else ''), body, headers)
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        assert 200 <= response.status < 300, (method, path, response.status, answer)
        return answer

    def make_bucket(self, bucket):
        self.request('PUT', f'/{bucket}')

    def put(self, bucket, key, data):
        self.request('PUT', f'/{bucket}/{key}', data)

    def put_folder(self, bucket, prefix, folder):
        for path, _, files in os.walk(folder):
            for name in files:
                full = os.path.join(path, name)
                with open(full, 'rb') as file:
                    self.put(bucket, f'{prefix}/{os.path.relpath(full, folder)}', file.read())

    def delete(self, bucket, key):
        self.request('DELETE', f'/{bucket}/{key}')

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10 * SLOWNESS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
