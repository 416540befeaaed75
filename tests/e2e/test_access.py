# SPDX-License-Identifier: Apache-2.0
"""Who may do what (--token_file, docs/security.md), with public clients: grpcio and requests."""
import os
import re
import signal
import stat
import subprocess

import grpc
import pytest
import requests
from google.protobuf import text_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tensorflow_serving.apis import (get_model_metadata_pb2, get_model_status_pb2, model_management_pb2,
                                     model_service_pb2_grpc, predict_pb2, prediction_service_pb2_grpc)

from net_fixtures import make_certificate
from penstock_server import BINARY, Server, config_text, eventually

MODELS = {'mine': 'builtin:half_plus_two', 'theirs': 'builtin:half_plus_two'}
BODY = {'instances': [1.0]}
UNAUTHENTICATED, DENIED = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED
NOT_FOUND = grpc.StatusCode.NOT_FOUND


def new_token(name):
    """(token, its hash): of `penstock token new`."""
    run = subprocess.run([BINARY, 'token', 'new', f'--name={name}'], check=True, capture_output=True, text=True)
    token, line = run.stdout.splitlines()
    return token, line.split('token_sha256: "')[1].split('"')[0]


def caller(name, credentials, *allows):
    lines = ''.join(f'  allow {{ {allow} }}\n' for allow in allows)
    return f'caller {{\n  name: "{name}"\n  {credentials}\n{lines}}}\n'


class Callers:
    """A token file and its tokens."""

    def __init__(self, folder):
        self.path = folder / 'tokens'
        self.tokens, self.hashes = {}, {}
        for name in ('user', 'admin', 'owner', 'scraper'):
            self.tokens[name], self.hashes[name] = new_token(name)
        self.write(self.text())

    def token_of(self, name):
        return f'token_sha256: "{self.hashes[name]}"'

    def text(self):
        return (caller('user', self.token_of('user'), 'operation: [INFER, METADATA, STATUS] model: "mine"') +
                caller('admin', self.token_of('admin'), 'operation: [INFER, METADATA, STATUS, ADMIN] model: "*"') +
                caller('owner', self.token_of('owner'), 'operation: ADMIN model: "mine" model: "new*"') +
                caller('scraper', self.token_of('scraper'), 'operation: METRICS'))

    def write(self, text):
        # As an editor does: readers see the old file or the new one.
        temporary = self.path.with_suffix('.new')
        temporary.write_text(text)
        temporary.rename(self.path)

    def headers(self, name):
        return {'authorization': f'Bearer {self.tokens[name]}'} if name else {}

    def metadata(self, name):
        return tuple(self.headers(name).items())


@pytest.fixture(scope='module')
def served(tmp_path_factory):
    """(server, callers, channel)"""
    folder = tmp_path_factory.mktemp('access')
    callers = Callers(folder)
    flags = [f'--token_file={callers.path}', '--admin_api=full', '--health_port=-1', '--token_file_poll_seconds=0']
    with Server(folder / 'server', MODELS, flags) as server, grpc.insecure_channel(server.address) as channel:
        yield server, callers, channel
        assert 'nobody may use' not in server.log()


def code_of(call, *args, **options):
    """The code with which a call ends, and its message."""
    try:
        call(*args, timeout=30, **options)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ''


def predict_request(model):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    text_format.Parse('dtype: DT_FLOAT tensor_shape { dim { size: 1 } } float_val: 1', request.inputs['x'])
    return request


def metadata_request(model):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=['signature_def'])
    request.model_spec.name = model
    return request


def status_request(model):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = model
    return request


def grpc_calls(channel):
    prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    models = model_service_pb2_grpc.ModelServiceStub(channel)
    return ((prediction.Predict, predict_request), (prediction.GetModelMetadata, metadata_request),
            (models.GetModelStatus, status_request))


def reload_request(models):
    request = model_management_pb2.ReloadConfigRequest()
    for name, path in models.items():
        request.config.model_config_list.config.add(name=name, base_path=str(path))
    return request


