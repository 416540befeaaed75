# SPDX-License-Identifier: Apache-2.0
"""A gRPC client of one connection that takes little time itself: the requests are bytes that were made before, and of an answer
only the frames' heads are looked at. One call at a time."""
import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
WINDOW = 2**31 - 1


def frame(kind, flags, stream, payload):
    return struct.pack(">IBBI", len(payload), kind, flags, stream)[1:] + payload


def literal(index, value):
    """A header field of HPACK that is not kept: its name is that of the static table."""
    prefix = bytes([index]) if index < 15 else bytes([15, index - 15])
    return prefix + bytes([len(value)]) + value


class GrpcCaller:
    def __init__(self, port, path):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.head = (b"\x83\x86" + literal(4, path.encode()) + literal(1, b"localhost") + literal(31, b"application/grpc")
                     + b"\x00\x02te\x08trailers")
        self.stream = 1
        self.buffer = bytearray(1 << 20)
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, WINDOW))
                            + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW - 65535)))

    def prepare(self, message):
        """The frames of a request, whose stream is set when it is sent."""
        data = b"\0" + struct.pack(">I", len(message)) + message
        chunks = [data[at:at + 16384] for at in range(0, len(data), 16384)]
        frames = [frame(HEADERS, END_HEADERS, 0, self.head)]
        frames += [frame(DATA, END_STREAM if chunk is chunks[-1] else 0, 0, chunk) for chunk in chunks]
        places, at = [], 0
        for each in frames:
            places.append(at + 5)
            at += len(each)
        return bytearray(b"".join(frames)), places

    def call(self, prepared):
        """Sends a request and waits for its answer. Returns the bytes of the answer's messages; raises if there are none."""
        request, places = prepared
        stream = struct.pack(">I", self.stream)
        for place in places:
            request[place:place + 4] = stream
        self.socket.sendall(request)
        have, received = 0, 0
        view = memoryview(self.buffer)
        while True:
            count = self.socket.recv_into(view[have:])
            if count == 0:
                raise RuntimeError("the server has closed the connection")
            have += count
            at = 0
            is_answered = False
            while have - at >= 9:
                size = int.from_bytes(view[at:at + 3])
                if have - at < 9 + size:
                    break
                kind, flags = view[at + 3], view[at + 4]
                if kind == DATA:
                    received += size
                if kind in (DATA, HEADERS) and flags & END_STREAM:
                    is_answered = True
                elif kind == SETTINGS and not flags & ACK:
                    self.socket.sendall(frame(SETTINGS, ACK, 0, b""))
                elif kind == PING and not flags & ACK:
                    self.socket.sendall(frame(PING, ACK, 0, bytes(view[at + 9:at + 17])))
                elif kind == GOAWAY:
                    raise RuntimeError("the server ends the connection")
                at += 9 + size
            view[:have - at] = view[at:have]
            have -= at
            if is_answered:
                break
        if received == 0:
            raise RuntimeError("the call has failed")
        if received > 0:
            self.socket.sendall(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", received)))
        self.stream += 2
        return received
