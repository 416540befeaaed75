# SPDX-License-Identifier: Apache-2.0
"""Models in an S3 bucket, on a real S3 server that checks signatures."""
import datetime
import http.server
import json
import os
import threading

import numpy as np
import pytest

from clients import Client
from conftest import SAMPLES
from net_fixtures import make_certificate
from penstock_server import eventually
from s3_server import ACCESS_KEY, REGION, S3Server
from test_admin_api import call
from test_versions import Base, Load, ask

runtimes = pytest.mark.runtimes
BUCKET = 'models'


@pytest.fixture
def store(tmp_path):
    with S3Server(str(tmp_path / 's3')) as server:
        server.make_bucket(BUCKET)
        yield server


@pytest.fixture
def flags(tmp_path):
    return [f'--model_cache_directory={tmp_path / "cache"}', '--object_store_poll_wait_seconds=1',
            '--max_num_load_retries=0']


def put_builtin(store, version, kind='half_plus_two', model='m'):
    store.put(BUCKET, f'some/{model}/{version}/model.builtin', f'{kind}\n'.encode())


def page(server, model='m'):
    return server.get(f'/readyz/models/{model}')[1]


def answer(server, model='m'):
    status, body = server.rest_predict(model, {'instances': [2.0]})
    return body['predictions'] if status == 200 else body


def cached(tmp_path):
    """Names of what is in the cache, without revisions: below each place."""
    found = set()
    for place in (tmp_path / 'cache').iterdir():
        if place.is_dir():
            found |= {entry.name.split('.')[0] for entry in place.iterdir()}
    return found


def test_versions_come_and_go(start, store, flags, tmp_path):
    put_builtin(store, 1)
    server = start({'m': f's3://{BUCKET}/some/m'}, flags=flags, env=store.environment)
    assert answer(server) == [3.0]
    put_builtin(store, 2, 'identity')
    server.wait_for_only('m', [2])
    assert answer(server) == [2.0]
    eventually('the old version leaves the cache', lambda: cached(tmp_path) == {'2'})
    store.delete(BUCKET, 'some/m/2/model.builtin')
    server.wait_for_only('m', [1])  # downloaded again
    assert answer(server) == [3.0]
    store.delete(BUCKET, 'some/m/1/model.builtin')
    server.wait_for_only('m', [])
    eventually('the status says so', lambda: 'there are no versions in s3://models/some/m' in page(server))


def test_roll_back_to_a_version_that_is_not_served(start, store, flags):
    put_builtin(store, 1)
    put_builtin(store, 2, 'identity')
    server = start({'m': f's3://{BUCKET}/some/m'}, flags=flags + ['--admin_api=full'], env=store.environment)
    assert answer(server) == [2.0]
    status, error = call(server, 'POST', '/m:pin', {'version': 3})
    assert status == 404 and 'no version 3 in s3://models/some/m' in error['error']
    assert call(server, 'POST', '/m:pin', {'version': 1})[0] == 200
    assert answer(server) == [3.0]


@runtimes
def test_models_of_the_runtimes(start, store, flags):
    for name in ('half_plus_two', 'half_plus_two_onnx'):
        store.put_folder(BUCKET, f'{name}/00000123', os.path.join(SAMPLES, name, '1'))
    server = start({name: f's3://{BUCKET}/{name}/' for name in ('half_plus_two', 'half_plus_two_onnx')}, flags=flags,
                   env=store.environment)
    with Client(server) as client:
        for name in ('half_plus_two', 'half_plus_two_onnx'):
            response = client.predict_raw(name, {'x': np.float32([1, 2, 5])})
            assert response.model_spec.version.value == 123


