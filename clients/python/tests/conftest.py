# SPDX-License-Identifier: Apache-2.0
"""Runs without a server of Penstock: a scripted one on a loopback port plays what a test wants."""
import asyncio
import os
import socket
import sys
import threading

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '../src'))
import penstock_client  # noqa: E402


class ScriptedServer:
    """Reads requests, and does what `play(connection, number, body)` says: `number` counts the requests of all connections
    from 0. It returns the bytes of an answer, or None to close the connection. `requests`: (connection, head, body)."""

    def __init__(self, play):
        self.play = play
        self.requests = []
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.url = f'http://127.0.0.1:{self.listener.getsockname()[1]}'
        self._lock = threading.Lock()
        self._sockets = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            self._sockets.append(sock)
            threading.Thread(target=self._serve, args=(sock, len(self._sockets) - 1), daemon=True).start()

    def _serve(self, sock, connection):
        try:
            with sock, sock.makefile('rb') as file:
                while self._serve_one(sock, file, connection):
                    pass
        except OSError:
            pass

    def _serve_one(self, sock, file, connection):
        head = b''
        while not head.endswith(b'\r\n\r\n'):
            line = file.readline()
            if not line:
                return False
            head += line
        length = next(int(line.split(b':')[1]) for line in head.lower().split(b'\r\n') if line.startswith(b'content-length'))
        body = file.read(length)
        with self._lock:
            number = len(self.requests)
            self.requests.append((connection, head.decode(), body))
        answer = self.play(sock, number, body)
        if answer is None:
            return False
        sock.sendall(answer)
        return b'connection: close' not in answer.lower()

    def close(self):
        for sock in [self.listener, *self._sockets]:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.listener.close()


class AwaitedClient:
    """An AsyncClient that is called like a Client."""

    def __init__(self, url, **options):
        self._loop = asyncio.new_event_loop()
        self._client = penstock_client.AsyncClient(url, **options)

    def model(self, *args, **names):
        return AwaitedModel(self._loop, self._client.model(*args, **names))

    def close(self):
        self._loop.run_until_complete(self._client.close())
        self._loop.close()


class AwaitedModel:
    def __init__(self, loop, model):
        self._loop = loop
        self._model = model

    def __getattr__(self, name):
        function = getattr(self._model, name)
        return lambda *args, **names: self._loop.run_until_complete(function(*args, **names))


@pytest.fixture
def serve():
    servers = []

    def start(play):
        servers.append(ScriptedServer(play))
        return servers[-1]
    yield start
    for server in servers:
        server.close()


@pytest.fixture(params=['threads', 'asyncio'])
def connect(request):
    """Client, or AsyncClient as if it were one."""
    clients = []
    if request.param == 'asyncio':
        pytest.importorskip('aiohttp')

    def make(url, **options):
        kind = penstock_client.Client if request.param == 'threads' else AwaitedClient
        clients.append(kind(url, **options))
        return clients[-1]
    make.kind = request.param
    yield make
    for client in clients:
        client.close()
