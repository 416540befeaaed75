#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the fuzz targets http1_fuzz, http2_fuzz, http2_client_fuzz, record_fuzz, example_fuzz, s3_listing_fuzz,
s3_answer_fuzz, onnx_fuzz, caffe2_fuzz, npy_fuzz, table_fuzz, extract_fuzz, resp_fuzz, token_file_fuzz and rest_grpc_fuzz: one
input for each form that the bytes take.

    fuzz/make_corpus.py [folder]     the default is fuzz/corpus

The first bytes of an input say how it is played; see the targets' sources.
"""
import gzip
import io
import json
import os
import struct
import sys
import zipfile

import hpack
import numpy as np
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '../tests/e2e'))
from caffe2_nets import Model, add_op  # noqa: E402


def gzipped(data):
    return gzip.compress(data, mtime=0)


# ------------------------------------------------------------------------------------------ HTTP/1.1

IN_PLACE, DRAIN, TICKS, DROP = 1, 2, 4, 8  # the second byte


def http1(*requests, step=0, how=0):
    return bytes([step, how]) + b''.join(requests)


def request(method='POST', path='/v1/echo', headers=(), body=b'', version='1.1', host=True):
    """`body`: with a Content-Length of its own, unless `headers` say otherwise."""
    lines = [f'{method} {path} HTTP/{version}'] + (['Host: h'] if host else []) + list(headers)
    framed = any(line.lower().startswith(('content-length', 'transfer-encoding')) for line in headers)
    if body and not framed:
        lines.append(f'Content-Length: {len(body)}')
    return '\r\n'.join(lines).encode() + b'\r\n\r\n' + body


CHUNKED = ('Transfer-Encoding: chunked',)
GZIP = 'Content-Encoding: gzip'
GET = request('GET', '/v1/echo')
BODY = b'{"instances":[1.0,2.0]}'


def chunks(*pieces, extension=b'', trailers=b''):
    return b''.join(b'%x%s\r\n%s\r\n' % (len(p), extension, p) for p in pieces) + b'0\r\n' + trailers + b'\r\n'


def http1_seeds():
    zipped = gzipped(BODY * 20)
    return {
        'get': http1(GET),
        'get_bytewise': http1(GET, step=1),
        'get_absolute': http1(request('GET', 'http://h/v1/echo?a=b&c')),
        'head': http1(request('HEAD', '/long')),
        'http10': http1(request('GET', version='1.0', host=False)),
        'http10_keep_alive': http1(request('GET', version='1.0', headers=['Connection: keep-alive']), GET),
        'close': http1(request('GET', headers=['Connection: close']), GET),
        'http2_version': http1(request('GET', version='2.0')),
        'empty_lines': http1(b'\r\n\n', GET, b'\r\n', GET),
        'length': http1(request(body=BODY)),
        'length_cut': http1(request(body=BODY), step=7),
        'length_missing': http1(request(body=BODY)[:-3]),
        'length_zero': http1(request(headers=['Content-Length: 0'])),
        'length_twice': http1(request(headers=['Content-Length: 3', 'Content-Length: 3'], body=b'abc')),
        'length_list': http1(request(headers=['Content-Length: 3, 3'], body=b'abc')),
        'length_signed': http1(request(headers=['Content-Length: +3'], body=b'abc')),
        'length_huge': http1(request(headers=['Content-Length: 99999999999999999999'])),
        'length_over_limit': http1(request(headers=['Content-Length: 16777216'], body=b'abc')),
        'length_and_chunked': http1(request(headers=['Content-Length: 3', *CHUNKED], body=b'0\r\n\r\n')),
        'chunked': http1(request(headers=CHUNKED, body=chunks(BODY))),
        'chunked_pieces': http1(request(headers=CHUNKED, body=chunks(b'a', b'bc', b'd' * 30)), GET, step=3),
        'chunked_extension': http1(request(headers=CHUNKED, body=chunks(BODY, extension=b';a="b c"')), step=5),
        'chunked_trailers': http1(request(headers=CHUNKED, body=chunks(BODY, trailers=b'X-Sum: 1\r\nX: y\r\n')), GET),
        'chunked_no_size': http1(request(headers=CHUNKED, body=b'\r\n\r\n')),
        'chunked_size_overflow': http1(request(headers=CHUNKED, body=b'ffffffffffffffff0\r\n')),
        'chunked_bare_lf': http1(request(headers=CHUNKED, body=b'3\nabc\n0\n\n')),
        'chunked_twice': http1(request(headers=[*CHUNKED, *CHUNKED], body=chunks(b'a'))),
        'chunked_last_not': http1(request(headers=['Transfer-Encoding: chunked, gzip'], body=chunks(b'a'))),
        'chunked_http10': http1(request(headers=CHUNKED, body=chunks(b'a'), version='1.0')),
        'chunked_gzip': http1(request(headers=[*CHUNKED, GZIP], body=chunks(zipped[:9], zipped[9:])), step=11),
        'gzip': http1(request(headers=[GZIP], body=zipped)),
        'gzip_cut_short': http1(request(headers=[GZIP], body=zipped[:-9])),
        'gzip_more_behind': http1(request(headers=[GZIP], body=zipped + b'more')),
        'gzip_two_members': http1(request(headers=[GZIP], body=zipped + zipped)),
        'gzip_not': http1(request(headers=[GZIP], body=BODY)),
        'gzip_bomb': http1(request(headers=[GZIP], body=gzipped(bytes(1 << 21)))),
        'gzip_answer': http1(request('GET', '/long', headers=['Accept-Encoding: br;q=0.5, gzip;q=0.8, *;q=0'])),
        'encoding_unknown': http1(request(headers=['Content-Encoding: br'], body=BODY), GET),
        'expect': http1(request(headers=['Expect: 100-continue'], body=BODY), step=90),
        'expect_unknown': http1(request(headers=['Expect: 200-ok'], body=BODY)),
        'expect_refused': http1(request(headers=['Expect: 100-continue', 'Content-Length: 16777216'])),
        'pipelined': http1(GET, request(body=BODY), GET, request(headers=CHUNKED, body=chunks(BODY)), GET),
        'pipelined_late': http1(request('GET', '/late'), GET, request(path='/late', body=BODY), GET, step=20),
        'pipelined_dropped': http1(request('GET', '/drop'), GET),
        'pipelined_refused': http1(request('GET', '/nowhere'), request('PUT', '/v1/echo', body=BODY), GET),
        'pipelined_many': http1(GET * 30, step=100),
        'preflight': http1(request('OPTIONS', '/v1/echo', headers=['Origin: http://h'])),
        'preflight_star': http1(request('OPTIONS', '*')),
        'folded': http1(request('GET', headers=['X: a', ' b'])),
        'no_host': http1(request('GET', host=False)),
        'two_hosts': http1(request('GET', headers=['Host: other'])),
        'space_before_colon': http1(request('GET', headers=['X : a'])),
        'no_colon': http1(request('GET', headers=['X'])),
        'obscure_bytes': http1(request('GET', '/v1/%2e%2e/\x7f', headers=['X-\xe9: \xff'])),
        'bare_lf': http1(GET.replace(b'\r\n', b'\n')),
        'no_head': http1(b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'),
        'head_too_large': http1(request('GET', headers=['X: ' + 'a' * 4200])),
        'target_too_long': http1(request('GET', '/' + 'a' * 4200), step=200),
        'large_in_place': http1(request(body=b'0123456789abcdef' * 600), GET, step=150, how=IN_PLACE),
        'drain': http1(GET, request(body=BODY), GET, step=30, how=DRAIN),
        'drain_late': http1(request('GET', '/late'), GET, step=25, how=DRAIN),
        'slow_head': http1(GET[:20], GET[20:], step=2, how=TICKS),
        'slow_body': http1(request(body=BODY), step=1, how=TICKS),
        'slow_answer': http1(request('GET', '/keep'), GET, step=1, how=TICKS),
        'lost': http1(request('GET', '/keep'), request(body=BODY)[:-2], step=30, how=DROP),
    }


# -------------------------------------------------------------------------------------------- HTTP/2

PREFACE, HALF_CLOSE, EARLY_DRAIN, SMALL_LIMITS, SLOW, LOST = 1, 2, 16, 32, 64, 128  # the first byte
FLUSH_4096 = 2 << 2
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK, PADDED, WITH_PRIORITY = 0x1, 0x4, 0x1, 0x8, 0x20
UNARY, STREAM, LATE, KEEP = b'/a/u', b'/a/s', b'/a/late', b'/a/keep'


def frame(kind, flags=0, stream=0, payload=b'', length=None):
    size = len(payload) if length is None else length
    return struct.pack('>I', size)[1:] + struct.pack('>BBI', kind, flags, stream) + payload


def settings(*pairs):
    return frame(SETTINGS, payload=b''.join(struct.pack('>HI', key, value) for key, value in pairs))


def block(fields, huffman=False):
    """Plain literals, which mutate well, unless `huffman`."""
    return hpack.Encoder().encode(fields, huffman=huffman)


def grpc_fields(path=UNARY, *more):
    return [(b':method', b'POST'), (b':scheme', b'http'), (b':path', path), (b':authority', b'h'),
            (b'content-type', b'application/grpc'), (b'te', b'trailers'), *more]


def plain_fields(method=b'GET', path=b'/', *more):
    return [(b':method', method), (b':scheme', b'http'), (b':path', path), (b':authority', b'h'), *more]


def headers(stream, fields, flags=END_HEADERS, huffman=False):
    return frame(HEADERS, flags, stream, block(fields, huffman))


def message(data, flag=0, length=None):
    return struct.pack('>BI', flag, len(data) if length is None else length) + data


def call(stream, data, path=UNARY, *more, flag=0):
    return headers(stream, grpc_fields(path, *more)) + frame(DATA, END_STREAM, stream, message(data, flag))


def http2(*frames, step=0, how=PREFACE):
    return bytes([how, step]) + settings() + b''.join(frames)


def padded(stream, data, padding=7, flags=END_STREAM):
    return frame(DATA, flags | PADDED, stream, bytes([padding]) + data + bytes(padding))


def grpc_seeds(predict):
    """Calls as clients make them, and as they should not."""
    early = grpc_fields(STREAM)
    zipped = gzipped(predict)
    return {
        'predict': http2(call(1, predict, b'/tensorflow.serving.PredictionService/Predict')),
        'predict_bytewise': http2(call(1, predict, b'/tensorflow.serving.PredictionService/Predict'), step=1),
        'predict_huffman': http2(headers(1, grpc_fields(b'/tensorflow.serving.PredictionService/Predict'), huffman=True),
                                 frame(DATA, END_STREAM, 1, message(predict))),
        'large_message': http2(call(1, predict * 150, b'/tensorflow.serving.PredictionService/Predict'), step=199),
        'message_in_pieces': http2(headers(1, grpc_fields()), *[frame(DATA, 0, 1, bytes([b])) for b in message(b'abc')],
                                   frame(DATA, END_STREAM, 1)),
        'streams': http2(*[call(i, predict) for i in range(1, 16, 2)], step=50),
        'streams_interleaved': http2(*[headers(i, grpc_fields()) for i in (1, 3, 5)],
                                     *[frame(DATA, 0, i, message(b'hello')[:7]) for i in (1, 3, 5)],
                                     *[frame(DATA, END_STREAM, i, message(b'hello')[7:]) for i in (5, 1, 3)]),
        'stream': http2(headers(1, early), frame(DATA, 0, 1, message(b'one') + message(b'two') + message(b'')[:3]),
                        frame(DATA, END_STREAM, 1, message(b'')[3:]), step=9),
        'stream_cut_short': http2(headers(1, early), frame(DATA, END_STREAM, 1, message(b'one')[:6])),
        'stream_unread': http2(headers(1, grpc_fields(b'/a/unread')), *[frame(DATA, 0, 1, message(b'x' * 40))] * 4),
        'late': http2(call(1, b'a', LATE), call(3, b'b'), step=40),
        'kept': http2(call(1, b'a', KEEP), call(3, b'b', KEEP), step=40),
        'kept_and_lost': http2(call(1, b'a', KEEP), call(3, b'b', LATE), how=PREFACE | LOST, step=60),
        'deadline': http2(call(1, b'a', KEEP, (b'grpc-timeout', b'1n')), call(3, b'a', KEEP, (b'grpc-timeout', b'1S'))),
        'deadline_bad': http2(call(1, b'a', UNARY, (b'grpc-timeout', b'99999999999H'))),
        'no_message': http2(headers(1, grpc_fields(), END_HEADERS | END_STREAM)),
        'two_messages': http2(headers(1, grpc_fields()), frame(DATA, END_STREAM, 1, message(b'a') * 2)),
        'message_too_long': http2(headers(1, grpc_fields()), frame(DATA, END_STREAM, 1, message(b'', length=1 << 31))),
        'flag_unknown': http2(call(1, b'a', flag=7)),
        'gzip': http2(call(1, zipped, UNARY, (b'grpc-encoding', b'gzip'), (b'grpc-accept-encoding', b'identity,gzip'), flag=1)),
        'gzip_stream': http2(headers(1, grpc_fields(STREAM, (b'grpc-encoding', b'gzip'))),
                             frame(DATA, END_STREAM, 1, message(zipped, 1) + message(b'plain')), step=13),
        'gzip_not_said': http2(call(1, zipped, flag=1)),
        'gzip_broken': http2(call(1, zipped[:-4], UNARY, (b'grpc-encoding', b'gzip'), flag=1)),
        'gzip_bomb': http2(call(1, gzipped(bytes(1 << 21)), UNARY, (b'grpc-encoding', b'gzip'), flag=1)),
        'encoding_unknown': http2(call(1, b'a', UNARY, (b'grpc-encoding', b'snappy'))),
        'compressed_answer': http2(call(1, b'abc' * 400, b'/a/gzip', (b'grpc-accept-encoding', b'gzip'))),
        'metadata': http2(call(1, b'a', UNARY, (b'x-bin', b'AAEC'), (b'x-bin', b'!'), (b'user-agent', b'fuzz/1'))),
        'unknown_method': http2(call(1, b'a', b'/no/such'), call(3, b'b', b'')),
        'content_type': http2(headers(1, [*plain_fields(b'POST', UNARY), (b'content-type', b'application/grpc+proto')]),
                              frame(DATA, END_STREAM, 1, message(b'a'))),
        'grpc_get': http2(headers(1, [*plain_fields(b'GET', UNARY), (b'content-type', b'application/grpc')], 5)),
        'requests_over_limit': http2(*[call(i, b'a', KEEP) for i in range(1, 12, 2)], how=PREFACE | SMALL_LIMITS),
        'message_over_limit': http2(call(1, b'a' * 3000), how=PREFACE | SMALL_LIMITS),
    }


def plain_seeds():
    """HTTP without gRPC."""
    return {
        'get': http2(headers(1, plain_fields(), END_HEADERS | END_STREAM)),
        'get_query': http2(headers(1, plain_fields(b'GET', b'/?a=b'), END_HEADERS | END_STREAM)),
        'head': http2(headers(1, plain_fields(b'HEAD'), END_HEADERS | END_STREAM)),
        'post': http2(headers(1, plain_fields(b'POST', b'/', (b'content-length', b'5'))), frame(DATA, END_STREAM, 1, b'hello')),
        'post_length_wrong': http2(headers(1, plain_fields(b'POST', b'/', (b'content-length', b'9'))),
                                   frame(DATA, END_STREAM, 1, b'hello')),
        'post_gzip': http2(headers(1, plain_fields(b'POST', b'/', (b'content-encoding', b'gzip'))),
                           frame(DATA, END_STREAM, 1, gzipped(b'hello' * 9))),
        'post_expect': http2(headers(1, plain_fields(b'POST', b'/', (b'expect', b'100-continue'))),
                             frame(DATA, END_STREAM, 1, b'hello')),
        'post_refused_early': http2(headers(1, plain_fields(b'POST', b'/nowhere')), frame(DATA, 0, 1, b'hello'), step=60),
        'plain_to_grpc': http2(headers(1, plain_fields(b'POST', UNARY)), frame(DATA, END_STREAM, 1, b'hello')),
        'long_answer': http2(headers(1, plain_fields(b'GET', b'/long', (b'accept-encoding', b'gzip')), 5)),
        'head_too_large': http2(headers(1, plain_fields(b'GET', b'/', (b'x', b'a' * 1500)), 5), how=PREFACE | SMALL_LIMITS),
        'head_far_too_large': http2(headers(1, plain_fields(b'GET', b'/', *[(b'x', b'a' * 900)] * 16), 5),
                                    how=PREFACE | SMALL_LIMITS),
    }


def frame_seeds():
    """What frames may do."""
    fields = block(grpc_fields())
    body = frame(DATA, END_STREAM, 1, message(b'hello'))
    tiny_window = settings((4, 3), (5, 16384))
    update = struct.pack('>I', 40)
    return {
        'continuation': http2(frame(HEADERS, 0, 1, fields[:9]), frame(CONTINUATION, 0, 1, fields[9:20]),
                              frame(CONTINUATION, END_HEADERS, 1, fields[20:]), body, step=4),
        'continuation_interrupted': http2(frame(HEADERS, 0, 1, fields[:9]), frame(PING, payload=bytes(8)), body),
        'continuation_alone': http2(frame(CONTINUATION, END_HEADERS, 1, fields)),
        'continuations_empty': http2(frame(HEADERS, 0, 1, fields), *[frame(CONTINUATION, 0, 1)] * 20),
        'padding': http2(frame(HEADERS, END_HEADERS | PADDED, 1, b'\5' + fields + bytes(5)), padded(1, message(b'hello'))),
        'padding_too_long': http2(headers(1, grpc_fields()), frame(DATA, PADDED, 1, b'\x09abc')),
        'padding_only': http2(headers(1, grpc_fields()), padded(1, b'', 255, 0), body),
        'priority': http2(frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, struct.pack('>IB', 0, 15) + fields),
                          frame(PRIORITY, 0, 3, struct.pack('>IB', 1 | 1 << 31, 255)), body),
        'priority_on_itself': http2(frame(PRIORITY, 0, 3, struct.pack('>IB', 3, 1))),
        'trailers': http2(headers(1, grpc_fields()), frame(DATA, 0, 1, message(b'hello')),
                          headers(1, [(b'x-sum', b'1')], END_HEADERS | END_STREAM)),
        'trailers_without_end': http2(headers(1, grpc_fields()), headers(1, [(b'x-sum', b'1')])),
        'reset': http2(headers(1, grpc_fields()), frame(RST_STREAM, 0, 1, struct.pack('>I', 8)), call(3, b'a')),
        'reset_late': http2(call(1, b'a', LATE), frame(RST_STREAM, 0, 1, struct.pack('>I', 8)), step=60),
        'reset_of_kept': http2(call(1, b'a', KEEP), call(3, b'b', STREAM), frame(RST_STREAM, 0, 1, struct.pack('>I', 8))),
        'reset_of_idle': http2(frame(RST_STREAM, 0, 9, struct.pack('>I', 8))),
        'ping': http2(frame(PING, payload=b'12345678'), frame(PING, ACK, 0, b'penstock'), call(1, b'a')),
        'ping_short': http2(frame(PING, payload=b'123')),
        'goaway': http2(call(1, b'a'), frame(GOAWAY, payload=struct.pack('>II', 0, 0) + b'bye'), call(3, b'b')),
        'settings': http2(settings((1, 0), (2, 0), (3, 5), (4, 70000), (5, 65535), (6, 900)), frame(SETTINGS, ACK),
                          call(1, b'a')),
        'settings_bad': http2(settings((2, 7))),
        'settings_window_overflow': http2(headers(1, grpc_fields()), settings((4, 1 << 31))),
        'settings_ack_with_payload': http2(frame(SETTINGS, ACK, 0, b'12')),
        'push_promise': http2(frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack('>I', 2) + fields)),
        'unknown_frame': http2(frame(0xbe, 0xff, 1, b'abc'), call(1, b'a')),
        'window': http2(tiny_window, call(1, b'hello' * 10), *[frame(WINDOW_UPDATE, 0, 1, update)] * 2, step=30),
        'window_never': http2(tiny_window, call(1, b'hello' * 10), call(3, b'a', STREAM)),
        'window_shrinks': http2(headers(1, grpc_fields(STREAM)), frame(DATA, 0, 1, message(b'hello' * 10)), tiny_window,
                                frame(DATA, 0, 1, message(b'hello')), frame(WINDOW_UPDATE, 0, 1, update), step=50),
        'window_overflow': http2(call(1, b'a', KEEP), frame(WINDOW_UPDATE, 0, 1, struct.pack('>I', (1 << 31) - 1))),
        'window_zero': http2(frame(WINDOW_UPDATE, 0, 0, bytes(4))),
        'ids_go_down': http2(call(5, b'a'), call(3, b'b')),
        'even_id': http2(call(2, b'a')),
        'data_on_idle': http2(frame(DATA, END_STREAM, 7, b'abc')),
        'data_behind_end': http2(call(1, b'a', KEEP), body),
        'frame_too_large': http2(frame(DATA, 0, 1, b'', length=(1 << 24) - 1)),
        'hpack_index_bad': http2(frame(HEADERS, END_HEADERS | END_STREAM, 1, b'\xff\xff\xff\xff\x0f')),
        'hpack_table_size': http2(frame(HEADERS, END_HEADERS, 1, b'\x3f\xe1\x1f\x20' + fields), body),
        'upper_case_header': http2(headers(1, [*grpc_fields(), (b'X', b'a')]), body),
        'pseudo_header_late': http2(headers(1, [(b'a', b'b'), *grpc_fields()]), body),
        'pseudo_header_unknown': http2(headers(1, [(b':what', b'b'), *grpc_fields()]), body),
        'no_preface': http2(call(1, b'a'), how=0),
        'half_close': http2(call(1, b'a', KEEP), call(3, b'b'), how=PREFACE | HALF_CLOSE, step=60),
        'flush_4096': http2(*[call(i, b'x' * 500) for i in (1, 3, 5)], how=PREFACE | FLUSH_4096),
        'drain': http2(headers(1, grpc_fields()), call(3, b'a', KEEP), frame(PING, ACK, 0, b'penstock'), body, call(5, b'b'),
                       how=PREFACE | EARLY_DRAIN, step=50),
        'slow_head': http2(frame(HEADERS, 0, 1, fields[:9]), how=PREFACE | SLOW, step=1),
        'slow_message': http2(headers(1, grpc_fields()), frame(DATA, 0, 1, b'\0\0\0\0\3'), how=PREFACE | SLOW, step=2),
    }


# ------------------------------------------------------------------------------------------ TFRecord


def record(data, length=None):
    """With checksums of zero, which the target makes right if the input begins with an odd byte."""
    return struct.pack('<QI', len(data) if length is None else length, 0) + data + bytes(4)


def field(number, data):
    return bytes([number << 3 | 2, len(data)]) + data


def record_seeds():
    tensor = field(2, b'') + b'\x08\x01' + field(4, struct.pack('<f', 1.5))
    request = field(1, field(1, b'm')) + field(2, field(1, b'x') + field(2, tensor))
    predict = field(6, field(1, request))
    return {
        'predict': b'\1' + record(predict),
        'several': b'\1' + record(predict) + record(b'') + record(field(2, field(1, b''))) + record(predict),
        'other_kinds': b'\1' + b''.join(record(field(i, field(1, b''))) for i in (1, 2, 3, 4, 5, 7)),
        'no_message': b'\1' + record(b'\xff' * 20),
        'cut': b'\1' + record(predict) + record(predict)[:-9],
        'length_too_long': b'\1' + record(predict, 1 << 62),
        'sums_wrong': b'\0' + record(predict),
        'sums_right': b'\0\3\0\0\0\0\0\0\0\xb0\x99I\x0eabcnW\xf1!',  # "abc", by TensorFlow's writer
    }


# ------------------------------------------------------------------------------------------ Examples

BYTES, FLOATS, INTS = 1, 2, 3


def feature(name, kind, values):
    return field(1, field(1, name) + field(2, field(kind, values)))


def example_seeds():
    f, v = feature(b'f', FLOATS, field(1, struct.pack('<ff', 1, 2))), feature(b'v', FLOATS, field(1, bytes(8)))
    single = feature(b'f', FLOATS, b'\x0d' + struct.pack('<f', 1) + b'\x0d' + struct.pack('<f', 2))
    more = (feature(b'i', INTS, field(1, b'\x05')) + feature(b's', BYTES, field(1, b'text'))
            + feature(b'o', INTS, b'\x08\x07') + feature(b'z', BYTES, b''))
    def request(kind, *examples, context=None):
        body = b''.join(field(1, field(1, each)) for each in examples)
        return field(1, field(1, b'm')) + field(2, field(kind, body + (field(2, field(1, context)) if context else b'')))
    tasks = field(1, field(1, field(1, b'm')) + field(2, b'tensorflow/serving/classify'))
    return {
        'plain': request(1, f + v, v + f + more, f + v),
        'single_values': request(1, single + v),
        'context': request(2, b'', f, context=f + v + more),
        'replaced': request(1, f + v + feature(b'f', INTS, b'\x08\x01\x08\x02')),
        'pieces': request(1, f + v) + request(2, f + v, context=more) + request(2, v, context=f),
        'split_feature': request(1, field(1, field(1, b'f') + field(2, field(FLOATS, field(1, bytes(4)))) * 2) + v),
        'tasks': tasks + request(1, f + v)[5:],
        'none': request(1),
    }


# ------------------------------------------------------------------------------------------ S3


def listing(*parts):
    return b'<ListBucketResult>' + b''.join(parts) + b'</ListBucketResult>'


def listed(key=b'm/1/a', size=b'5', etag=b'&quot;abc&quot;', time=b'2026-11-22T12:00:00.000Z'):
    return (b'<Contents><Key>%s</Key><Size>%s</Size><ETag>%s</ETag><LastModified>%s</LastModified></Contents>' %
            (key, size, etag, time))


ESCAPED = b'<EncodingType>url</EncodingType>'
MORE = b'<IsTruncated>true</IsTruncated>'
TOKEN = b'<NextContinuationToken>a&amp;b</NextContinuationToken>'
FOLDER = b'<CommonPrefixes><Prefix>m/2/</Prefix></CommonPrefixes>'
S3_ERROR = b'<Error><Code>NoSuchKey</Code><Message>It is gone</Message></Error>'


def s3_listing_seeds():
    head = b'<?xml version="1.0" encoding="UTF-8"?>'
    return {
        'objects': head + listing(listed(), listed(b'm/1/b/c', b'0'), FOLDER),
        'escaped': listing(ESCAPED, listed(b'm/1/a+b%2Bc%41%'), FOLDER),
        'more': listing(MORE, TOKEN, listed()),
        'more_without_token': listing(MORE, listed()),
        'token_long': listing(MORE, TOKEN.replace(b'>a', b'>' + b'a' * 9000)),
        'key_dots': listing(listed(b'm/1/../../x'), listed(b'm/1/./x'), listed(b'm/1/..')),
        'key_dots_escaped': listing(ESCAPED, listed(b'm/1/%2e%2e%2fx')),
        'key_absolute': listing(listed(b'/etc/passwd'), listed(b'm/1//etc/passwd')),
        'key_zero': listing(ESCAPED, listed(b'm/1/a%00b')),
        'key_long': listing(listed(b'm/1/' + b'a' * 1100)),
        'key_of_another': listing(listed(b'm/2/a')),
        'key_missing': listing(b'<Contents><Size>1</Size></Contents>'),
        'marker': listing(listed(b'm/1/', b'0'), listed(b'm/1/../', b'0')),
        'size_negative': listing(listed(size=b'-1')),
        'size_largest': listing(listed(size=b'18446744073709551615')),
        'size_overflow': listing(listed(size=b'18446744073709551616')),
        'sizes_overflow': listing(*[listed(size=b'9223372036854775807')] * 3),
        'etag_with_lines': listing(listed(etag=b'a&#13;&#10;x: y')),
        'time_far': listing(listed(time=b'9999-12-31T23:59:59'), listed(time=b'0000-01-01T00:00:00')),
        'time_odd': listing(listed(time=b'2026-13-41T25:61:61'), listed(time=b'yesterday')),
        'many': listing(listed() * 8),
        'deep': listing(b'<a>' * 200 + b'</a>' * 200),
        'cdata': listing(b'<Contents><Key><![CDATA[m/1/<a>]]></Key><Size>1</Size></Contents>'),
        'document_type': b'<!DOCTYPE a [<!ENTITY b "c">]>' + listing(listed(b'm/1/&b;')),
        'utf16': listing(listed()).decode().encode('utf-16'),
        'cut': listing(listed())[:-9],
        'error': S3_ERROR,
    }


IS_NEW, LIST, HAS_NO_HASH = 1, 2, 4  # the first byte


def s3_answer(how, status=b'200 OK', body=b'', *headers, length=True):
    lines = [b'HTTP/1.1 ' + status, *headers] + ([b'Content-Length: %d' % len(body)] if length else [])
    return bytes([how]) + b'\r\n'.join(lines) + b'\r\n\r\n' + body


def s3_answer_seeds():
    page = listing(listed(), FOLDER)
    date, partial = b'Date: Sun, 22 Nov 2026 12:00:00 GMT', b'206 Partial Content'
    chunked = b'Transfer-Encoding: chunked'
    region = b'x-amz-bucket-region: eu-west-9'
    return {
        'list': s3_answer(LIST, b'200 OK', page, date),
        'list_chunked': s3_answer(LIST, b'200 OK', chunks(page[:9], page[9:], trailers=b'X: y\r\n'), chunked, length=False),
        'list_until_closed': s3_answer(LIST, b'200 OK', page, length=False),
        'list_does_not_end': s3_answer(LIST, b'200 OK', listing(MORE, TOKEN)),
        'list_refused': s3_answer(LIST, b'403 Forbidden', S3_ERROR.replace(b'NoSuchKey', b'ExpiredToken')),
        'list_elsewhere': s3_answer(LIST, b'301 Moved', S3_ERROR, region),
        'list_date_odd': s3_answer(LIST, b'200 OK', page, b'Date: Sun, 99 Nov 9999 12:00:00 GMT'),
        'object': s3_answer(IS_NEW, b'200 OK', b'hello'),
        'object_damaged': s3_answer(IS_NEW, b'200 OK', b'hallo'),
        'object_longer': s3_answer(IS_NEW, b'200 OK', b'hello and more'),
        'object_cut': s3_answer(IS_NEW, b'200 OK', b'hello')[:-2],
        'object_length_huge': s3_answer(IS_NEW, b'200 OK', b'hello', b'Content-Length: 18446744073709551615', length=False),
        'object_checksums': s3_answer(IS_NEW, b'200 OK', b'hello', b'x-amz-checksum-crc32: NhCmhg==',
                                      b'x-amz-checksum-crc32c: mnG7TA==',
                                      b'x-amz-checksum-sha256: LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ='),
        'object_checksums_odd': s3_answer(IS_NEW, b'200 OK', b'hello', b'x-amz-checksum-crc32: ====',
                                          b'x-amz-checksum-crc32c: mnG7TA==-2', b'x-amz-checksum-sha256: !'),
        'object_encrypted': s3_answer(IS_NEW, b'200 OK', b'hallo', b'x-amz-server-side-encryption: aws:kms'),
        'object_gone': s3_answer(IS_NEW, b'404 Not Found', S3_ERROR),
        'object_changed': s3_answer(IS_NEW, b'412 Precondition Failed'),
        'rest': s3_answer(0, partial, b'llo', b'Content-Range: bytes 2-4/5'),
        'rest_of_another': s3_answer(HAS_NO_HASH, partial, b'llo', b'Content-Range: bytes 1-3/5'),
        'rest_without_range': s3_answer(HAS_NO_HASH, partial, b'llo'),
        'rest_range_overflow': s3_answer(0, partial, b'llo', b'Content-Range: bytes 2-18446744073709551615/*'),
        'rest_all_of_it': s3_answer(0, b'200 OK', b'hello'),
        'rest_not_there': s3_answer(0, b'416 Range Not Satisfiable'),
        'continue': s3_answer(IS_NEW, b'100 Continue', length=False) + s3_answer(0, b'200 OK', b'hello')[1:],
        'no_http': b'\1SSH-2.0-server\r\n\r\n',
        'nothing': b'\1',
    }


# ------------------------------------------------------------------------------------------ ONNX

def labels_model():
    """Class labels of a classifier that a Normalizer follows, and of scores among which ArgMax chooses."""
    node, ml, value, floats = helper.make_node, {'domain': 'ai.onnx.ml'}, helper.make_tensor_value_info, TensorProto.FLOAT
    nodes = [node('LinearClassifier', ['x'], ['a', 'b'], coefficients=[1., 0., 0., 1.], intercepts=[0., 0.],
                  classlabels_ints=[10, 20], **ml),
             node('Normalizer', ['b'], ['c'], norm='L1', **ml),
             node('Exp', ['x'], ['d']), node('Softmax', ['d'], ['e']), node('ArgMax', ['d'], ['f'], axis=1),
             node('ArrayFeatureExtractor', ['labels', 'f'], ['g'], **ml)]
    labels = helper.make_tensor('labels', TensorProto.STRING, [2], [b'ham', b'spam'])
    graph = helper.make_graph(nodes, 'g', [value('x', floats, ['n', 2])],
                              [value('c', floats, ['n', 2]), value('e', floats, ['n', 2])], [labels])
    return helper.make_model(graph).SerializeToString()


def old_habits_model():
    """Attributes that operator set 7 has no longer, as exporters wrote them."""
    numbers = [helper.make_tensor(name, TensorProto.FLOAT, [3], [1, 2, 3]) for name in 'sbmv']
    nodes = [helper.make_node('BatchNormalization', ['x', *'sbmv'], ['n'], spatial=0, is_test=1, consumed_inputs=[0, 0, 0, 1, 1]),
             helper.make_node('Dropout', ['n'], ['d'], ratio=0.5, is_test=1),
             helper.make_node('BatchNormalization', ['d', 'm', *'bsv'], ['y'], spatial=1)]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 2, 2]) for name in 'xy']
    graph = helper.make_graph(nodes, 'g', values[:1], values[1:], numbers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 7)], ir_version=3,
                             producer_name='CNTK').SerializeToString()


def onnx_seeds():
    """The smaller models of the tests."""
    models = os.path.join(HERE, '../tests/models')
    seeds = {}
    for name in ('any_rank_onnx', 'constants_onnx', 'defaults_onnx', 'external_onnx', 'loop_onnx', 'scalars_onnx',
                 'sequence_onnx', 'zipmap_onnx'):
        with open(os.path.join(models, name, '1/model.onnx'), 'rb') as file:
            seeds[name.removesuffix('_onnx')] = file.read()
    with open(os.path.join(models, 'shapes_ort_format/1/model.ort'), 'rb') as file:
        seeds['ort_format'] = file.read()
    seeds['labels_behind_operators'] = labels_model()
    seeds['old_habits'] = old_habits_model()
    seeds['two_graphs'] = seeds['external'] + seeds['zipmap']
    seeds['nothing'] = b''
    return seeds


def extract_seeds():
    """Models with look-up tables: one, shared and cast; one that is used elsewhere; packed numbers."""
    node, value = helper.make_node, helper.make_tensor_value_info

    def model(nodes, tables, inputs=(('ids', TensorProto.INT64, ['n']),), outputs=('y',)):
        graph = helper.make_graph(nodes, 'g', [value(*each) for each in inputs],
                                  [value(name, TensorProto.FLOAT, None) for name in outputs], tables)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8).SerializeToString()

    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    raw, packed = numpy_helper.from_array(rows, 't'), helper.make_tensor('t', TensorProto.FLOAT, rows.shape, rows.ravel())
    small = helper.make_tensor('t', TensorProto.INT8, (2, 2), [1, -1, 2, -2])
    one = [node('Gather', ['t', 'ids'], ['y'])]
    return {
        'one_table': model(one, [raw]),
        'packed': model(one, [packed]),
        'int8': model([node('Gather', ['t', 'ids'], ['r']), node('Cast', ['r'], ['y'], to=TensorProto.FLOAT)], [small]),
        'cast_and_shared': model([node('Cast', ['ids'], ['i'], to=TensorProto.INT32), node('Gather', ['t', 'i'], ['a']),
                                  node('Gather', ['t', 'ids'], ['b'], axis=-2), node('Add', ['a', 'b'], ['y'])], [raw]),
        'tied': model([node('Gather', ['t', 'ids'], ['a']), node('MatMul', ['a', 't'], ['y'])], [raw]),
    }


# -------------------------------------------------------------------------------------------- Caffe2

def caffe2(model):
    nets = (net.SerializeToString(deterministic=True) for net in (model.init, model.predict))
    return json.dumps(model.inputs).encode() + b'\0' + b''.join(struct.pack('<I', len(net)) + net for net in nets)


def caffe2_image_net(order):
    model = Model()
    model.input('x', *((1, 4, 6, 6) if order == 'NCHW' else (1, 6, 6, 4)))
    model.weights('w', *((4, 2, 3, 3) if order == 'NCHW' else (4, 3, 3, 2)))
    for name in ('b', 'scale', 'bias', 'mean', 'variance'):
        model.weights(name, 4)
    model.op('Conv', ['x', 'w', 'b'], 'x', order=order, kernel=3, group=2, legacy_pad=2)
    model.op('SpatialBN', ['x', 'scale', 'bias', 'mean', 'variance'], 'x', order=order, is_test=1, epsilon=0.1)
    model.op('LRN', 'x', ['lrn', 'scaled'], order=order, size=3, alpha=0.1, beta=0.5)
    model.op('ChannelShuffle', 'lrn', 'shuffled', order=order, group=2)
    model.op('Concat', ['lrn', 'shuffled'], ['joined', 'split_info'], order=order)
    model.op('MaxPool', 'joined', 'pooled', order=order, kernel_h=3, kernel_w=2, stride=2, pad=1, legacy_pad=3)
    model.op('AveragePool', 'pooled', 'mean_of_all', order=order, global_pooling=1)
    model.op('FC', ['mean_of_all', model.weights('w2', 3, 8), model.weights('b2', 3)], 'fc')
    model.op('Softmax', 'fc', 'y')
    return caffe2(model.output('y'))


def caffe2_shapes():
    model = Model()
    model.input('x', 2, 3, 4)
    model.input('z', 2, 3, 4)
    add_op(model.init, 'ConstantFill', [], 'c', shape=[3], value=2.0)
    add_op(model.init, 'ConstantFill', ['c'], 'd', extra_shape=[4], value=1.5)
    model.given('shape', np.array([0, 2, -1]))
    model.op('Add', ['x', 'c'], 'x', broadcast=1, axis=1)
    model.op('Mul', ['x', 'd'], 'y', broadcast=1)
    model.op('Sum', ['y', 'z'], 'y')
    model.op('Add', ['y', 'z'], 'y')
    model.op('Transpose', 'y', 'turned', axes=[0, 2, 1])
    model.op('Reshape', ['turned', 'shape'], ['shaped', 'old'])
    model.op('Reshape', 'shaped', ['shaped2', 'old2'], shape=[2, 12])
    model.op('Flatten', 'shaped2', 'flat', axis=1)
    model.op('Dropout', 'flat', ['flat', 'mask'], is_test=1)
    model.op('Relu', 'flat', 'flat')
    return caffe2(model.output('flat', 'old'))


def caffe2_seeds():
    return {'image': caffe2_image_net('NCHW'), 'image_nhwc': caffe2_image_net('NHWC'), 'shapes': caffe2_shapes()}


# --------------------------------------------------------------------------------------------- numpy

def npy(array, version=None):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    return file.getvalue()


def npz(method, **arrays):
    """As numpy.savez writes it, with a fixed date, so that the seeds do not change."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', method) as archive:
        for name, array in arrays.items():
            archive.writestr(zipfile.ZipInfo(f'{name}.npy'), npy(array), method)
    return file.getvalue()