def test_swaps_under_load(start, store, flags, tmp_path):
    base = Base(tmp_path / 'expected', 'builtin')
    put_builtin(store, 1)
    server = start({'m': f's3://{BUCKET}/some/m'}, flags=flags, env=store.environment)
    with Load(server, {'m': base}) as load:
        load.more()
        for version in (2, 3):
            put_builtin(store, version, 'identity' if version == 2 else 'half_plus_two')
            server.wait_for_only('m', [version])
            load.more()
    assert not load.failures, load.failures[:5]
    assert load.seen['m'] == {1, 2, 3}


@pytest.mark.release_only  # thousands of objects; unit tests read large listings
def test_a_large_listing_and_odd_names(start, store, flags, tmp_path):
    put_builtin(store, 1)
    # More than one page.
    for i in range(1050):
        path = os.path.join(store.root, BUCKET, 'some/m/1/assets')
        os.makedirs(path, exist_ok=True)
        with open(os.path.join(path, f'{i:04}'), 'w', encoding='ascii') as file:
            file.write('x' * (i % 7))
    store.put(BUCKET, 'some/m/1/a b+c%41~ä/=&?#', b'odd')
    store.put(BUCKET, 'some/m/tmp/file', b'no version')
    store.put(BUCKET, 'some/m/7', b'no folder')
    server = start({'m': f's3://{BUCKET}/some/m'}, flags=flags, env=store.environment)
    assert answer(server) == [3.0]
    folder = next(next((tmp_path / 'cache').glob('s3*')).iterdir())
    assert len(list((folder / 'assets').iterdir())) == 1050
    assert (folder / 'assets/0006').read_text() == 'xxxxxx'
    assert (folder / 'a b+c%41~ä/=&?#').read_text() == 'odd'


def test_restart_uses_what_was_downloaded(start, store, flags, tmp_path):
    put_builtin(store, 1)
    server = start({'m': f's3://{BUCKET}/some/m'}, flags=flags, env=store.environment)
    assert 'downloaded from' in server.log()
    server.stop()
    server = start({'m': f's3://{BUCKET}/some/m'}, flags=flags, env=store.environment)
    assert answer(server) == [3.0]
    assert 'downloaded from' not in server.log()
    # The cache is of one server alone.
    with pytest.raises(AssertionError):
        start({'m': f's3://{BUCKET}/some/m'}, flags=flags, env=store.environment)
    assert 'another process uses' in (tmp_path / 'server2/server.log').read_text()


def test_equal_files_of_two_versions_take_the_disk_once(start, store, flags, tmp_path):
    keys, rows = np.arange(5000), np.arange(5000 * 64, dtype=np.float32)
    for version in (1, 2):
        store.put(BUCKET, f'some/m/{version}/key', keys.tobytes())
        store.put(BUCKET, f'some/m/{version}/emb_vector', rows.tobytes())
        store.put(BUCKET, f'some/m/{version}/table.json', b'{"dimension": 64, "default_row": %d}' % version)
    config = tmp_path / 'models.config'
    config.write_text('model_config_list { config { name: "m" base_path: "s3://%s/some/m" '
                      'model_version_policy { all {} } } }' % BUCKET)
    server = start(flags=[*flags, f'--model_config_file={config}'], env=store.environment)
    eventually('both versions', lambda: list(server.states('m').values()) == ['AVAILABLE'] * 2)
    files = list((tmp_path / 'cache').glob('*/*/emb_vector'))
    assert len(files) == 2 and files[0].samefile(files[1])
    assert not files[0].with_name('table.json').samefile(files[1].with_name('table.json'))
    for version in (1, 2):
        status, body = server.rest_predict('m', {'inputs': {'keys': [7, -1]}}, f'/versions/{version}')
        assert status == 200 and body['outputs']['rows'] == [list(range(448, 512)), [version] * 64]