def reload_at(address, models, **options):
    """(code, message) of HandleReloadConfigRequest."""
    with grpc.insecure_channel(address) as channel:
        call = model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest
        return code_of(call, reload_request(models), **options)


def test_a_token_lets_its_caller_use_its_models_over_grpc(served):
    _, callers, channel = served
    for call, request in grpc_calls(channel):
        assert code_of(call, request('mine'), metadata=callers.metadata('user'))[0] == grpc.StatusCode.OK
        assert code_of(call, request('theirs'), metadata=callers.metadata('admin'))[0] == grpc.StatusCode.OK
        for bad in ((), (('authorization', 'Bearer pst_wrong'),), (('authorization', 'Basic eDp5'),)):
            assert code_of(call, request('mine'), metadata=bad)[0] == UNAUTHENTICATED
        # The owner may change the model, and no more.
        assert code_of(call, request('mine'), metadata=callers.metadata('owner'))[0] == DENIED


def test_a_forbidden_model_answers_as_one_that_does_not_exist(served):
    server, callers, channel = served
    for call, request in grpc_calls(channel):
        forbidden = code_of(call, request('theirs'), metadata=callers.metadata('user'))
        unknown = code_of(call, request('nowhere'), metadata=callers.metadata('user'))
        assert forbidden[0] == DENIED
        assert unknown == (DENIED, forbidden[1].replace('theirs', 'nowhere'))
        # One who may see all models learns the truth.
        assert code_of(call, request('nowhere'), metadata=callers.metadata('admin'))[0] == NOT_FOUND
    for path in (':predict', '/metadata', ''):
        answers = []
        for model in ('theirs', 'nowhere'):
            answer = requests.request('POST' if path == ':predict' else 'GET',
                                      f'http://127.0.0.1:{server.rest_port}/v1/models/{model}{path}',
                                      json=BODY if path == ':predict' else None, headers=callers.headers('user'),
                                      timeout=30)
            answers.append((answer.status_code, answer.text.replace(model, 'MODEL')))
        assert answers[0][0] == 403
        assert answers[0] == answers[1]


def test_answers_in_parts_are_no_way_around(served):
    server, callers, channel = served
    streamed = channel.unary_stream('/penstock.StreamingPredictionService/PredictStreamed',
                                    predict_pb2.PredictRequest.SerializeToString, predict_pb2.PredictResponse.FromString)

    def code(model, name):
        return code_of(lambda *args, **options: list(streamed(*args, **options)), predict_request(model),
                       metadata=callers.metadata(name))[0]
    assert code('mine', 'user') == grpc.StatusCode.OK
    assert code('theirs', 'user') == DENIED
    assert code('mine', None) == UNAUTHENTICATED
    for model, name, status in (('mine', 'user', 200), ('theirs', 'user', 403), ('mine', None, 401)):
        answer = requests.post(f'http://127.0.0.1:{server.rest_port}/v1/models/{model}:predict', json=BODY,
                               headers={**callers.headers(name), 'accept': 'text/event-stream'}, timeout=30)
        assert answer.status_code == status, (model, name)


def test_rest_needs_a_token_too(served):
    server, callers, _ = served
    base = f'http://127.0.0.1:{server.rest_port}'
    for path in ('/v1/models/mine', '/v1/models', '/', '/metrics', '/admin/v1/models', '/no/such/path'):
        answer = requests.get(base + path, timeout=30)
        assert (answer.status_code, answer.headers['www-authenticate']) == (401, 'Bearer'), path
        assert 'Bearer TOKEN' in answer.json()['error']
    session = requests.Session()
    session.headers.update(callers.headers('user'))
    assert session.post(f'{base}/v1/models/mine:predict', json=BODY, timeout=30).json() == {'predictions': [2.5]}
    assert session.get(f'{base}/no/such/path', timeout=30).status_code == 404


