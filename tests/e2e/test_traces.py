# SPDX-License-Identifier: Apache-2.0
"""Traces: what a collector gets, by the public OpenTelemetry package, and what clients say and get in headers."""
import http.server
import subprocess
import threading

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from clients import Client, error_of, predict_request
from conftest import BUILTIN
from penstock_server import BINARY, eventually
from test_metrics import value

X = {'x': np.array([1], np.float32)}
TRACE, PARENT = '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'


class Collector:
    """An OTLP receiver over HTTP. `status` is what it answers."""

    def __init__(self):
        self.status = 200
        self.requests = []
        self.paths = []
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_POST(self):
                body = self.rfile.read(int(self.headers['content-length']))
                assert self.headers['content-type'] == 'application/x-protobuf'
                collector.paths.append(self.path)
                collector.requests.append(trace_service_pb2.ExportTraceServiceRequest.FromString(body))
                self.send_response(collector.status)
                self.send_header('content-length', '0')
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f'http://127.0.0.1:{self.server.server_port}'

    def spans(self):
        return [span for request in list(self.requests) for resource in request.resource_spans
                for scope in resource.scope_spans for span in scope.spans]

    def call(self, name):
        """The span of the call with this name, and those of its stages, once they are there."""
        root = eventually(f'the span {name}', lambda: next((s for s in self.spans() if s.name == name), None))
        return root, {s.name: s for s in self.spans() if s.parent_span_id == root.span_id}


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.server.shutdown()
    made.server.server_close()


def attributes(span):
    return {a.key: a.value.int_value if a.value.WhichOneof('value') == 'int_value' else a.value.string_value
            for a in span.attributes}


def traced(start, collector, *flags):
    return start(BUILTIN, flags=[f'--trace_endpoint={collector.url}', *flags])


def test_a_call_is_a_span_with_its_stages(start, collector):
    server = traced(start, collector, '--trace_sample_rate=1', '--trace_service_name=shop')
    with Client(server) as client:
        client.predict_raw('half', X)
    root, stages = collector.call('tensorflow.serving.PredictionService/Predict')
    resource = {a.key: a.value.string_value for a in collector.requests[0].resource_spans[0].resource.attributes}
    assert resource['service.name'] == 'shop'
    assert collector.paths[0] == '/v1/traces'
    assert root.kind == trace_pb2.Span.SPAN_KIND_SERVER and not root.parent_span_id
    assert len(root.trace_id) == 16 and len(root.span_id) == 8
    assert root.status.code == trace_pb2.Status.STATUS_CODE_UNSET
    assert {'decode', 'run', 'encode'} <= set(stages)
    for stage in stages.values():
        assert stage.trace_id == root.trace_id and stage.kind == trace_pb2.Span.SPAN_KIND_INTERNAL
        assert root.start_time_unix_nano <= stage.start_time_unix_nano < stage.end_time_unix_nano
        assert stage.end_time_unix_nano <= root.end_time_unix_nano
    found = attributes(root)
    assert found['rpc.system'] == 'grpc' and found['rpc.method'] == 'Predict'
    assert found['rpc.grpc.status_code'] == 0
    assert (found['penstock.model'], found['penstock.version']) == ('half', 1)
    assert found['client.address'] == '127.0.0.1'
    assert value(server, 'penstock_trace_spans_dropped_total') == 0


def test_the_steps_of_an_ensemble_are_below_its_run(start, collector):
    half = 'step {{ name: "{}" model: "half" inputs {{ key: "x" value: "{}" }} outputs {{ key: "y" value: "{}" }} }}'
    graph = f'ensemble {{ input: "x" output: "y" {half.format("one", "x", "t")} {half.format("two", "t", "y")} }}'
    server = start({**BUILTIN, 'e': f'penstock {{ {graph} }}'},
                   flags=[f'--trace_endpoint={collector.url}', '--trace_sample_rate=1'])
    with Client(server) as client:
        client.predict_raw('e', X)
    _, stages = collector.call('tensorflow.serving.PredictionService/Predict')
    steps = [span for span in collector.spans() if span.name == 'step']
    assert [attributes(span)['penstock.step'] for span in steps] == ['one', 'two']
    run = stages['run']
    for span in steps:
        assert span.parent_span_id == run.span_id
        assert run.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano <= run.end_time_unix_nano
        found = attributes(span)
        assert (found['penstock.model'], found['penstock.version']) == ('half', 1) and found['penstock.queue_us'] >= 0