def npy_seeds():
    x = np.arange(6, dtype='<f4').reshape(2, 3)
    return {
        'floats': npy(x),
        'floats_version_3': npy(x, (3, 0)),
        'scalar': npy(np.int64(7)),
        'nothing': npy(np.zeros((0, 2), dtype='<u2')),
        'fortran': npy(np.asfortranarray(x)),
        'big_endian': npy(np.array([1 + 2j], dtype='>c16')),
        'bools': npy(np.array([True, False])),
        'bytes': npy(np.array([b'a', b'long'])),
        'texts': npy(np.array(['\u00e4', '\U0001f600x'])),
        'raw': npy(np.zeros(2, dtype='V2')),
        'records': npy(np.zeros(1, dtype=[('a', 'i4')])),
        'stored': npz(zipfile.ZIP_STORED, x=x, y=np.array([b'a'])),
        'deflated': npz(zipfile.ZIP_DEFLATED, x=np.zeros(100)),
    }


# ----------------------------------------------------------------------------------------- token files

def token_file_seeds():
    token_hash = b'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'  # of "abc"
    caller = (b'caller { name: "a" token_sha256: "' + token_hash + b'" certificate { dns: "client" }\n'
              b'  allow { operation: [INFER, STATUS] model: "a" model: "b*" } allow { operation: METRICS } }\n')
    anonymous = b'anonymous { allow { operation: STATUS model: "*" } }'
    return {
        'token': caller + b'\0Bearer abc',
        'certificate': caller + b'\0',
        'wrong_token': caller + anonymous + b'\0Bearer abd',
        'wrong_scheme': caller + b'\0Basic abc',
        'anonymous': anonymous,
        'twice': caller + caller,
        'bad_hash': b'caller { name: "a" token_sha256: "abc" allow { operation: ADMIN model: "*" } }',
        'bad_pattern': caller.replace(b'"b*"', b'"*b"'),
        'all_names': b'caller { name: "\\303\\244" certificate { uri: "u" } certificate { email: "e" }'
                     b' certificate { common_name: "c" } allow { operation: ADMIN model: "*" } }',
    }


