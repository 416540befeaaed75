# SPDX-License-Identifier: Apache-2.0
"""The dashboard and the alert rules in deploy/: they have the right form, and the server exports what they name.

promtool does not check them: it needs the libraries of every cloud that Prometheus can ask for targets, and the set-up
would build them for a long time."""
import json
import os
import re

import pytest
import yaml

from penstock_server import ROOT

RULES = os.path.join(ROOT, 'deploy/prometheus-alerts.yaml')
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


def test_the_rules_have_the_form_of_prometheus():
    names = [rule['alert'] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert set(rule) <= {'alert', 'expr', 'for', 'labels', 'annotations'}
        assert re.fullmatch(r'\d+[smh]', rule.get('for', '0s'))
        assert rule['labels']['severity'] in ('warning', 'critical')
        assert rule['annotations']['summary']


@pytest.mark.parametrize('rule', rules(), ids=lambda rule: rule['alert'])
def test_the_texts_of_a_rule_name_labels_that_it_has(rule):
    kept = {name for names in re.findall(r'\bby \(([^)]*)\)', rule['expr']) for name in names.split(', ')}
    used = set(re.findall(r'\$labels\.(\w+)', ' '.join(rule['annotations'].values())))
    assert used <= (kept - {'le'} or {'instance'})


@pytest.mark.parametrize('expression', dashboard_expressions() + rule_expressions())
def test_the_brackets_of_an_expression_match(expression):
    pairs, open_ones = {')': '(', ']': '[', '}': '{'}, []
    for character in re.sub(r'"[^"]*"', '', expression):
        if character in '([{':
            open_ones.append(character)
        elif character in pairs:
            assert open_ones and open_ones.pop() == pairs[character]
    assert not open_ones