def test_long_texts_arrive_whole(start, collector):
    server = traced(start, collector, '--trace_sample_rate=0')
    model, identity, state = 'm' * 400, 'i' * 127, 's' * 500
    headers = {'traceparent': f'00-{TRACE}-{PARENT}-01', 'tracestate': state, 'x-request-id': identity}
    assert server.request('POST', f'/v1/models/{model}:predict', '{"instances": [1.0]}', headers)[0] == 404
    root, _ = collector.call('POST /v1/models/{model}:predict')
    found = attributes(root)
    assert found['penstock.model'] == model and found['url.path'] == f'/v1/models/{model}:predict'
    assert found['penstock.request_id'] == identity and root.trace_state == state


def test_a_client_continues_its_trace(start, collector):
    server = traced(start, collector, '--trace_sample_rate=0')
    headers = {'traceparent': f'00-{TRACE}-{PARENT}-01', 'tracestate': 'vendor=1', 'x-request-id': 'mine'}
    status, answer, _ = server.request('POST', '/v1/models/half:predict', '{"instances": [1.0]}', headers)
    assert status == 200
    root, stages = collector.call('POST /v1/models/{model}:predict')
    assert root.trace_id.hex() == TRACE and root.parent_span_id.hex() == PARENT
    assert root.trace_state == 'vendor=1' and stages
    assert answer['traceparent'] == f'00-{TRACE}-{root.span_id.hex()}-01'
    assert answer['tracestate'] == 'vendor=1'
    assert attributes(root)['penstock.request_id'] == 'mine'
    with Client(server) as client:
        _, call = client.stub.Predict.with_call(
            predict_request('half', X), timeout=30, metadata=(('traceparent', f'00-{TRACE}-{PARENT}-01'),))
    assert dict(call.initial_metadata())['traceparent'].startswith(f'00-{TRACE}-')


def test_a_client_that_does_not_trace_is_not_traced(start, collector):
    server = traced(start, collector, '--trace_sample_rate=1')
    body = '{"instances": [1.0]}'
    not_sampled = {'traceparent': f'00-{TRACE}-{PARENT}-00'}
    _, answer, _ = server.request('POST', '/v1/models/half:predict', body, not_sampled)
    assert 'traceparent' not in answer
    # A broken header counts as none, as the standard asks.
    _, answer, _ = server.request('POST', '/v1/models/half:predict', body, {'traceparent': '00-zz'})
    assert 'traceparent' in answer and TRACE not in answer['traceparent']
    collector.call('POST /v1/models/{model}:predict')
    server.get('/readyz')
    assert not [span for span in collector.spans() if span.trace_id.hex() == TRACE]


def test_errors_of_the_server_are_errors_of_the_span(start, collector):
    server = traced(start, collector, '--trace_sample_rate=1')
    with Client(server) as client:
        error_of(client.predict_raw, 'missing\u00e9', X)
    root, _ = collector.call('tensorflow.serving.PredictionService/Predict')
    assert root.status.code == trace_pb2.Status.STATUS_CODE_UNSET, 'a name that is wrong is the mistake of the client'
    assert attributes(root)['rpc.grpc.status_code'] == 5
    assert attributes(root)['penstock.model'] == 'missing\u00e9'


def test_what_the_collector_does_not_take_is_dropped_and_counted(start, collector):
    server = traced(start, collector, '--trace_sample_rate=1')
    collector.status = 503
    assert server.rest_predict('half', {'instances': [1.0]})[0] == 200
    eventually('the drops', lambda: value(server, 'penstock_trace_spans_dropped_total', reason='export_failed') > 0)
    collector.status = 200
    assert server.rest_predict('half', {'instances': [1.0]})[0] == 200
    eventually('spans that are sent', lambda: value(server, 'penstock_trace_spans_sent_total') > 0)
    with open(server.log_path, encoding='utf-8') as log:
        text = log.read()
    assert 'traces cannot be sent to' in text and 'it answers 503' in text and 'again' in text


def test_the_last_spans_are_sent_at_the_end(start, collector):
    server = traced(start, collector, '--trace_sample_rate=1')
    server.rest_predict('half', {'instances': [1.0]})
    server.stop()
    assert [span for span in collector.spans() if span.name == 'POST /v1/models/{model}:predict']


@pytest.mark.parametrize('flag, text', [
    ('--trace_endpoint=localhost:4318', 'it must be the address of an OTLP collector'),
    ('--trace_sample_rate=2', 'it must be a number from 0 to 1')])
def test_a_mistake_in_a_flag_stops_the_start(flag, text):
    result = subprocess.run([BINARY, 'serve', '--port=-1', '--rest_api_port=0', '--model_base_path=builtin:identity',
                             '--trace_endpoint=http://127.0.0.1:9', flag], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and text in result.stderr
