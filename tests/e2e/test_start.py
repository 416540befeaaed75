# SPDX-License-Identifier: Apache-2.0
"""When the ports open, what the health port serves, and the server in the place of tensorflow_model_server."""
import os
import re

import grpc
import pytest

from conftest import BUILTIN
from penstock_server import BINARY, ROOT, SLOWNESS, eventually
from test_command_line import fails
from test_shutdown import refused

CHECK, SERVING = '/grpc.health.v1.Health/Check', b'\x08\x01'


def add_version(base, number=1, model='half_plus_two'):
    folder = base / str(number)
    folder.mkdir(parents=True)
    (folder / 'model.builtin').write_text(model, encoding='ascii')


def page():
    with open(os.path.join(ROOT, 'docs/migrate-from-tensorflow-serving.md'), encoding='utf-8') as file:
        return file.read()


@pytest.fixture
def tfs(tmp_path):
    """A link of that name to the program."""
    link = tmp_path / 'bin' / 'tensorflow_model_server'
    link.parent.mkdir()
    link.symlink_to(BINARY)
    return link


# --- --listen and --health_port

def test_ports_open_after_the_load_and_the_health_port_at_once(start, tmp_path):
    base = tmp_path / 'm'
    server = start(flags=[f'--model_base_path={base}', '--listen=after_load', '--health_port=-1', '--version_settle_ms=0'],
                   ready=False)
    eventually('the source looks', lambda: str(base) in server.get('/readyz', port=server.health_port)[1])
    assert refused(server.port) and refused(server.rest_port)
    assert server.get('/healthz', port=server.health_port)[0] == 200
    assert server.get('/readyz', port=server.health_port)[0] == 503
    add_version(base)
    eventually('the ports open', lambda: not refused(server.rest_port))
    assert server.rest_predict('default', {'instances': [2.0]}) == (200, {'predictions': [3.0]})
    assert server.get('/readyz', port=server.health_port)[0] == 200


def test_a_model_that_cannot_be_loaded_does_not_keep_the_ports_closed(start, tmp_path):
    add_version(tmp_path / 'bad', model='nothing')
    server = start({**BUILTIN, 'bad': str(tmp_path / 'bad')}, ready=False,
                   flags=['--listen=after_load', '--max_num_load_retries=0', '--version_settle_ms=0'])
    eventually('the ports open', lambda: not refused(server.rest_port))
    assert server.rest_predict('half', {'instances': [2.0]}) == (200, {'predictions': [3.0]})
    assert 'the initial load is over: 1 model(s) did not become available: {bad: ' in server.log()


def test_the_health_port_serves_probes_and_metrics_alone(start):
    server = start(BUILTIN, flags=['--health_port=-1', '--admin_api=full'])
    statuses = {path: server.get(path, port=server.health_port)[0] for path in (
        '/healthz', '/readyz', '/readyz/models/half', '/metrics', '/monitoring/prometheus/metrics',
        '/', '/v1/models/half', '/admin/v1/models')}
    assert list(statuses.values()) == [200] * 5 + [404] * 3, statuses
    with grpc.insecure_channel(f'127.0.0.1:{server.health_port}') as channel:
        check = channel.unary_unary(CHECK)
        for service in (b'', b'PredictionService', b'ModelService', b'tensorflow.serving.PredictionService', b'half'):
            assert check(b'\x0a%c' % len(service) + service, timeout=30 * SLOWNESS) == SERVING, service
        with pytest.raises(grpc.RpcError) as error:
            channel.unary_unary('/tensorflow.serving.PredictionService/Predict')(b'', timeout=30 * SLOWNESS)
        assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED
    with grpc.insecure_channel(server.address) as channel:
        for service in (b'PredictionService', b'ModelService'):
            assert channel.unary_unary(CHECK)(b'\x0a%c' % len(service) + service, timeout=30 * SLOWNESS) == SERVING


def test_file_urls_and_a_model_that_asks_for_no_version(start, tmp_path):
    add_version(tmp_path / 'm')
    server = start({'m': f'file://{tmp_path}/m', 'none': f'base_path: "{tmp_path}/m" model_version_policy {{ specific {{}} }}'})
    assert server.rest_predict('m', {'instances': [2.0]}) == (200, {'predictions': [3.0]})
    status, answer = server.rest_predict('none', {'instances': [2.0]})
    assert status == 503 and 'its configuration names no version' in answer['error']