def table_seeds():
    manifest = {'format': 1, 'key_type': 'int64', 'dtype': 'float32', 'dimension': 2, 'default_row': [0.5, -1],
                'shard': {'index': 0, 'count': 1, 'hash': 'mix64'}, 'checksums': {'key': 'crc32c:e3069283'}}

    def seed(index=b'', keys=struct.pack('<3q', 7, 8, 9), **changes):
        text = json.dumps({name: value for name, value in {**manifest, **changes}.items() if value is not None})
        return text.encode() + b'\0' + bytes([len(keys)]) + keys + index

    return {
        'int64': seed(),
        'string': seed(keys=b'red\ngreen\n\nblue', key_type='string'),
        'dense': seed(key_type='dense', checksums=None, default_row=0),
        'twice': seed(keys=struct.pack('<2q', 1, 1)),
        'not_whole': seed(keys=b'1234567'),
        'npy': seed(key_type='dense', rows='rows.npy', dimension=None, default_row=None),
        'random_index': seed(index=bytes(range(256)) * 2),
        'empty': b'{}\0',
    }


# ------------------------------------------------------------------------------------- REST against gRPC

# The second byte of a :predict body: the position of the model in rest_grpc_fuzz.cc.
FLOAT, DOUBLE, INT32, UINT8, STRING, INT64, BOOL, COMPLEX64, UINT64, HALF = 0, 1, 2, 3, 6, 7, 8, 9, 18, 19
SEVERAL, ANY = 21, 22


