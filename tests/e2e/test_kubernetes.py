# SPDX-License-Identifier: Apache-2.0
"""The manifests in deploy/kubernetes: they have the form that Kubernetes has published, their parts fit each other, and the
server takes their flags and lists of models."""
import copy
import glob
import os
import re
import subprocess

import kubernetes_validate
import pytest
import yaml

from penstock_server import BINARY, ROOT

pytestmark = pytest.mark.release_only
FOLDER = os.path.join(ROOT, 'deploy/kubernetes')
FILES = sorted(os.path.basename(path) for path in glob.glob(f'{FOLDER}/*.yaml'))
OLDEST, NEWEST = '1.28', '1.37'  # of Kubernetes
KSERVE = 'kserve-runtime.yaml'
# The fields of KServe's custom resource that are used here. Its containers are those of Kubernetes.
KSERVE_FIELDS = {'annotations', 'supportedModelFormats', 'protocolVersions', 'containers'}
KSERVE_FORMAT_FIELDS = {'name', 'version', 'autoSelect', 'priority'}


def read(name):
    with open(os.path.join(FOLDER, name), encoding='utf-8') as file:
        return file.read()


def objects(*names):
    return [each for name in names for each in yaml.safe_load_all(read(name))]


def named(kind, name):
    found, = [each for each in objects(*FILES) if each['kind'] == kind and each['metadata']['name'] == name]
    return found


def containers(each):
    """Those of a workload or of KServe's runtime."""
    spec = each.get('spec', {})
    return spec.get('containers') or spec.get('template', {}).get('spec', {}).get('containers', [])


def workloads():
    return [each for each in objects(*FILES) if containers(each)]


def flags(each):
    """{name: value} of the arguments of its only container."""
    container, = containers(each)
    return dict(re.fullmatch(r'--(\w+)=(.*)', argument).groups() for argument in container['args'])


def as_pod(runtime):
    return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': runtime['metadata'], 'spec': {'containers': containers(runtime)}}


@pytest.mark.parametrize('version', (OLDEST, NEWEST))
@pytest.mark.parametrize('name', FILES)
def test_a_manifest_has_the_published_form(name, version):
    for each in objects(name):
        kubernetes_validate.validate(as_pod(each) if name == KSERVE else each, version, strict=True)


def test_a_word_that_kubernetes_does_not_know_is_found():
    wrong = copy.deepcopy(named('StatefulSet', 'penstock-shard-a'))
    wrong['spec']['replicaz'] = wrong['spec'].pop('replicas')
    with pytest.raises(kubernetes_validate.ValidationError, match='replicaz'):
        kubernetes_validate.validate(wrong, NEWEST, strict=True)


def test_the_runtime_has_only_fields_of_kserve():
    runtime, = objects(KSERVE)
    assert set(runtime['spec']) <= KSERVE_FIELDS
    for each in runtime['spec']['supportedModelFormats']:
        assert set(each) <= KSERVE_FORMAT_FIELDS


@pytest.mark.parametrize('workload', workloads(), ids=lambda each: each['metadata']['name'])
def test_each_flag_is_one_of_the_server(workload):
    page = subprocess.run([BINARY, 'options', '--markdown'], capture_output=True, text=True, timeout=60, check=True).stdout
    known = set(re.findall(r'^\| `(\w+)` \|', page, re.M))
    assert flags(workload) and set(flags(workload)) <= known


@pytest.mark.parametrize('workload', workloads(), ids=lambda each: each['metadata']['name'])
def test_each_probe_asks_a_port_and_a_page_that_are_there(workload):
    container, = containers(workload)
    ports = {each['name']: each['containerPort'] for each in container.get('ports', [])}
    mine = {int(value) for name, value in flags(workload).items() if name.endswith('port')}
    assert set(ports.values()) <= mine
    probes = {kind: probe['httpGet'] for kind, probe in container.items() if kind.endswith('Probe')}
    assert {'readinessProbe', 'livenessProbe'} <= set(probes)
    for kind, get in probes.items():
        assert ports.get(get['port'], get['port']) in mine
        assert get['path'] == ('/healthz' if kind == 'livenessProbe' else '/readyz')


@pytest.mark.parametrize('name', ('shards-a.yaml', 'shards-b.yaml', 'root.yaml'))
def test_a_pod_has_time_to_drain(name):
    workload = objects(name)[0]
    times = flags(workload)
    seconds = (int(times['shutdown_delay_ms']) + int(times['drain_timeout_ms'])) / 1000
    assert workload['spec']['template']['spec']['terminationGracePeriodSeconds'] > seconds


def test_the_copies_of_the_shards_are_the_same():
    a = read('shards-a.yaml')
    swapped = re.sub(r'(shard-|shards-|copy: )([ab])\b', lambda found: found[1] + ('b' if found[2] == 'a' else 'a'), a)
    assert swapped == read('shards-b.yaml')