# --- as tensorflow_model_server

def test_the_entry_point_of_the_image_starts_it_by_its_name(start, tmp_path, tfs):
    """The script of the page, with the variables of the official image, and flags behind it."""
    block = re.search(r'```sh\n(#!/bin/bash\n.*?)```', page(), re.S)
    script = tmp_path / 'tf_serving_entrypoint.sh'
    script.write_text(block.group(1), encoding='utf-8')
    add_version(tmp_path / 'models' / 'half', 123)
    server = start(program=['bash', str(script)], ready=False,
                   flags=['--version_settle_ms=0', '--enable_batching', 'true', '--use_saved_model=true'],
                   env={'PATH': f'{tfs.parent}:{os.environ["PATH"]}', 'MODEL_NAME': 'half',
                        'MODEL_BASE_PATH': str(tmp_path / 'models')})
    eventually('the REST port opens', lambda: not refused(server.rest_port))
    assert server.rest_predict('half', {'instances': [1.0, 2.0, 5.0]}) == (200, {'predictions': [2.5, 3.0, 4.5]})
    log = server.log()
    for line in ('Successfully loaded servable version {name: half version: 123}',
                 f'Running gRPC ModelServer at 127.0.0.1:{server.port} ...',
                 f'Exporting HTTP/REST API at:localhost:{server.rest_port} ...',
                 'standing in for tensorflow_model_server', "'true' is ignored", '--use_saved_model=true: No effect'):
        assert line in log, line


def test_an_empty_file_waits_for_a_reload(start, tmp_path, tfs):
    file = tmp_path / 'models.config'
    file.write_text('', encoding='ascii')
    server = start(program=[str(tfs)], flags=[f'--model_config_file={file}', '--model_config_file_poll_wait_seconds=1'])
    assert server.rest_predict('half', {'instances': [2.0]})[0] == 404
    file.write_text('model_config_list { config { name: "half" base_path: "builtin:half_plus_two" } }', encoding='ascii')
    eventually('the model', lambda: server.rest_predict('half', {'instances': [2.0]})[0] == 200)


def test_a_near_miss_of_a_flag_ends_the_start_also_there():
    assert 'unknown flag --ssl_config=/s; did you mean --ssl_config_file?' in fails(
        '--compat=tensorflow_model_server', '--model_base_path=builtin:identity', '--ssl_config=/s')


def test_the_manifest_of_the_page(start, tmp_path, tfs):
    """Its arguments start the server, its probes are answered, and it is given the time that its end needs."""
    manifest = next(block for block in re.findall(r'```yaml\n(.*?)```', page(), re.S) if 'kind: Deployment' in block)
    assert 'command: ["tensorflow_model_server"]' in manifest
    args = dict(re.findall(r'^ +- --(\w+)=(.*)$', manifest, re.M))
    assert {'port', 'rest_api_port', 'health_port', 'model_name', 'model_base_path'} <= args.keys()
    flags = [f'--{name}={value}' for name, value in args.items() if not name.endswith('port')]
    add_version(tmp_path / 'half_plus_two')
    server = start(program=[str(tfs)], ready=False, flags=[
        *(flag.replace('/models', str(tmp_path)) for flag in flags), '--health_port=-1', '--version_settle_ms=0'])
    probes = re.findall(r'(\w+Probe): *\n? *.*path: ([\w/]+), port: (\w+)', manifest)
    assert {name for name, _, _ in probes} == {'startupProbe', 'readinessProbe', 'livenessProbe'}
    for _, path, port in probes:
        assert f'name: {port}' in manifest
        eventually(path, lambda: server.get(path, port=server.health_port)[0] == 200)
    eventually('the REST port opens', lambda: not refused(server.rest_port))
    assert server.rest_predict('half_plus_two', {'instances': [2.0]}) == (200, {'predictions': [3.0]})
    given = int(re.search(r'terminationGracePeriodSeconds: (\d+)', manifest).group(1))
    assert given * 1000 > int(args['shutdown_delay_ms']) + int(args['drain_timeout_ms'])