def rest_grpc_seeds():
    def predict(model, body):
        return b'p' + bytes([model]) + body

    def examples(body):
        return b'e\0' + body

    rows = [b'{"a": 1.5, "b": [1, -2], "c_bytes": {"b64": "AP8="}, "d": true}',
            b'{"d": false, "c_bytes": "\xc3\xa4", "b": [3, 4], "a": -1e-3}']
    return {
        'floats': predict(FLOAT, b'{"instances": [[1, 2.5], [NaN, -Infinity], [1e39, -0]]}'),
        'floats_named': predict(FLOAT, b'{"inputs": {"a": [0.1, 1e-50, 16777217], "other": [null]}}'),
        'doubles': predict(DOUBLE, b'{"inputs": [2.2250738585072011e-308, 1.7976931348623157e308, 1e400]}'),
        'int32': predict(INT32, b'{"inputs": [[2147483647], [-2147483648]]}'),
        'int32_too_large': predict(INT32, b'{"inputs": 2147483648}'),
        'int32_with_point': predict(INT32, b'{"inputs": [1.0]}'),
        'uint8': predict(UINT8, b'{"instances": [0, 255, -0]}'),
        'int64': predict(INT64, b'{"inputs": [9223372036854775807, -9223372036854775808]}'),
        'uint64': predict(UINT64, b'{"inputs": [18446744073709551615]}'),
        'bools': predict(BOOL, b'{"inputs": [[true], [false]]}'),
        'strings': predict(STRING, b'{"instances": ["\\u00e4\\ud83d\\ude00\\n", {"b64": "/w"}, ""]}'),
        'string_of_bytes': predict(STRING, b'{"inputs": {"b64": "/w=="}}'),
        'pairs': predict(COMPLEX64, b'{"instances": [[1, -2.5], [NaN, 0]]}'),
        'halves': predict(HALF, b'{"inputs": [65504, 65520, 5.9604644775390625e-8, 1.00048828125]}'),
        'empty_lists': predict(FLOAT, b'{"inputs": [[], []]}'),
        'ragged': predict(FLOAT, b'{"instances": [[1], [1, 2]]}'),
        'rows': predict(SEVERAL, b'{"signature_name": "serving_default", "instances": [' + b','.join(rows) + b']}'),
        'rows_without_optional': predict(SEVERAL, b'{"instances": [{"a": 1, "b": 2, "c_bytes": ""}]}'),
        'columns': predict(SEVERAL, b'{"inputs": {"a": [1], "b": 2, "c_bytes": [[]]}, "signature_name": "x"}'),
        'any_rows': predict(ANY, b'{"instances": [{"x": 1, "y": "a"}, {"x": 2.5, "y": "b"}]}'),
        'any_columns': predict(ANY, b'{"inputs": {"x": [[1, 99999999999999999999]], "y": true, "z": []}}'),
        'any_value': predict(ANY, b'\xef\xbb\xbf{"inputs": {"b64": "YQ=="}} and more'),
        'examples': examples(b'{"examples": [{"f": [1.5, 2], "i": 3, "o": [4], "s": "a", "v": []}]}'),
        'examples_with_context': examples(b'{"context": {"s": {"b64": "/w=="}, "f": [1.0, NaN]}, '
                                          b'"examples": [{"v": [1.0, 2.0]}, {"v": [true, false]}], "signature_name": ""}'),
        'examples_beyond_int64': examples(b'{"examples": [{"i": 9223372036854775808}]}'),
        'examples_beyond_uint64': examples(b'{"examples": [{"v": [18446744073709551616, 1.0]}]}'),
        'request': b'r' + bytes(range(256)),
        'request_of_ones': b'r' + b'\xff' * 400,
        'request_of_zeros': b'r' + bytes(200),
    }


