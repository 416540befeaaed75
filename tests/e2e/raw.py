# SPDX-License-Identifier: Apache-2.0
"""Clients that may be wrong: HTTP/1.1 byte by byte, gRPC frame by frame over the h2 package, HTTP/2 byte by byte."""
import socket
import struct

import h2.config
import h2.connection
import h2.events

from clients import PREDICT
from penstock_server import SLOWNESS

TIMEOUT = 20 * SLOWNESS


def connect(port):
    sock = socket.create_connection(('127.0.0.1', port), timeout=TIMEOUT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def read_all(sock, limit=1 << 20):
    """What comes until the peer closes (a reset counts)."""
    data = b''
    try:
        while len(data) < limit:
            part = sock.recv(65536)
            if not part:
                break
            data += part
    except ConnectionError:
        pass
    return data


def send(sock, data):
    """Sends what the peer takes: it may have closed already."""
    try:
        sock.sendall(data)
        return True
    except ConnectionError:
        return False


def exchange(port, data, half_close=False):
    """Sends bytes, then reads to the end. `half_close`: says that nothing more comes."""
    with connect(port) as sock:
        send(sock, data)
        if half_close:
            try:
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        return read_all(sock)


def read_response(sock):
    """One HTTP/1.1 response with a Content-Length: (status, head, body)."""
    data = b''
    while b'\r\n\r\n' not in data:
        part = sock.recv(65536)
        assert part, f'closed within the head: {data!r}'
        data += part
    head, body = data.split(b'\r\n\r\n', 1)
    length = 0
    for line in head.split(b'\r\n')[1:]:
        name, value = line.split(b':', 1)
        if name.lower() == b'content-length':
            length = int(value)
    while len(body) < length:
        part = sock.recv(65536)
        assert part, 'closed within the body'
        body += part
    return int(head.split()[1]), head, body


class GrpcConnection:
    """gRPC calls whose messages, frames and headers may be anything."""

    def __init__(self, server):
        self.sock = connect(server.port)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, header_encoding='utf-8', validate_outbound_headers=False,
            normalize_outbound_headers=False))
        # The package takes GOAWAY for the end; but the streams that are open shall still end well.
        machine, states = self.h2.state_machine, h2.connection.ConnectionState
        goaway = states.CLIENT_OPEN, h2.connection.ConnectionInputs.RECV_GOAWAY
        machine._transitions = {**machine._transitions, goaway: (None, states.CLIENT_OPEN)}
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(1 << 24)
        self.events, self.closed = {}, False
        self.going_away = False
        self._flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def _flush(self):
        if not send(self.sock, self.h2.data_to_send()):
            self.closed = True

    def _receive(self):
        try:
            data = self.sock.recv(1 << 16)
        except ConnectionError:
            data = b''
        if not data:
            self.closed = True
            return
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if isinstance(event, h2.events.ConnectionTerminated):
                self.going_away = True
            stream = getattr(event, 'stream_id', None)
            if stream:
                self.events.setdefault(stream, []).append(event)
        self._flush()

    @staticmethod
    def frame(message, flag=0, length=None):
        return struct.pack('>BI', flag, len(message) if length is None else length) + message

    def begin(self, path=PREDICT, headers=(), method='POST', content_type='application/grpc'):
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [
            (':method', method), (':scheme', 'http'), (':path', path), (':authority', 'localhost'), ('te', 'trailers'),
            *([('content-type', content_type)] if content_type else []), *headers])
        self.events[stream] = []
        self._flush()
        return stream

    def send(self, stream, data, end=False):
        """Sends as the window allows; stops if the server ends the stream meanwhile."""
        while data and not self.closed and not self._over(stream):
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(data))
            if room == 0:
                self._receive()
                continue
            self.h2.send_data(stream, data[:room])
            data = data[room:]
            self._flush()
        if end and not self.closed and not self._over(stream):
            self.h2.end_stream(stream)
            self._flush()

    def _over(self, stream):
        return any(isinstance(each, (h2.events.StreamEnded, h2.events.StreamReset)) for each in self.events[stream])

    def wait_for_goaway(self):
        while not self.going_away and not self.closed:
            self._receive()
        return self.going_away

    def finish(self, stream):
        """(grpc-status, grpc-message, message). The status is 'http N', 'reset' or 'closed' if there is none."""
        while not self._over(stream) and not self.closed:
            self._receive()
        headers, data = {}, b''
        for event in self.events[stream]:
            if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                headers.update(dict(event.headers))
            if isinstance(event, h2.events.DataReceived):
                data += event.data
        if 'grpc-status' in headers:
            return int(headers['grpc-status']), headers.get('grpc-message', ''), data[5:]
        if ':status' in headers:
            return f'http {headers[":status"]}', '', data
        return ('reset' if self._over(stream) else 'closed'), '', data

    def call(self, data, **options):
        """One call whose body is `data`, frames and all."""
        stream = self.begin(**options)
        self.send(stream, data, end=True)
        return self.finish(stream)


def http2_frame(kind, flags=0, stream=0, payload=b'', length=None):
    size = len(payload) if length is None else length
    return struct.pack('>I', size)[1:] + struct.pack('>BBI', kind, flags, stream) + payload


PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