def test_replaced_objects_are_loaded_by_the_next_run_only(start, store, flags, tmp_path):
    put_builtin(store, 1)
    store.put(BUCKET, 'some/m/1/assets/name', b'old')
    server = start({'m': f's3://{BUCKET}/some/m'}, flags=flags, env=store.environment)
    assert answer(server) == [3.0]
    put_builtin(store, 1, 'identity')
    store.put(BUCKET, 'some/m/1/assets/name', b'new')
    put_builtin(store, 2)  # when this one is loaded, the others were listed
    server.wait_for_only('m', [2])
    store.delete(BUCKET, 'some/m/2/model.builtin')
    server.wait_for_only('m', [1])
    assert answer(server) == [2.0]  # it was loaded anew
    server.stop()
    put_builtin(store, 1)
    server = start({'m': f's3://{BUCKET}/some/m'}, flags=flags, env=store.environment)
    assert answer(server) == [3.0]
    (folder,) = next((tmp_path / 'cache').glob('s3*')).iterdir()
    assert (folder / 'assets/name').read_text() == 'new'


def test_errors_name_the_mistake(start, store, flags):
    put_builtin(store, 1)
    models = {'m': f's3://{BUCKET}/some/m', 'n': 's3://nowhere/m', 'half': 'builtin:half_plus_two'}
    server = start(models, flags=flags, env={**store.environment, 'AWS_SECRET_ACCESS_KEY': 'wrong'}, ready=False)
    eventually('the wrong key', lambda: 'the signature is wrong: check AWS_SECRET_ACCESS_KEY' in page(server))
    assert answer(server, 'half') == [3.0]
    server.stop()
    server = start(models, flags=flags, env={**store.environment, 'AWS_ACCESS_KEY_ID': 'nobody'}, ready=False)
    eventually('the unknown key', lambda: 'AWS_ACCESS_KEY_ID is not known there' in page(server))
    server.stop()
    no_keys = {**store.environment, 'AWS_ACCESS_KEY_ID': '', 'AWS_SECRET_ACCESS_KEY': '',
               'AWS_SHARED_CREDENTIALS_FILE': '/dev/null', 'AWS_CONFIG_FILE': '/dev/null'}
    server = start(models, flags=flags, env=no_keys, ready=False)
    eventually('no key', lambda: 'no credentials are set (AWS_ACCESS_KEY_ID, or' in page(server))
    server.stop()
    server = start(models, flags=flags, env={**store.environment, 'AWS_REGION': 'xx-east-9'}, ready=False)
    eventually('the wrong region', lambda: 'AWS_REGION' in page(server))
    server.stop()
    https = store.environment['AWS_ENDPOINT_URL'].replace('http://', 'https://')
    server = start(models, flags=flags, env={**store.environment, 'AWS_ENDPOINT_URL': https}, ready=False)
    eventually('no TLS', lambda: 'should the URL begin with http://?' in page(server))
    server.stop()
    server = start(models, flags=flags, env=store.environment, ready=False)
    eventually('no bucket', lambda: "there is no bucket 'nowhere'" in page(server, 'n'))
    server.wait_for_only('m', [1])


class KeyFiles:
    """AWS's files, with the keys of a profile."""

    def __init__(self, folder, store):
        self.credentials, self.config = folder / 'credentials', folder / 'config'
        self.write(store.secret)
        self.config.write_text(f'[profile models]\r\nregion = {REGION}\r\n')
        self.environment = {name: value for name, value in store.environment.items() if name == 'AWS_ENDPOINT_URL'} | {
            'AWS_SHARED_CREDENTIALS_FILE': str(self.credentials), 'AWS_CONFIG_FILE': str(self.config),
            'AWS_PROFILE': 'models', 'AWS_ACCESS_KEY_ID': '', 'AWS_SECRET_ACCESS_KEY': '', 'AWS_REGION': ''}

    def write(self, secret):
        new = self.credentials.with_suffix('.new')
        new.write_text(f'# keys\n[models]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {secret}\n')
        new.rename(self.credentials)