def test_lists_have_only_the_models_that_the_caller_may_see(served):
    server, callers, _ = served
    base = f'http://127.0.0.1:{server.rest_port}'

    def names(path, name):
        return [model['name'] for model in
                requests.get(base + path, headers=callers.headers(name), timeout=30).json()['models']]
    assert names('/v1/models', 'user') == ['mine']
    assert names('/v1/models', 'admin') == ['mine', 'theirs']
    assert names('/v1/models', 'scraper') == []
    assert names('/admin/v1/models', 'owner') == ['mine']
    assert names('/admin/v1/models', 'admin') == ['mine', 'theirs']
    assert requests.get(base, headers=callers.headers('user'), timeout=30).json()['models'] == 1


def test_metrics_need_their_permission_on_every_port(served):
    server, callers, _ = served
    for port in (server.port, server.rest_port, server.health_port):
        for name, status in ((None, 401), ('user', 403), ('scraper', 200)):
            answer = requests.get(f'http://127.0.0.1:{port}/metrics', headers=callers.headers(name), timeout=30)
            assert answer.status_code == status, (port, name)
    assert 'penstock_net_access_refusals_total' in answer.text


def test_load_balancers_need_no_token_and_see_no_model(served):
    server, callers, channel = served
    for port in (server.rest_port, server.health_port):
        for path in ('/healthz', '/readyz'):
            # A wrong token must not take a server out of its load balancer.
            for headers in ({}, {'authorization': 'Bearer wrong'}):
                answer = requests.get(f'http://127.0.0.1:{port}{path}', headers=headers, timeout=30)
                assert answer.status_code == 200, path
                assert 'mine' not in answer.text
        for model, name, status in (('mine', None, 404), ('nowhere', None, 404), ('mine', 'user', 200),
                                    ('theirs', 'user', 404)):
            answer = requests.get(f'http://127.0.0.1:{port}/readyz/models/{model}', headers=callers.headers(name),
                                  timeout=30)
            assert answer.status_code == status, (model, name)
    health = health_pb2_grpc.HealthStub(channel)

    def check(service, name=None):
        return code_of(health.Check, health_pb2.HealthCheckRequest(service=service), metadata=callers.metadata(name))
    assert check('')[0] == grpc.StatusCode.OK
    assert check('mine') == (NOT_FOUND, check('nowhere')[1].replace('nowhere', 'mine'))
    assert check('mine', 'user')[0] == grpc.StatusCode.OK
    assert check('theirs', 'user')[0] == NOT_FOUND
    watch = health.Watch(health_pb2.HealthCheckRequest(service='mine'), timeout=30)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


def test_reflection_is_for_callers(served):
    _, callers, channel = served
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)

    def services(name):
        request = reflection_pb2.ServerReflectionRequest(list_services='')
        answer = next(stub.ServerReflectionInfo(iter([request]), timeout=30, metadata=callers.metadata(name)))
        return [service.name for service in answer.list_services_response.service]
    assert 'tensorflow.serving.PredictionService' in services('user')
    with pytest.raises(grpc.RpcError) as error:
        services(None)
    assert error.value.code() == UNAUTHENTICATED


def test_changes_need_the_admin_permission(served):
    server, callers, channel = served
    url = f'http://127.0.0.1:{server.rest_port}/admin/v1/models/'
    new = {'base_path': 'builtin:identity'}

    def put(model, name, config=new):
        return requests.put(url + model, json=config, headers=callers.headers(name), timeout=60).status_code
    assert put('new_one', None) == 401
    assert put('new_one', 'user') == 403
    assert put('new_one', 'owner') == 200
    assert put('other', 'owner') == 403
    assert put('theirs', 'owner') == 403
    # An experiment would send requests to a model that is not the owner's.
    arm = {'arm': [{'model': 'theirs', 'weight': 1}]}
    assert put('new_two', 'owner', {**new, 'penstock': {'traffic': arm}}) == 403
    assert put('new_two', 'owner', {**new, 'penstock': {'shadow': [{'model': 'theirs'}]}}) == 403
    assert requests.delete(url + 'new_one', headers=callers.headers('owner'), timeout=60).status_code == 200

    reload = model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest
    request = reload_request(MODELS)
    assert code_of(reload, request)[0] == UNAUTHENTICATED
    for name in ('user', 'owner'):
        assert code_of(reload, request, metadata=callers.metadata(name))[0] == DENIED
    assert code_of(reload, request, metadata=callers.metadata('admin'))[0] == grpc.StatusCode.OK