def write(folder, seeds):
    os.makedirs(folder, exist_ok=True)
    for name, data in seeds.items():
        with open(os.path.join(folder, name), 'wb') as file:
            file.write(data)


def http2_client_seeds():
    """What servers answer, and what they should not."""
    head = [(b':status', b'200'), (b'content-type', b'application/grpc')]
    good, bad = [(b'grpc-status', b'0')], [(b'grpc-status', b'5'), (b'grpc-message', b'no%20model')]

    def answer(stream, data, trailers):
        end = headers(stream, trailers, END_HEADERS | END_STREAM)
        return headers(stream, head) + frame(DATA, 0, stream, message(data)) + end

    def from_server(*frames, step=0, how=1):
        return bytes([how, step]) + b''.join(frames)

    return {
        'answers': from_server(*[answer(i, b'hello', good) for i in (5, 1, 3)]),
        'bytewise': from_server(answer(1, b'hello', good), step=1),
        'landing': from_server(answer(1, bytes(9000), good), step=99, how=5),
        'error': from_server(headers(1, head + bad, END_HEADERS | END_STREAM)),
        'no_status': from_server(headers(1, head), frame(DATA, END_STREAM, 1, message(b'a'))),
        'page': from_server(headers(1, [(b':status', b'503'), (b'content-type', b'text/html')]), frame(DATA, END_STREAM, 1,
                            b'<p>')),
        'too_long': from_server(headers(1, head), frame(DATA, 0, 1, message(b'', length=1 << 31))),
        'over_limit': from_server(answer(1, bytes(100), good), how=9),
        'head_over_limit': from_server(headers(1, [*head, (b'x', b'a' * 600)]), how=9),
        'compressed': from_server(headers(1, head), frame(DATA, 0, 1, message(b'a', 1))),
        'two_messages': from_server(headers(1, head), frame(DATA, 0, 1, message(b'a') * 2)),
        'reset': from_server(*[frame(RST_STREAM, 0, i, struct.pack('>I', code)) for i, code in ((1, 7), (3, 8), (5, 11))]),
        'goaway': from_server(frame(GOAWAY, payload=struct.pack('>II', 1, 0)), answer(1, b'late', good), how=65, step=17),
        'goaway_twice': from_server(frame(GOAWAY, payload=struct.pack('>II', (1 << 31) - 1, 0)),
                                    frame(GOAWAY, payload=struct.pack('>II', 0, 2))),
        'cancelled': from_server(answer(3, b'hello', good), step=20, how=3),
        'early_answer': from_server(headers(1, head + bad, END_HEADERS | END_STREAM),
                                    frame(WINDOW_UPDATE, 0, 0, struct.pack('>I', 1 << 20)), how=17),
        'one_stream': from_server(settings((3, 1)), answer(1, b'a', good), answer(3, b'b', good)),
        'ping': from_server(frame(PING, payload=b'12345678'), frame(PING, ACK, 0, bytes(8)), how=33),
        'push': from_server(frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack('>I', 2))),
        'no_settings': from_server(answer(1, b'a', good), how=0),
        'http1': from_server(b'HTTP/1.1 400 Bad Request\r\n\r\n', how=0),
        'interim': from_server(headers(1, [(b':status', b'100')]), answer(1, b'a', good)),
    }