def test_keys_of_a_file_that_are_rotated(start, store, flags, tmp_path):
    files = KeyFiles(tmp_path, store)
    put_builtin(store, 1)
    server = start({'m': f's3://{BUCKET}/some/m'}, flags=flags, env=files.environment)
    assert answer(server) == [3.0]
    store.stop()
    with S3Server(str(tmp_path / 's3'), port=store.port, secret='secret2') as again:
        put_builtin(again, 2, 'identity')
        where = f'check aws_secret_access_key ({files.credentials}:4) and AWS_REGION'
        eventually('the old secret is refused', lambda: where in page(server))
        assert answer(server) == [3.0]
        files.write('secret2')
        server.wait_for_only('m', [2])
        again.stop()
    files.write('secret3')
    with S3Server(str(tmp_path / 's3'), port=store.port, secret='secret3') as third:
        put_builtin(third, 3)
        server.wait_for_only('m', [3])
    log = server.log()
    assert log.count(f'the keys for the object store have changed: aws_access_key_id ({files.credentials}:3)') == 2
    assert store.secret not in log and 'secret2' not in log and 'secret3' not in log


class KeyHost:
    """What hands out keys to containers: ECS, EKS Pod Identity. Takes one token."""

    def __init__(self, secret):
        self.secret, self.is_broken, self.asked = secret, False, 0
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                host.asked += 1
                right = self.path == '/v1/keys' and self.headers['Authorization'] == 'the-token'
                end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=60)
                answer = {'AccessKeyId': ACCESS_KEY, 'SecretAccessKey': host.secret, 'Token': '',
                          'Expiration': end.strftime('%Y-%m-%dT%H:%M:%SZ')} if right else {'message': 'who are you'}
                self.send_response(500 if host.is_broken else 200 if right else 401)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f'http://127.0.0.1:{self.server.server_port}/v1/keys'

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def test_keys_of_the_containers_host(start, store, flags, tmp_path):
    put_builtin(store, 1)
    token = tmp_path / 'token'
    token.write_text('wrong')
    with KeyHost(store.secret) as host:
        environment = {**store.environment, 'AWS_ACCESS_KEY_ID': '', 'AWS_SECRET_ACCESS_KEY': '', 'HOME': str(tmp_path),
                       'AWS_CONTAINER_CREDENTIALS_FULL_URI': host.url,
                       'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE': str(token)}
        server = start({'m': f's3://{BUCKET}/some/m'}, flags=flags, env=environment, ready=False)
        eventually('the token is refused', lambda: 'who are you; check AWS_CONTAINER_AUTHORIZATION_TOKEN' in page(server))
        token.write_text('the-token\n')
        server.wait_for_only('m', [1])
        assert answer(server) == [3.0]
        host.is_broken = True  # the keys that there are go on
        put_builtin(store, 2, 'identity')
        server.wait_for_only('m', [2])
        host.is_broken = False
        store.stop()
        with S3Server(str(tmp_path / 's3'), port=store.port, secret='secret2') as again:
            put_builtin(again, 3)
            eventually('the old secret is refused', lambda: 'check SecretAccessKey of the answer to' in page(server))
            host.secret = 'secret2'
            server.wait_for_only('m', [3])
        assert host.asked > 1
        log = server.log()
        assert store.secret not in log and 'secret2' not in log and 'the-token' not in log


def test_files_of_keys_that_make_no_sense_are_refused_at_the_start(start, store, flags, tmp_path):
    files = KeyFiles(tmp_path, store)
    files.credentials.write_text('[models]\naws_access_key_id=hidden\n')
    with pytest.raises(AssertionError):
        start({'m': f's3://{BUCKET}/some/m'}, flags=flags, env=files.environment)
    log = (tmp_path / 'server0/server.log').read_text()
    assert f'aws_access_key_id ({files.credentials}:2) stands there without aws_secret_access_key' in log
    assert 'hidden' not in log


