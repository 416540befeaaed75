# SPDX-License-Identifier: Apache-2.0
"""A DNS server on loopback whose answers a test changes."""
import socket
import socketserver
import struct
import threading


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        message, sender = self.request
        server = self.server
        server.questions += 1
        if server.is_silent:
            return
        end = message.index(b'\0', 12) + 5  # of the question
        question = message[12:end]
        is_ipv4 = struct.unpack('!H', question[-4:-2])[0] == 1
        addresses = server.addresses if is_ipv4 else []
        code = 0x8180 if server.addresses else 0x8183  # NXDOMAIN
        answer = message[:2] + struct.pack('!HHHHH', code, 1, len(addresses), 0, 0) + question
        for address in addresses:
            answer += b'\xc0\x0c' + struct.pack('!HHIH', 1, 1, 1, 4) + socket.inet_aton(address)
        sender.sendto(answer, self.client_address)


class DnsServer(socketserver.UDPServer):
    """Answers every question for an IPv4 address with `addresses`; none: the name does not exist."""

    def __init__(self, addresses=()):
        super().__init__(('127.0.0.1', 0), Handler)
        self.addresses, self.is_silent, self.questions = list(addresses), False, 0
        self.address = f'127.0.0.1:{self.server_address[1]}'
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        self.thread.join()
        self.server_close()
