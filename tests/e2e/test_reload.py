# SPDX-License-Identifier: Apache-2.0
"""The list of models changes while the server runs: by SIGHUP, by a look at the file, by tensorflow-serving-api."""
import concurrent.futures
import json
import os
import re
import signal
import threading

import grpc
import numpy as np
import pytest
from google.protobuf import text_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc

from clients import Client, error_of
from conftest import SAMPLES
from net_fixtures import make_certificate
from penstock_server import PASSING_SLOWNESS, SLOWNESS, config_text, eventually

HALF, SAME = 'builtin:half_plus_two', 'builtin:identity'


def write(server, models):
    """Replaces the server's configuration file, whole."""
    path = os.path.join(server.folder, 'models.config')
    with open(path + '.new', 'w', encoding='utf-8') as file:
        file.write(models if isinstance(models, str) else config_text(models))
    os.rename(path + '.new', path)


def folder(path, versions, kind='half_plus_two'):
    """A base path with built-in versions."""
    for version in versions:
        os.makedirs(path / str(version))
        (path / str(version) / 'model.builtin').write_text(kind + '\n', encoding='ascii')
    return str(path)



def reload(server, models, seconds=60 * SLOWNESS):
    """HandleReloadConfigRequest, for at most so long; the error, or None."""
    request = model_management_pb2.ReloadConfigRequest()
    if isinstance(models, dict):
        text_format.Parse(config_text(models), request.config)
    else:
        text_format.Parse(models, request.config)
    with grpc.insecure_channel(server.address) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        try:
            response = stub.HandleReloadConfigRequest(request, timeout=seconds)
        except grpc.RpcError as error:
            return error
        assert response.status.error_code == 0
        return None


def test_a_port_that_is_open_to_other_hosts_takes_no_reload(start):
    server = start({'half': HALF}, flags=['--address=0.0.0.0'])
    error = reload(server, {'same': SAME})
    assert error.code() == grpc.StatusCode.PERMISSION_DENIED and '--reload_rpc=on' in error.details()
    missing = reload(server, {'secret': '/etc/shadow'})
    assert missing.details() == error.details()
    assert answers(server, 'half')


def test_reload_rpc_on_takes_reloads_on_every_port(start):
    server = start({'half': HALF}, flags=['--address=0.0.0.0', '--reload_rpc=on'])
    assert reload(server, {'same': SAME}) is None
    assert not answers(server, 'half')


