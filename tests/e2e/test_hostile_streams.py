# SPDX-License-Identifier: Apache-2.0
"""Clients that begin calls and do not send them, or keep streams open: others are served, and little is held for them."""
import re

import numpy as np
from grpc_health.v1 import health_pb2

from clients import predict_request
from raw import GrpcConnection
from penstock_server import eventually

OK, RESOURCE_EXHAUSTED, UNAVAILABLE = 0, 8, 14
GOOD = predict_request('half', {'x': np.array([1, 2], np.float32)}).SerializeToString()
WATCH = '/grpc.health.v1.Health/Watch'
GIGABYTE = 1 << 30


def address_space(server):
    with open(f'/proc/{server.process.pid}/statm', encoding='ascii') as file:
        return int(file.read().split()[0]) * 4096


def reserved_bytes(server):
    return float(re.search(r'^penstock_net_body_reserved_bytes (\S+)', server.get('/metrics')[1], re.MULTILINE).group(1))


def is_served(server):
    with GrpcConnection(server) as connection:
        return connection.call(connection.frame(GOOD))[0] == OK


def test_announced_messages_reserve_little_address_space(start):
    server = start({'half': 'builtin:half_plus_two'})
    before = address_space(server)
    with GrpcConnection(server) as connection:
        part = connection.frame(GOOD.ljust(20_000, b'\0'), length=2 * GIGABYTE - 1)
        for _ in range(900):
            connection.send(connection.begin(), part)
        assert connection.call(connection.frame(GOOD))[0] == OK  # so the server has seen the others
        assert address_space(server) - before < 3 * GIGABYTE
        assert is_served(server)
        eventually('the gauge', lambda: reserved_bytes(server) >= 900 << 16)  # 64 KiB is the least
    eventually('its end', lambda: reserved_bytes(server) == 0)


def test_calls_that_are_only_begun_use_up_no_requests(start):
    server = start({'half': 'builtin:half_plus_two'}, flags=['--requests_max=50', '--event_loops=1'])
    with GrpcConnection(server) as hostile:
        streams = [hostile.begin() for _ in range(100)]
        status, text, _ = hostile.finish(streams[-1])
        assert status == UNAVAILABLE and 'begun' in text
        hostile.send(streams[0], hostile.frame(GOOD), end=True)
        assert hostile.finish(streams[0])[0] == OK
        hostile.begin()
        assert is_served(server)
        assert server.rest_predict('half', {'instances': [1.0]})[0] == 200
        with GrpcConnection(server) as other:
            other.begin()  # it gets a place, so the first connection loses its begun calls
            assert other.call(other.frame(GOOD))[0] == OK
            assert hostile.call(hostile.frame(GOOD))[0] == OK  # it has completed a call, so it goes on


def test_connections_that_only_begin_calls_leave_places_for_others(start):
    flags = ['--incomplete_requests_max=100', '--event_loops=1']
    server = start({'half': 'builtin:half_plus_two'}, flags=flags)
    hostile = [GrpcConnection(server) for _ in range(40)]
    for connection in hostile:
        for _ in range(20):
            connection.begin()
    assert is_served(server)
    received = b''
    while piece := hostile[0].sock.recv(1 << 16):  # until the server closes
        received += piece
    assert received.endswith(b'this connection completed none')
    for connection in hostile:
        connection.sock.close()


def test_begun_bodies_use_up_no_memory_for_others(start):
    flags = ['--inflight_bytes_max=8388608', '--event_loops=1']
    server = start({'half': 'builtin:half_plus_two'}, flags=flags)
    hostile = [GrpcConnection(server) for _ in range(10)]
    part = hostile[0].frame(GOOD.ljust(20_000, b'\0'), length=GIGABYTE)
    for connection in hostile:
        for _ in range(20):  # together they would take 12.5 MiB
            connection.send(connection.begin(), part)
    assert is_served(server)
    assert server.rest_predict('half', {'instances': [1.0]})[0] == 200
    assert server.get('/metrics')[0] == 200
    for connection in hostile:
        connection.sock.close()


def test_health_watches_are_few_for_each_connection(start):
    server = start({'half': 'builtin:half_plus_two'}, flags=['--requests_max=100'])
    request = health_pb2.HealthCheckRequest().SerializeToString()
    with GrpcConnection(server) as hostile:
        streams = [hostile.begin(path=WATCH) for _ in range(50)]
        status, text, _ = hostile.finish(streams[-1])
        assert status == RESOURCE_EXHAUSTED and 'the limit' in text
        with GrpcConnection(server) as other:
            stream = other.begin(path=WATCH)
            other.send(stream, other.frame(request))
            eventually('the status', lambda: other._receive() or other.events[stream])
        assert is_served(server)