def resp_seeds():
    node = b'*3\r\n$9\r\n127.0.0.1\r\n:7000\r\n$2\r\nid\r\n'
    return {
        'rows': b'*4\r\n$1\r\n1\r\n$4\r\nabcd\r\n$-1\r\n$4\r\n\r\n\r\n\r\n',
        'block': b'$4\r\nabcd\r\n$0\r\n\r\n',
        'slots': b'*1\r\n*4\r\n:0\r\n:16383\r\n' + 2 * node,
        'redirects': b'-MOVED 3999 127.0.0.1:6381\r\n-ASK 1 ::1:6381\r\n-ASK 1 :2\r\n-TRYAGAIN x\r\n',
        'simple': b'+OK\r\n:42\r\n_\r\n*0\r\n*-1\r\n',
        'deep': 9 * b'*1\r\n',
    }


def main():
    corpus = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, 'corpus')
    with open(os.path.join(HERE, 'corpus/predict_fuzz/content'), 'rb') as file:
        predict = file.read()
    write(os.path.join(corpus, 'http1_fuzz'), http1_seeds())
    write(os.path.join(corpus, 'http2_fuzz'), {**grpc_seeds(predict), **plain_seeds(), **frame_seeds()})
    write(os.path.join(corpus, 'http2_client_fuzz'), http2_client_seeds())
    write(os.path.join(corpus, 'record_fuzz'), record_seeds())
    write(os.path.join(corpus, 'example_fuzz'), example_seeds())
    write(os.path.join(corpus, 's3_listing_fuzz'), s3_listing_seeds())
    write(os.path.join(corpus, 's3_answer_fuzz'), s3_answer_seeds())
    write(os.path.join(corpus, 'onnx_fuzz'), onnx_seeds())
    write(os.path.join(corpus, 'caffe2_fuzz'), caffe2_seeds())
    write(os.path.join(corpus, 'npy_fuzz'), npy_seeds())
    write(os.path.join(corpus, 'table_fuzz'), table_seeds())
    write(os.path.join(corpus, 'extract_fuzz'), extract_seeds())
    write(os.path.join(corpus, 'resp_fuzz'), resp_seeds())
    write(os.path.join(corpus, 'token_file_fuzz'), token_file_seeds())
    write(os.path.join(corpus, 'rest_grpc_fuzz'), rest_grpc_seeds())


if __name__ == '__main__':
    main()
