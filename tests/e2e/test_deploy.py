# SPDX-License-Identifier: Apache-2.0
"""The dashboard and the alert rules in deploy/: Prometheus's promtool accepts them, each alert is raised when it should be,
and the server exports what they name."""
import json
import os
import re
import subprocess

import numpy as np
import pytest
import yaml

from net_fixtures import run_tool, tool
from penstock_server import ROOT, SLOWNESS

pytestmark = pytest.mark.release_only
RULES = os.path.join(ROOT, 'deploy/prometheus-alerts.yaml')
RULE_TESTS = os.path.join(ROOT, 'deploy/prometheus-alerts.test.yaml')
DASHBOARD = os.path.join(ROOT, 'deploy/grafana-dashboard.json')
# Words of PromQL that look like metrics, and the suffixes of a histogram's series.
WORDS = {'sum', 'max', 'by', 'rate', 'increase', 'changes', 'scalar', 'histogram_quantile', 'and', 'on'}
SUFFIX = re.compile('_(bucket|sum|count)$')


def exported():
    """{metric: its labels}, by the page that tools/metrics_page makes from running servers."""
    with open(os.path.join(ROOT, 'docs/metrics.md'), encoding='utf-8') as page:
        rows = re.findall(r'^\| `([a-z_:]+)` \| \w+ \| (.*?) \|', page.read(), re.M)
    return {name: set(re.findall(r'`(\w+)`', labels)) for name, labels in rows}


def dashboard():
    with open(DASHBOARD, encoding='utf-8') as file:
        return json.load(file)


def dashboard_expressions():
    return [target['expr'] for panel in dashboard()['panels'] for target in panel.get('targets', ())]


def rules():
    with open(RULES, encoding='utf-8') as file:
        return [rule for group in yaml.safe_load(file)['groups'] for rule in group['rules']]


def rule_expressions():
    return [rule['expr'] for rule in rules()]


def selectors(expression):
    """(metric, labels in its braces) of each selector."""
    plain = re.sub(r'\b(by|on) \([^)]*\)', '', expression)
    strings = re.sub(r'"[^"]*"', '""', plain)
    return [(name, set(re.findall(r'(\w+)[=!]', braces or '')))
            for name, braces in re.findall(r'(?<![\w:$"])([a-z_:][a-z_:]*[a-z_])\b(?!\()(\{[^}]*\})?', strings)
            if name not in WORDS]


@pytest.mark.parametrize('expression', dashboard_expressions() + rule_expressions())
def test_the_server_exports_what_they_name(expression):
    metrics = exported()
    found = selectors(expression)
    assert found
    for name, labels in found:
        metric = name if name in metrics else SUFFIX.sub('', name)
        assert metric in metrics, name
        assert labels <= metrics[metric] | {'instance', 'job'}, (name, labels)


def test_each_panel_has_its_own_place():
    panels = dashboard()['panels']
    assert len({panel['id'] for panel in panels}) == len(panels)
    places = [(panel['gridPos']['x'], panel['gridPos']['y']) for panel in panels]
    assert len(set(places)) == len(places)


def test_promtool_accepts_the_rules():
    code, output = run_tool('promtool', 'check', 'rules', '--lint=all', '--lint-fatal', RULES)
    assert code == 0, output
    assert f'{len(rules())} rules found' in output


def test_each_alert_is_raised_when_it_should_be():
    code, output = run_tool('promtool', 'test', 'rules', RULE_TESTS)
    assert code == 0, output


def rule_tests():
    with open(RULE_TESTS, encoding='utf-8') as file:
        return yaml.safe_load(file)['tests']


def test_each_alert_has_a_test_in_which_it_is_raised_and_series_that_the_server_exports():
    metrics = exported()
    raised = {case['alertname'] for test in rule_tests() for case in test['alert_rule_test'] if case['exp_alerts']}
    assert raised == {rule['alert'] for rule in rules()}
    for series in (series['series'] for test in rule_tests() for series in test['input_series']):
        (name, labels), = selectors(series)
        metric = name if name in metrics else SUFFIX.sub('', name)
        assert labels - {'le'} <= metrics[metric] | {'instance', 'job'}, series


def test_each_rule_says_how_bad_it_is_and_what_is_wrong():
    names = [rule['alert'] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule['labels']['severity'] in ('warning', 'critical')
        assert rule['annotations']['summary']


@pytest.mark.parametrize('path', ['/metrics', '/monitoring/prometheus/metrics'])
def test_promtool_accepts_the_metrics(builtin_server, builtin, path):
    builtin.predict('half', {'x': np.float32([1])})
    status, _, page = builtin_server.request('GET', path)
    assert status == 200
    done = subprocess.run([tool('promtool'), 'check', 'metrics'], input=page, capture_output=True, timeout=60 * SLOWNESS)
    assert done.returncode in (0, 3), done.stderr  # 3: the page is right, but names do not follow the conventions
    remarks = {line for line in (done.stdout + done.stderr).decode().splitlines()
               # These names are TensorFlow Serving's.
               if not line.startswith(':tensorflow:')}
    # The unit is that of TensorFlow Serving's latencies, to which one compares the stages.
    assert remarks <= {'penstock_stage_latency_us metric names should not contain abbreviated units'}


@pytest.mark.parametrize('rule', rules(), ids=lambda rule: rule['alert'])
def test_the_texts_of_a_rule_name_labels_that_it_has(rule):
    kept = {name for names in re.findall(r'\bby \(([^)]*)\)', rule['expr']) for name in names.split(', ')}
    used = set(re.findall(r'\$labels\.(\w+)', ' '.join(rule['annotations'].values())))
    assert used <= (kept - {'le'} or {'instance'})


@pytest.mark.parametrize('expression', dashboard_expressions())
def test_the_brackets_of_an_expression_match(expression):
    pairs, open_ones = {')': '(', ']': '[', '}': '{'}, []
    for character in re.sub(r'"[^"]*"', '', expression):
        if character in '([{':
            open_ones.append(character)
        elif character in pairs:
            assert open_ones and open_ones.pop() == pairs[character]
    assert not open_ones
