# SPDX-License-Identifier: Apache-2.0
"""grpc-go's interoperability client and grpcurl against our server."""
import json

import pytest

from net_fixtures import run_tool

CASES = ['empty_unary', 'large_unary', 'client_streaming', 'server_streaming', 'ping_pong', 'empty_stream',
         'timeout_on_sleeping_server', 'cancel_after_begin', 'cancel_after_first_response', 'status_code_and_message',
         'special_status_message', 'custom_metadata', 'unimplemented_method', 'unimplemented_service']


@pytest.mark.parametrize('kind', ['plain', 'tls'])
@pytest.mark.parametrize('case', CASES)
def test_grpc_go(test_server, case, kind):
    port = test_server.port if kind == 'plain' else test_server.tls_port
    tls = ['-use_tls', '-use_test_ca', '-ca_file', test_server.certificate, '-server_host_override', 'localhost']
    code, output = run_tool('grpc-interop-client', '-server_host', '127.0.0.1', '-server_port', port, '-test_case', case,
                            *(tls if kind == 'tls' else []))
    assert code == 0, output


def grpcurl(server, *arguments, expect=0):
    code, output = run_tool('grpcurl', '-plaintext', *arguments[:-1], f'127.0.0.1:{server.port}', *arguments[-1])
    assert code == expect, output
    return output


def test_reflection_lists_services(test_server):
    assert grpcurl(test_server, ['list']).split() == [
        'grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection',
        'grpc.testing.TestService']


def test_reflection_describes(test_server):
    output = grpcurl(test_server, ['describe', 'grpc.testing.TestService.UnaryCall'])
    assert '.grpc.testing.SimpleRequest' in output and '.grpc.testing.SimpleResponse' in output
    assert 'string message = 2;' in grpcurl(test_server, ['describe', 'grpc.testing.EchoStatus'])


def test_reflection_of_what_is_not_there(test_server):
    assert 'not found' in grpcurl(test_server, ['describe', 'no.such.Message'], expect=1).lower()


def test_call_by_reflection(test_server):
    answer = json.loads(grpcurl(test_server, '-d', '{"response_size": 3}', ['grpc.testing.TestService/UnaryCall']))
    assert answer == {'payload': {'body': 'AAAA'}}


@pytest.mark.parametrize('service', ['', 'grpc.testing.TestService'])
def test_health_by_grpcurl(test_server, service):
    answer = json.loads(grpcurl(test_server, '-d', json.dumps({'service': service}), ['grpc.health.v1.Health/Check']))
    assert answer == {'status': 'SERVING'}