def test_the_rest_port_takes_no_grpc_where_only_the_other_port_has_tls(start, tmp_path):
    certificate, key = tmp_path / 'cert.pem', tmp_path / 'key.pem'
    make_certificate(certificate, key)
    ssl = tmp_path / 'ssl.config'
    ssl.write_text(f'server_key: {json.dumps(key.read_text())} server_cert: {json.dumps(certificate.read_text())}')
    server = start({'half': HALF}, flags=[f'--ssl_config_file={ssl}'])
    server.port = server.rest_port
    error = reload(server, {'same': SAME})
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED and '--grpc_on_rest_port=on' in error.details()
    with grpc.insecure_channel(server.address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
        assert check.status == health_pb2.HealthCheckResponse.SERVING
    assert answers(server, 'half')


def answers(server, model):
    return server.rest_predict(model, {'instances': [1.0]})[0] == 200


def test_sighup_reads_the_file_again(start):
    server = start({'half': HALF})
    write(server, {'same': SAME, 'more': HALF})
    server.process.send_signal(signal.SIGHUP)
    eventually('the new models answer', lambda: answers(server, 'same') and answers(server, 'more'))
    eventually('the old one is gone', lambda: server.rest_predict('half', {'instances': [1.0]})[0] == 404)


def test_new_settings_for_examples_are_for_versions_that_are_loaded_later(start):
    """The log does not say that they are in force for those that are loaded."""
    def half(labels):
        return {'half': f'base_path: "{HALF}" penstock {{ classify {{ {labels} feature {{ input: "x" }} }} }}'}
    server = start(half('label: "a"'))
    said = 'the new classify and regress of model half are for versions that are loaded from now on'
    write(server, {**half('label: "a"'), 'more': HALF})
    server.process.send_signal(signal.SIGHUP)
    eventually('the file is read', lambda: answers(server, 'more'))
    assert said not in server.log()
    write(server, half('label: "b"'))
    server.process.send_signal(signal.SIGHUP)
    eventually('it is logged', lambda: said in server.log())


def test_the_file_is_polled(start):
    server = start({'half': HALF}, flags=['--model_config_file_poll_wait_seconds=1'])
    write(server, {'half': HALF, 'same': SAME})
    eventually('the new model answers', lambda: answers(server, 'same'))
    write(server, {'half': HALF})
    eventually('it is gone', lambda: not answers(server, 'same'))
    assert answers(server, 'half')


def test_without_a_period_the_file_is_not_read_again(start):
    watched = start({'half': HALF}, flags=['--model_config_file_poll_wait_seconds=1'])
    flags = [f'--model_config_file={os.path.join(watched.folder, "models.config")}']
    read_once = start(flags=flags)
    # A server that watches the same file says when the other would have seen a change.
    for number in (1, 2):
        write(watched, {'half': HALF, f'same{number}': SAME})
        eventually('the file is read', lambda: answers(watched, f'same{number}'))
    assert answers(read_once, 'half')
    assert not answers(read_once, 'same1') and not answers(read_once, 'same2')


@pytest.mark.parametrize('text', [
    'model_config_list {', 'model_config_list { config { name: "half" } }', 'custom_model_config {}', '',
    config_text({'half': 'builtin:nothing'}), config_text({'half': f'base_path: "/x" model_platform: "none"'}),
    config_text({'half': '/somewhere'}),  # a built-in model does not become one of a folder
], ids=['syntax', 'no path', 'custom', 'empty', 'builtin', 'platform', 'moved'])
def test_a_wrong_file_changes_nothing(start, text):
    server = start({'half': HALF})
    write(server, text)
    server.process.send_signal(signal.SIGHUP)
    eventually('it is logged', lambda: 'keeping the current configuration' in server.log())
    assert answers(server, 'half')
    write(server, {'half': HALF, 'same': SAME})
    server.process.send_signal(signal.SIGHUP)
    eventually('the next file is read', lambda: answers(server, 'same'))


def test_a_missing_file_is_logged_once(start):
    server = start({'half': HALF}, flags=['--model_config_file_poll_wait_seconds=1'])
    os.remove(os.path.join(server.folder, 'models.config'))
    eventually('it is logged', lambda: 'keeping the current configuration' in server.log())
    write(server, {'half': HALF, 'same': SAME})
    eventually('the file is back', lambda: answers(server, 'same'))
    assert server.log().count('keeping the current configuration') == 1


def test_the_log_says_who_changed_the_list(start):
    server = start({'half': HALF})
    assert reload(server, {'half': HALF, 'same': SAME}) is None
    assert re.search(r'HandleReloadConfigRequest, \S+:\d+ \(request [0-9a-f]+\): replace the list of models by 2: '
                     r'half, same: in force\n', server.log())
    assert re.search(r'replace the list of models by 2: half, same: done\n', server.log())
    assert reload(server, {'half': '/somewhere'}) is not None
    assert re.search(r'\): replace the list of models by 1: half: FAILED_PRECONDITION: ', server.log())
    server.process.send_signal(signal.SIGHUP)
    eventually('it is logged', lambda: f'SIGHUP from process {os.getpid()} of user {os.getuid()}: ' in server.log())


def test_a_client_replaces_the_list(start, tmp_path):
    server = start({'half': HALF})
    base = folder(tmp_path / 'more', [3, 4])
    assert reload(server, {'half': HALF, 'more': base}) is None
    # The answer comes when the models are there.
    assert server.states('more') == {4: 'AVAILABLE'}
    assert answers(server, 'half')
    assert reload(server, {'more': f'base_path: "{base}" model_version_policy {{ all {{}} }}'}) is None
    server.wait_for_only('more', [3, 4])
    eventually('half is gone', lambda: not answers(server, 'half'))
    assert reload(server, 'model_config_list {}') is None
    eventually('more is gone', lambda: not answers(server, 'more'))
    assert server.get('/readyz')[0] == 200


def test_labels_come_with_their_versions(start, tmp_path):
    server = start({'half': HALF})
    base = folder(tmp_path / 'more', [1, 2])
    both = f'base_path: "{base}" model_version_policy {{ all {{}} }}'
    assert reload(server, {'more': both + ' version_labels { key: "stable" value: 1 }'}) is None
    assert reload(server, {'more': both + ' version_labels { key: "stable" value: 1 } '
                                          'version_labels { key: "canary" value: 2 }'}) is None
    with Client(server) as client:
        x = {'x': np.array([1], np.float32)}
        for label, version in (('stable', 1), ('canary', 2)):
            assert client.predict_raw('more', x, label=label).model_spec.version.value == version


def test_one_bad_model_stops_no_other(start, tmp_path):
    server = start({'half': HALF})
    error = reload(server, {'half': HALF, 'bad': str(tmp_path / 'missing'), 'same': SAME})
    assert error.code() == grpc.StatusCode.UNKNOWN
    assert error.details().startswith('1 model(s) did not become available: {bad: '), error.details()
    assert str(tmp_path / 'missing') in error.details()
    assert answers(server, 'half') and answers(server, 'same')


def test_a_list_that_is_wrong_changes_nothing(start):
    server = start({'half': HALF})
    for text, code in (('', 'INVALID_ARGUMENT'), ('custom_model_config {}', 'INVALID_ARGUMENT'),
                       (config_text({'half': HALF, 'more': 'builtin:nothing'}), 'INVALID_ARGUMENT'),
                       (config_text({'half': '/elsewhere'}), 'FAILED_PRECONDITION'),
                       (config_text({'same': SAME})[:-2] + f'config {{ name: "same" base_path: "{SAME}" }} }}',
                        'INVALID_ARGUMENT')):
        error = reload(server, text)
        assert error is not None and error.code().name == code, (text, error)
        assert 'ReloadConfigRequest' in error.details()
    assert answers(server, 'half') and not answers(server, 'same')


def test_a_reload_ends_with_its_deadline(start, tmp_path):
    """An empty base path may get a version at any time, so this is no error yet; but nobody waits for ever."""
    server = start({'half': HALF}, flags=['--file_system_poll_wait_seconds=-1'])
    error = reload(server, {'half': HALF, 'more': folder(tmp_path / 'more', [1])}, PASSING_SLOWNESS)
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert reload(server, {'half': HALF}) is None  # the next one is not held up


def test_an_earlier_failure_does_not_answer_a_new_list(start, tmp_path):
    server = start({'half': HALF})
    broken = folder(tmp_path / 'broken', [1], kind='nothing that is built in')
    for name, bad in (('first', str(tmp_path / 'missing')), ('second', broken)):
        assert reload(server, {'half': HALF, name: bad}).code() == grpc.StatusCode.UNKNOWN
        # The same list again fails again, at once.
        assert reload(server, {'half': HALF, name: bad}).code() == grpc.StatusCode.UNKNOWN
        assert reload(server, {'half': HALF, name: folder(tmp_path / name, [1])}) is None


def test_a_list_does_not_wait_for_another(start, tmp_path):
    server = start({'half': HALF}, flags=['--file_system_poll_wait_seconds=-1'])
    models = {'half': HALF, 'more': folder(tmp_path / 'm', [1])}  # never seen
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(reload, server, models)
        eventually('the first list is in force', lambda: 'replace the list of models by' in server.log())
        assert reload(server, {'same': SAME}) is None
        error = first.result()
    assert error.code() == grpc.StatusCode.ABORTED and 'moved model' in error.details()
    assert answers(server, 'same')


def version_of(server, label):
    with Client(server) as client:
        return client.predict_raw('more', {'x': np.array([1], np.float32)}, label=label).model_spec.version.value


def test_a_label_in_use_stays_until_its_new_version_is_there(start, tmp_path):
    base = folder(tmp_path / 'more', [1])
    both = f'base_path: "{base}" model_version_policy {{ all {{}} }} version_labels {{ key: "stable" value: %d }}'
    server = start({'more': both % 1}, flags=['--model_config_file_poll_wait_seconds=1'])
    write(server, {'more': both % 2})
    eventually('it is refused', lambda: 'keeping the current configuration' in server.log())
    assert version_of(server, 'stable') == 1
    folder(tmp_path / 'more', [2])  # the next look at the file takes it
    eventually('the label has moved', lambda: version_of(server, 'stable') == 2)


def test_a_version_and_its_label_come_in_one_reload(start, tmp_path):
    base = folder(tmp_path / 'more', [1, 2])
    one = (f'base_path: "{base}" model_version_policy {{ specific {{ versions: %d }} }} '
           'version_labels { key: "stable" value: %d }')
    server = start({'more': one % (1, 1)})
    assert version_of(server, 'stable') == 1
    assert reload(server, {'more': one % (2, 2)}) is None
    assert version_of(server, 'stable') == 2


def test_a_label_for_a_version_that_is_not_there_is_refused_and_stays(start, tmp_path):
    base = folder(tmp_path / 'more', [1])
    both = f'base_path: "{base}" model_version_policy {{ all {{}} }} version_labels {{ key: "stable" value: %d }}'
    server = start({'more': both % 1})
    error = reload(server, {'more': both % 7})
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert 'assign label to version 7 of model more, which is not currently available' in error.details()
    assert version_of(server, 'stable') == 1
    write(server, {'more': both % 7, 'new': HALF})
    server.process.send_signal(signal.SIGHUP)
    eventually('the file is refused, too', lambda: 'keeping the current configuration' in server.log())
    assert version_of(server, 'stable') == 1 and not answers(server, 'new')


def loads_of(server, model):
    """How often a version of the model has been loaded, as far as the metrics show it yet."""
    found = re.search(rf'penstock_model_loads_total{{model_name="{model}",result="ok"}} (\d+)', server.get('/metrics')[1])
    return int(found[1]) if found else 0


# These unloaded the version of the label, and loaded it again.
@pytest.mark.parametrize('wanted, said', [(5, 'no built-in model'), (9, 'it is not complete: it has no files')])
def test_a_refused_move_of_a_label_unloads_nothing(start, tmp_path, wanted, said):
    base = folder(tmp_path / 'more', [1, 3])
    folder(tmp_path / 'more', [5], kind='nonsense')
    os.makedirs(tmp_path / 'more' / '9')
    third = f'base_path: "{base}" model_version_policy {{ specific {{ versions: 3 }} }} ' \
            'version_labels { key: "stable" value: %d }'
    server = start({'more': third % 1}, flags=['--max_num_load_retries=0', '--admin_api=full'])
    assert version_of(server, 'stable') == 1
    eventually('both loads are counted', lambda: loads_of(server, 'more') == 2)
    error = reload(server, {'more': third % wanted})
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION and said in error.details()
    code, text = server.request('POST', '/admin/v1/models/more:label',
                                json.dumps({'label': 'stable', 'version': wanted}),
                                {'content-type': 'application/json'})[::2]
    assert code == 400 and said in text.decode(), text
    code, text = server.request('POST', '/admin/v1/models/more:pin', json.dumps({'version': wanted}),
                                {'content-type': 'application/json'})[::2]
    assert code == 400, text
    assert version_of(server, 'stable') == 1 and version_of(server, None) == 3
    assert loads_of(server, 'more') == 2


def test_no_label_of_a_list_moves_if_another_cannot(start, tmp_path):
    base = folder(tmp_path / 'more', [1, 2])
    folder(tmp_path / 'bad', [1, 2])
    folder(tmp_path / 'bad', [5], kind='nonsense')
    both = f'base_path: "{base}" model_version_policy {{ all {{}} }} version_labels {{ key: "stable" value: %d }}'
    bad = f'base_path: "{tmp_path}/bad" model_version_policy {{ specific {{ versions: 1 }} }} ' \
          'version_labels { key: "x" value: %d }'
    server = start({'more': both % 1, 'bad': bad % 1}, flags=['--max_num_load_retries=1', '--load_retry_interval_micros=300000'])
    stopping, seen = threading.Event(), set()

    def ask():
        while not stopping.is_set():
            seen.add(version_of(server, 'stable'))

    thread = threading.Thread(target=ask)
    thread.start()
    error = reload(server, {'more': both % 2, 'bad': bad % 5})
    stopping.set()
    thread.join()
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert seen == {1} and version_of(server, 'stable') == 1
    assert reload(server, {'more': both % 2, 'bad': bad % 2}) is None
    assert version_of(server, 'stable') == 2


@pytest.mark.parametrize('path, said', [('/1', 'this one is a version itself: give the folder above'),
                                        ('/1/assets', 'a version is a folder named by a number')])
def test_a_base_path_without_versions_says_so(start, tmp_path, path, said):
    server = start({'half': HALF}, flags=['--ready_when=strict'])
    base = folder(tmp_path / 'more', [1])
    os.makedirs(base + '/1/assets')
    error = reload(server, {'half': HALF, 'more': base + path})
    assert said in error.details(), error.details()
    eventually('the reason', lambda: said in server.get('/readyz/models/more')[1])
    with Client(server) as client:
        status = error_of(client.status, 'more')
    assert status[0] == grpc.StatusCode.NOT_FOUND
    assert status[1].startswith('Could not find any versions of model more: ') and said in status[1]
    code, text = server.get('/v1/models/more')
    assert code == 404 and json.loads(text) == {'error': status[1]}
    error = reload(server, {'half': HALF, 'more': f'base_path: "{base}" model_version_policy '
                                                  '{ specific { versions: 7 } }'})
    assert 'none of the wanted versions is in' in error.details() and 'there are: 1' in error.details()


@pytest.mark.parametrize('new', ['base_path: "%s" model_version_policy { specific { versions: 77 } }',
                                 'base_path: "%s/1"', 'base_path: "%s/nowhere"'])
def test_a_list_that_selects_no_version_is_an_error_and_the_model_goes_on_serving(start, tmp_path, new):
    base = folder(tmp_path / 'more', [1, 2])
    server = start({'more': base})
    for _ in range(5):
        error = reload(server, {'more': new % base})
        assert error is not None and error.code() == grpc.StatusCode.UNKNOWN, error
        assert 'the versions that served go on serving' in error.details()
        if '77' in new:
            assert 'wanted: 77; there are: 1, 2' in error.details()
        assert server.states('more')[2] == 'AVAILABLE' and version_of(server, None) == 2
        assert reload(server, {'more': base}) is None
    eventually('the load is counted', lambda: loads_of(server, 'more') == 1)
    # The list is in force: a version that comes is loaded, and then the former one goes.
    assert reload(server, {'more': new % base}) is not None
    if '77' in new:
        folder(tmp_path / 'new', [77])
        os.rename(tmp_path / 'new' / '77', tmp_path / 'more' / '77')
        server.wait_for_only('more', [77])


def test_a_version_that_is_deleted_is_unloaded(start, tmp_path):
    base = folder(tmp_path / 'more', [1, 2])
    server = start({'more': f'base_path: "{base}" model_version_policy {{ specific {{ versions: 2 }} }}'})
    os.rename(tmp_path / 'more' / '2', tmp_path / 'two')
    eventually('it is unloaded', lambda: not answers(server, 'more'))


def test_requests_go_on_during_reloads(start, tmp_path):
    server = start({'half': HALF, 'same': SAME})
    base = folder(tmp_path / 'more', [1])
    stopping, failures = threading.Event(), []

    def ask():
        with Client(server) as client:
            while not stopping.is_set():
                try:
                    client.predict_raw('half', {'x': np.array([1], np.float32)}, timeout=20)
                except grpc.RpcError as error:
                    failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for i in range(20):
            models = {'half': HALF, 'more': base} if i % 2 else {'half': HALF, 'same': SAME}
            assert reload(server, models) is None
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[:3]


def test_two_hundred_reloads_leave_nothing_behind(start, tmp_path):
    """Under a sanitizer fewer: it sees what is used after its end, but keeps what is freed."""
    server = start({'half': HALF})
    base, sizes = folder(tmp_path / 'more', [1, 2]), []
    for i in range(200 if SLOWNESS == 1 else 50):
        assert reload(server, {'half': HALF, f'more{i % 7}': base} if i % 2 else {'half': HALF, 'same': SAME}) is None
        sizes.append(server.memory_bytes())
    assert SLOWNESS > 1 or sizes[-1] < sizes[50] + 500_000, sizes[::25]


def test_a_model_that_was_removed_comes_back(start, tmp_path):
    server = start({'half': HALF})
    base = folder(tmp_path / 'more', [1])
    for _ in range(3):
        assert reload(server, {'half': HALF, 'more': base}) is None
        assert server.states('more') == {1: 'AVAILABLE'}  # waited for, although it may still have been going
        assert reload(server, {'half': HALF}) is None
        eventually('it is gone', lambda: not answers(server, 'more'))


def test_a_new_base_path_brings_its_versions_and_the_old_ones_go(start, tmp_path):
    server = start({'more': folder(tmp_path / 'old', [1, 2])})
    server.wait_for_only('more', [2])
    assert reload(server, {'more': folder(tmp_path / 'new', [1])}) is None
    server.wait_for_only('more', [1])


def test_a_relative_base_path_counts_from_the_working_folder(start, tmp_path):
    server = start({'more': os.path.relpath(folder(tmp_path / 'more', [1]))})
    assert server.states('more') == {1: 'AVAILABLE'}


@pytest.mark.runtimes
def test_a_list_may_name_the_platform_of_a_model_that_was_started_by_flags(start):
    server = start(flags=['--model_name=m', f'--model_base_path={SAMPLES}/half_plus_two'])
    of = f'base_path: "{SAMPLES}/half_plus_two"'
    for platform in ('tensorflow', None, 'tensorflow', None):
        assert reload(server, {'m': of + (f' model_platform: "{platform}"' if platform else '')}) is None
        assert server.states('m') == {1: 'AVAILABLE'}
    error = reload(server, {'m': of + ' model_platform: "onnx"'})
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "has the platform 'tensorflow', which cannot become 'onnx'" in error.details()
    assert server.log().count('model m version 1 is available') == 1  # it was loaded once


def test_the_platform_of_a_model_does_not_change(start, tmp_path):
    for platform in ('tensorflow', 'onnxruntime'):
        (tmp_path / 'backends' / platform).mkdir(parents=True)
        (tmp_path / 'backends' / platform / f'penstock_{platform}.so').touch()  # loaded by the first model only
    of = f'base_path: "{tmp_path}" model_platform: "%s"'
    server = start({'half': HALF, 'more': of % 'tensorflow'}, flags=[f'--backend_directory={tmp_path}/backends'],
                   ready=False)
    error = reload(server, {'half': HALF, 'more': of % 'onnxruntime'})
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "has the platform 'tensorflow', which cannot become 'onnxruntime'" in error.details()
    assert reload(server, {'half': HALF}) is None
    assert answers(server, 'half')