def test_a_changed_file_counts_for_open_connections_and_a_broken_one_does_not(served):
    server, callers, channel = served
    predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
    token, token_hash = new_token('late')
    late = (('authorization', f'Bearer {token}'),)
    assert code_of(predict, predict_request('mine'), metadata=late)[0] == UNAUTHENTICATED
    good = callers.text() + caller('late', f'token_sha256: "{token_hash}"', 'operation: INFER model: "*"')
    callers.write(good)
    server.terminate(signal.SIGHUP)
    eventually('the new token is known',
               lambda: code_of(predict, predict_request('mine'), metadata=late)[0] == grpc.StatusCode.OK)

    callers.write(callers.text() + 'caller { name: "broken" }')
    server.terminate(signal.SIGHUP)
    eventually('the log has the mistake', lambda: "the caller 'broken' has no credentials" in server.log())
    assert code_of(predict, predict_request('mine'), metadata=late)[0] == grpc.StatusCode.OK

    callers.write(callers.text())
    server.terminate(signal.SIGHUP)
    eventually('the token is withdrawn',
               lambda: code_of(predict, predict_request('mine'), metadata=late)[0] == UNAUTHENTICATED)


def test_a_broken_file_stops_the_start(tmp_path):
    path = tmp_path / 'tokens'
    path.write_text('caller { name: "a" token_sha256: "abc" allow { operation: INFER model: "*" } }')
    run = subprocess.run([BINARY, 'serve', '--model_base_path=builtin:identity', '--port=-1', '--rest_api_port=0',
                          f'--token_file={path}'], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 1
    assert "the caller 'a' has a token_sha256 that is not 64 hexadecimal digits" in run.stderr
    assert 'abc' not in run.stderr


def client_certificate(folder, name, extensions):
    """(certificate file, key file) of a client, signed by the authority in `folder`."""
    files = [str(folder / f'{name}.{kind}') for kind in ('pem', 'key', 'csr', 'ext')]
    certificate, key, request, extension_file = files
    subprocess.run(['openssl', 'req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj',
                    f'/CN={name}', '-keyout', key, '-out', request], check=True, capture_output=True)
    with open(extension_file, 'w', encoding='ascii') as file:
        file.write(f'subjectAltName={extensions}\n')
    subprocess.run(['openssl', 'x509', '-req', '-in', request, '-CA', str(folder / 'ca.pem'), '-CAkey',
                    str(folder / 'ca.key'), '-CAcreateserial', '-days', '2', '-extfile', extension_file, '-out',
                    certificate], check=True, capture_output=True)
    return certificate, key


def start_guarded(start, folder, models, *flags):
    """A server that asks for TLS, a client certificate and a token, for tests of clients: (server, its certificate, a
    client's certificate and key, a token). ca.pem of the folder signed the client's, and not the server's."""
    pem, key = str(folder / 'server.pem'), str(folder / 'server.key')
    make_certificate(pem, key)
    make_certificate(folder / 'ca.pem', folder / 'ca.key')
    certificate, certificate_key = client_certificate(folder, 'host', 'DNS:host.example')
    token, token_hash = new_token('service')
    (folder / 'tokens').write_text(caller(
        'service', f'token_sha256: "{token_hash}"', 'operation: [INFER, METADATA] model: "*"'))
    server = start(models, [f'--tls_certificate_file={pem}', f'--tls_key_file={key}', f'--token_file={folder / "tokens"}',
                            f'--tls_client_ca_file={folder / "ca.pem"}', '--tls_require_client_certificate', *flags], ready=False)
    return server, pem, certificate, certificate_key, token


def test_failed_tls_handshakes_are_in_the_debug_log(start, tmp_path):
    pem, key = tmp_path / 'server.pem', tmp_path / 'server.key'
    make_certificate(pem, key)
    make_certificate(tmp_path / 'ca.pem', tmp_path / 'ca.key')
    make_certificate(tmp_path / 'other.pem', tmp_path / 'other.key')
    server = start(MODELS, [f'--tls_certificate_file={pem}', f'--tls_key_file={key}',
                            f'--tls_client_ca_file={tmp_path / "ca.pem"}', '--tls_require_client_certificate',
                            '--health_port=-1', '--log_level=debug'], ready=False)
    url = f'https://localhost:{server.rest_port}/readyz'
    for certificate in (None, (tmp_path / 'other.pem', tmp_path / 'other.key')):
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(url, verify=str(pem), cert=certificate, timeout=60)
    assert requests.get(url.replace('https', 'http'), timeout=60).status_code == 400
    for reason in ('peer did not return a certificate', 'self-signed certificate', 'the client speaks HTTP without TLS'):
        line = eventually(reason, lambda: next((line for line in server.log().splitlines() if reason in line), None))
        assert ' debug ' in line and 'TLS with 127.0.0.1:' in line


def test_a_public_port_that_lets_everybody_change_the_models_is_warned_of(start, tmp_path):
    tokens = tmp_path / 'tokens'
    tokens.write_text(caller('ops', f'token_sha256: "{new_token("ops")[1]}"', 'operation: ADMIN model: "*"'))
    text = 'everybody who reaches this port may change the models'
    public = '--address=0.0.0.0'
    assert f'with --admin_api=full {text}' in start(MODELS, ['--admin_api=full', public]).log()
    assert f'with --reload_rpc=on {text}' in start(MODELS, ['--reload_rpc=on', public]).log()
    assert text not in start(MODELS, ['--admin_api=full']).log()
    apart = start(MODELS, ['--admin_api=full', '--admin_port=-1', '--admin_address=0.0.0.0', '--health_port=-1']).log()
    assert apart.count(text) == 1 and f'--admin_address=0.0.0.0 --admin_port=-1: with --admin_api=full {text}' in apart
    flags = ['--admin_api=full', public, f'--token_file={tokens}', '--health_port=-1']
    assert text not in start(MODELS, flags, ready=False).log()


def test_a_client_certificate_names_its_caller(start, tmp_path):
    server_pem, server_key = tmp_path / 'server.pem', tmp_path / 'server.key'
    make_certificate(server_pem, server_key)
    make_certificate(tmp_path / 'ca.pem', tmp_path / 'ca.key')
    token, token_hash = new_token('token')
    tokens = tmp_path / 'tokens'
    tokens.write_text(
        caller('service', 'certificate { uri: "spiffe://prod/service" }', 'operation: INFER model: "mine"') +
        caller('host', 'certificate { common_name: "host" }', 'operation: INFER model: "theirs"', 'operation: METRICS') +
        caller('token', f'token_sha256: "{token_hash}"', 'operation: INFER model: "theirs"'))
    certificates = {'service': client_certificate(tmp_path, 'anything', 'URI:spiffe://prod/service'),
                    'host': client_certificate(tmp_path, 'host', 'DNS:host.example'),
                    'unknown': client_certificate(tmp_path, 'unknown', 'URI:spiffe://prod/other')}
    server = start(MODELS, [f'--token_file={tokens}', f'--tls_certificate_file={server_pem}',
                            f'--tls_key_file={server_key}', f'--tls_client_ca_file={tmp_path / "ca.pem"}',
                            '--admin_port=-1'], ready=False)
    url = f'https://localhost:{server.rest_port}/v1/models/'

    def status(model, name, headers=None):
        answer = requests.post(f'{url}{model}:predict', json=BODY, verify=str(server_pem), cert=certificates.get(name),
                               headers=headers, timeout=60)
        return answer.status_code
    eventually('the model', lambda: status('mine', 'service') == 200)
    assert status('theirs', 'service') == 403
    assert status('theirs', 'host') == 200
    assert status('mine', 'unknown') == 401
    assert status('mine', None) == 401
    # A token counts before the certificate.
    bearer = {'authorization': f'Bearer {token}'}
    assert (status('mine', 'service', bearer), status('theirs', 'service', bearer)) == (403, 200)

    for name, code in (('host', 200), ('service', 403), (None, 401)):
        answer = requests.get(f'https://localhost:{server.admin_port}/metrics', verify=str(server_pem),
                              cert=certificates.get(name), timeout=60)
        assert answer.status_code == code, name

    def grpc_code(name, model):
        certificate, key = (open(path, 'rb').read() for path in certificates[name])
        credentials = grpc.ssl_channel_credentials(server_pem.read_bytes(), key, certificate)
        with grpc.secure_channel(f'localhost:{server.port}', credentials) as channel:
            predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
            return code_of(predict, predict_request(model))[0]
    assert grpc_code('service', 'mine') == grpc.StatusCode.OK
    assert grpc_code('service', 'theirs') == DENIED
    assert grpc_code('unknown', 'mine') == UNAUTHENTICATED


def test_the_admin_port_alone_serves_the_admin_api_and_the_metrics(start, tmp_path):
    socket = tmp_path / 'admin.sock'
    server = start(MODELS, ['--admin_port=-1', f'--admin_socket={socket}', '--admin_api=full', '--health_port=-1'])
    for path in ('/metrics', '/monitoring/prometheus/metrics', '/admin/v1/models'):
        statuses = [server.get(path, port=port)[0]
                    for port in (server.port, server.rest_port, server.health_port, server.admin_port)]
        assert statuses == [404, 404, 404, 200], path
    hint = 'the metrics are on --admin_port and --admin_socket only'
    assert hint in server.get('/metrics', port=server.health_port)[1]
    assert server.get('/readyz', port=server.admin_port)[0] == 200
    assert server.get('/v1/models', port=server.admin_port)[0] == 404
    answer = requests.put(f'http://127.0.0.1:{server.admin_port}/admin/v1/models/new',
                          json={'base_path': 'builtin:identity'}, timeout=60)
    assert answer.status_code == 200, answer.text

    code, message = reload_at(server.address, MODELS)
    assert code == DENIED and '--admin_port' in message
    assert reload_at(f'127.0.0.1:{server.admin_port}', MODELS)[0] == grpc.StatusCode.OK
    assert reload_at(f'unix:{socket}', MODELS)[0] == grpc.StatusCode.OK
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    with grpc.insecure_channel(f'127.0.0.1:{server.admin_port}') as channel:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        assert code_of(predict, predict_request('mine'))[0] == grpc.StatusCode.UNIMPLEMENTED


def test_the_admin_port_asks_for_tokens_too(start, tmp_path):
    callers = Callers(tmp_path)
    server = start(MODELS, ['--admin_port=-1', f'--token_file={callers.path}'])
    for path, name, status in (('/metrics', None, 401), ('/metrics', 'user', 403), ('/metrics', 'scraper', 200),
                               ('/admin/v1/models', 'user', 403), ('/admin/v1/models', 'admin', 200),
                               ('/readyz', None, 200)):
        answer = requests.get(f'http://127.0.0.1:{server.admin_port}{path}', headers=callers.headers(name), timeout=30)
        assert answer.status_code == status, (path, name)
    admin = f'127.0.0.1:{server.admin_port}'
    assert reload_at(admin, MODELS, metadata=callers.metadata('user'))[0] == DENIED
    assert reload_at(admin, MODELS, metadata=callers.metadata('admin'))[0] == grpc.StatusCode.OK
    assert reload_at(server.address, MODELS, metadata=callers.metadata('admin'))[0] == DENIED


def test_clients_name_base_paths_below_the_roots_only(start, tmp_path):
    root, outside = tmp_path / 'root', tmp_path / 'outside'
    (root / 'empty').mkdir(parents=True)
    outside.mkdir()
    (root / 'link').symlink_to(outside)
    server = start({'half': MODELS['mine']}, ['--admin_api=full', f'--model_roots={root},s3://bucket/models'])

    def put(path):
        answer = requests.put(f'http://127.0.0.1:{server.rest_port}/admin/v1/models/new',
                              json={'base_path': str(path), 'penstock': {'load': 'NEVER'}}, timeout=60)
        return answer.status_code, answer.json().get('error', '')
    for path in (outside, root / 'link', root / '..' / 'outside', '/nowhere', 's3://bucket/other'):
        status, error = put(path)
        assert status == 403 and 'not below --model_roots' in error, path
        code, message = reload_at(server.address, {'half': MODELS['mine'], 'new': path})
        assert code == DENIED and 'not below --model_roots' in message, path
    for path in (root / 'empty', root / 'not_there_yet'):
        assert put(path)[0] == 200, path
    assert 'new' in server.get('/admin/v1/models')[1]
    # The operator's own file is not limited, and neither are its models in a list of a client.
    with open(os.path.join(server.folder, 'models.config'), 'w', encoding='utf-8') as file:
        file.write(config_text({'half': MODELS['mine'], 'own': f'base_path: "{outside}" penstock {{ load: NEVER }}'}))
    server.terminate(signal.SIGHUP)
    eventually('the file counts', lambda: '"own"' in server.get('/admin/v1/models')[1])
    request = reload_request({'half': MODELS['mine'], 'own': outside})
    assert reload_at(server.address, {'half': MODELS['mine'], 'other': outside})[0] == DENIED
    with grpc.insecure_channel(server.address) as channel:
        call = model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest
        assert 'not below' not in code_of(call, request)[1]


def test_the_audit_log_says_who_changed_what(start, tmp_path):
    callers = Callers(tmp_path)
    server = start(MODELS, [f'--token_file={callers.path}', '--admin_api=full', '--token_file_poll_seconds=0'])
    url = f'http://127.0.0.1:{server.rest_port}/admin/v1/models/new'
    for name in ('owner', 'user'):
        requests.put(url, json={'base_path': 'builtin:identity'}, timeout=60,
                     headers={**callers.headers(name), 'x-request-id': f'put-{name}'})
    reload_at(server.address, MODELS, metadata=(*callers.metadata('user'), ('x-request-id', 'reload-user')))
    reload_at(server.address, MODELS, metadata=(*callers.metadata('admin'), ('x-request-id', 'reload-admin')))
    callers.write(callers.text() + '# changed\n')
    server.terminate(signal.SIGHUP)
    peer = r'at 127\.0\.0\.1:\d+'
    for line in (rf"admin API, 'owner' {peer} \(request put-owner\): put model new: done",
                 rf"admin API, 'user' {peer} \(request put-user\): PUT /admin/v1/models/new: PERMISSION_DENIED: ",
                 rf"HandleReloadConfigRequest, 'user' {peer} \(request reload-user\): PERMISSION_DENIED: ",
                 rf"HandleReloadConfigRequest, 'admin' {peer} \(request reload-admin\): replace the list of models by 2: "
                 'mine, theirs: done',
                 rf'the operator: {callers.path} was read again and is in force: 4 callers'):
        eventually(line, lambda wanted=line: re.search('audit: ' + wanted, server.log()))
    assert not any(token in server.log() for token in callers.tokens.values())