def test_a_store_that_goes_away_unloads_nothing(start, store, flags, tmp_path):
    put_builtin(store, 1)
    server = start({'m': f's3://{BUCKET}/some/m'}, flags=flags, env=store.environment)
    store.stop()
    eventually('the status says so', lambda: 'cannot connect to' in page(server) and 'refused' in page(server))
    assert answer(server) == [3.0]
    with S3Server(str(tmp_path / 's3'), port=store.port) as again:
        put_builtin(again, 2, 'identity')
        server.wait_for_only('m', [2])


def test_a_broken_version_is_loaded_when_its_objects_change(start, store, flags):
    put_builtin(store, 1)
    server = start({'m': f's3://{BUCKET}/some/m'}, flags=flags, env=store.environment)
    put_builtin(store, 2, 'nothing that is built in')
    eventually('version 2 has failed', lambda: server.has_failed('m', 2))
    assert answer(server) == [3.0]
    put_builtin(store, 2, 'identity')
    server.wait_for_only('m', [2])


def test_over_tls_the_certificate_is_checked(start, flags, tmp_path):
    pem, key = str(tmp_path / 's3.pem'), str(tmp_path / 's3.key')
    make_certificate(pem, key)
    with S3Server(str(tmp_path / 's3'), certificate=(pem, key)) as store:
        store.make_bucket(BUCKET)
        put_builtin(store, 1)
        models = {'m': f's3://{BUCKET}/some/m'}
        server = start(models, flags=flags, env=store.environment, ready=False)
        eventually('the certificate is refused', lambda: 'certificate verify failed' in page(server))
        assert 'set AWS_CA_BUNDLE to a PEM file with the authority' in page(server)
        server.stop()
        other_name = store.environment['AWS_ENDPOINT_URL'].replace('localhost', '127.1')
        server = start(models, flags=flags, ready=False,
                       env={**store.environment, 'AWS_CA_BUNDLE': pem, 'AWS_ENDPOINT_URL': other_name})
        eventually('the name is wrong', lambda: 'a name that stands in it' in page(server))
        server.stop()
        server = start(models, flags=flags, env={**store.environment, 'AWS_CA_BUNDLE': pem})
        assert answer(server) == [3.0]
        server.stop()
        start(models, flags=flags, env={**store.environment, 'S3_VERIFY_SSL': '0'})


@pytest.mark.parametrize('base_path, flags_of, message', [
    ('s3://models/m', [], 'need --model_cache_directory'),
    ('s3:///m', ['--model_cache_directory=/tmp'], "a bucket's name has 3 to 255 letters"),
    ('s3://models/m', ['--model_cache_directory=/dev/null/x'], 'cannot make the folder'),
    ('s3://models/m', {'AWS_CONTAINER_CREDENTIALS_FULL_URI': 'http://169.254.169.254/'}, 'should begin with https://'),
    ('s3://models/m', {'AWS_CA_BUNDLE': '/dev/null'}, 'AWS_CA_BUNDLE is'),
    ('s3://models/m', {'AWS_REGION': 'eu west'}, 'AWS_REGION is'),
])
def test_impossible_settings_are_refused_at_the_start(start, base_path, flags_of, message, tmp_path):
    """`flags_of` may be variables instead."""
    variables = flags_of if isinstance(flags_of, dict) else {}
    with pytest.raises(AssertionError):
        start({'m': base_path}, flags=[] if variables else flags_of, env={**variables, 'HOME': str(tmp_path)})
    assert message in (tmp_path / 'server0/server.log').read_text()


def test_clients_ask_while_versions_are_downloaded(start, store, flags, tmp_path):
    base = Base(tmp_path / 'expected', 'builtin')
    put_builtin(store, 1)
    server = start({'m': f's3://{BUCKET}/some/m'}, flags=flags, env=store.environment)
    store.put(BUCKET, 'some/m/2/ballast', os.urandom(64 << 20))
    put_builtin(store, 2, 'identity')
    with Client(server) as client:
        def newest():
            return ask(client, base) == 2
        eventually('version 2 answers', newest, 60)