def test_names_lead_to_objects():
    every = objects(*FILES)
    labels = [each['spec']['template']['metadata']['labels'] for each in every if 'template' in each.get('spec', {})]

    def is_somewhere(wanted):
        return any(wanted.items() <= each.items() for each in labels)
    for each in every:
        kind, spec = each['kind'], each.get('spec', {})
        if kind == 'Service':
            assert is_somewhere(spec['selector'])
        elif kind == 'PodDisruptionBudget':
            assert is_somewhere(spec['selector']['matchLabels'])
        elif kind == 'NetworkPolicy':
            rules = spec.get('ingress', []) + spec.get('egress', [])
            peers = [peer for rule in rules for peer in rule.get('from', []) + rule.get('to', [])]
            for selector in [spec['podSelector']] + [peer['podSelector'] for peer in peers if 'podSelector' in peer]:
                assert is_somewhere(selector['matchLabels'])
        elif kind in ('StatefulSet', 'Deployment'):
            pod = spec['template']['spec']
            anti = pod.get('affinity', {}).get('podAntiAffinity', {}).get('requiredDuringSchedulingIgnoredDuringExecution', [])
            assert all(is_somewhere(term['labelSelector']['matchLabels']) for term in anti)
            assert spec['selector']['matchLabels'].items() <= spec['template']['metadata']['labels'].items()
            volumes = pod['volumes'] + [claim['metadata'] for claim in spec.get('volumeClaimTemplates', [])]
            assert {mount['name'] for mount in pod['containers'][0]['volumeMounts']} == {each['name'] for each in volumes}
            for volume in pod['volumes']:
                assert named('ConfigMap', volume['configMap']['name'])['data']
    assert named('Service', named('StatefulSet', 'penstock-shard-a')['spec']['serviceName'])['spec']['clusterIP'] == 'None'


def test_all_say_the_same_number_of_shards():
    shards, root = (named('ConfigMap', name)['data']['models.config'] for name in ('penstock-shard', 'penstock-root'))
    count = int(re.search(r'shards: (\d+)', root)[1])
    assert re.findall(r'name: "([^"]+)"', shards) == [f'items-{i}' for i in range(count)]
    for letter in 'ab':
        stateful_set = named('StatefulSet', f'penstock-shard-{letter}')
        assert stateful_set['spec']['replicas'] == count
        assert flags(stateful_set)['shard_filter'] == f'items-{{i}}: i % {count} == k'


def start_with(start, tmp_path, workload, flags_too=(), **replaced):
    """A server with the flags of the workload, but for ports and folders, and with its list of models."""
    text = named('ConfigMap', workload['spec']['template']['spec']['volumes'][0]['configMap']['name'])['data']['models.config']
    for old, new in {'s3://models': str(tmp_path), **replaced}.items():
        text = text.replace(old, new)
    config = tmp_path / f'{workload["metadata"]["name"]}.config'
    config.write_text(text, encoding='utf-8')
    mine = {**flags(workload), 'model_config_file': config, 'health_port': -1, 'shutdown_delay_ms': 0}
    mine['model_cache_directory'] = tmp_path / f'cache{len(start.servers)}'
    if 'remote_targets' in mine:
        mine['remote_targets'] += ',127.0.0.1:*'
    names = mine.keys() - {'port', 'rest_api_port'}
    return start(flags=[*flags_too, *(f'--{name}={mine[name]}' for name in sorted(names))], ready=False)


def test_shards_and_a_root_serve_the_table(start, tmp_path):
    """In place of the name of the headless service, the root has the addresses."""
    for i in range(4):
        source = tmp_path / 'items.csv'
        source.write_text('key,x\n' + ''.join(f'{key},{key / 2}\n' for key in range(100)), encoding='ascii')
        subprocess.run([BINARY, 'table', 'build', f'--shard={i}/4', f'--output={tmp_path}/items-{i}/1', source], check=True,
                       timeout=60)
    workload = named('StatefulSet', 'penstock-shard-b')
    shards = [start_with(start, tmp_path, workload, [f'--shard_ordinal={i}']) for i in range(4)]
    for i, shard in enumerate(shards):
        shard.wait_for(f'items-{i}', 1)
        assert shard.get('/readyz', port=shard.health_port)[0] == 200
        assert [bool(shard.states(f'items-{other}')) for other in range(4)] == [i == other for other in range(4)]
    targets = ' '.join(f'targets: "{shard.address}"' for shard in shards)
    root = start_with(start, tmp_path, named('Deployment', 'penstock-root'),
                      **{'targets: "dns:///penstock-shards:8500"': targets})
    root.wait_for('items', 1)
    assert root.get('/readyz', port=root.health_port)[0] == 200
    status, answer = root.rest_predict('items', {'inputs': {'keys': [7, 8, 1000, 98]}})
    assert status == 200 and answer['outputs'] == {'rows': [[3.5], [4.0], [0.0], [49.0]], 'found': [True, True, False, True]}


def test_a_root_waits_for_its_shards(start, tmp_path):
    server = start_with(start, tmp_path, named('Deployment', 'penstock-root'))
    assert server.get('/healthz', port=server.health_port)[0] == 200
    status, text = server.get('/readyz', port=server.health_port)
    assert status == 503 and 'items' in text
