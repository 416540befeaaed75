# SPDX-License-Identifier: Apache-2.0
"""Fixtures: servers on the sample and test models, and clients of them. See README.md."""
import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')
os.environ.setdefault('GRPC_VERBOSITY', 'NONE')

import pytest  # noqa: E402

from net_fixtures import test_server  # noqa: E402,F401
from penstock_server import BINARY, ROOT, SLOWNESS, Server  # noqa: E402

SAMPLES = os.path.join(ROOT, 'examples/models')
TEST_MODELS = os.path.join(ROOT, 'tests/models')
# Test models that cannot be loaded, and what their error says.
REFUSED = {'custom_operator_onnx': 'penstock.test', 'sequence_input_onnx': "'parts': it is a sequence"}
BUILTIN = {'identity': 'builtin:identity', 'half': 'builtin:half_plus_two'}


def pytest_collection_modifyitems(items):
    for item in items:
        if 'models_server' in item.fixturenames:  # to load all models takes a sanitizer's build a minute in each process
            item.add_marker(pytest.mark.release_only)
        if SLOWNESS > 1 and item.get_closest_marker('timeout') is None:
            item.add_marker(pytest.mark.timeout(120 * SLOWNESS))


def folders(base):
    return {name: os.path.join(base, name) for name in sorted(os.listdir(base))
            if os.path.isdir(os.path.join(base, name, '1'))}


def all_models():
    """Every sample and test model that can be loaded, both versions of digits with labels, and the built-in ones."""
    models = {**folders(SAMPLES), **folders(TEST_MODELS), **BUILTIN}
    for name in REFUSED:
        del models[name]
    for name in ('digits', 'digits_onnx'):
        models[name] = (f'base_path: "{models[name]}" model_version_policy {{ all {{}} }} '
                        'version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 }')
    return models


@pytest.fixture(scope='session', autouse=True)
def binary():
    assert os.path.exists(BINARY), f'{BINARY} is not built; PENSTOCK_BUILD names the build folder'


@pytest.fixture(scope='session')
def models_server(tmp_path_factory):
    """All models, with the runtimes."""
    with Server(tmp_path_factory.mktemp('models'), all_models(),
                flags=['--allow_version_labels_for_unavailable_models']) as server:
        yield server


@pytest.fixture(scope='session')
def builtin_server(tmp_path_factory):
    """The built-in models only: runs in every build."""
    with Server(tmp_path_factory.mktemp('builtin'), BUILTIN) as server:
        yield server


def _client(server):
    from clients import Client  # imports TensorFlow: seconds
    return Client(server)


@pytest.fixture(scope='session')
def models(models_server):
    with _client(models_server) as client:
        yield client


@pytest.fixture(scope='session')
def builtin(builtin_server):
    with _client(builtin_server) as client:
        yield client


@pytest.fixture
def start(tmp_path):
    """start(models, flags=..., ...) starts a further server, which the test's end stops."""
    servers = []

    def start_server(*args, **options):
        servers.append(Server(tmp_path / f'server{len(servers)}', *args, **options))
        return servers[-1]
    start_server.servers = servers
    yield start_server
    failures = []
    for server in servers:
        try:
            server.stop()
        except AssertionError as failure:
            failures.append(failure)
    assert not failures, failures


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the logs of the servers it used."""
    report = yield
    if report.failed and call.when == 'call':
        used = getattr(item, 'funcargs', {}).values()
        servers = [value for value in used if isinstance(value, Server)]
        for server in servers + [server for value in used for server in getattr(value, 'servers', [])]:
            report.sections.append(('log of the server', server.log()[-8000:]))
    return report
