# SPDX-License-Identifier: Apache-2.0
"""`penstock graphpipe` in place of graphpipe-tf and graphpipe-onnx: their flags, variables and kinds of models, with the
public Python client."""
import http.server
import json
import os
import signal
import socket
import subprocess
import threading

import numpy as np
import pytest
import requests
import tensorflow as tf
from graphpipe import remote

from conftest import SAMPLES
from penstock_server import BINARY, SLOWNESS, eventually
from test_caffe2 import mlp
from test_graphpipe import infer_message

pytestmark = [pytest.mark.release_only, pytest.mark.runtimes]
X = np.float32([[1, 2, 5], [7, 4, 4]])
# With --listen=after_load, which is the default, the port would not be open when the helper asks it.
AT_START = ['-l', '127.0.0.1:0', '--listen=at_start']


def frozen(factor=0.5):
    """A graph: half = x * factor, sum = half + 2 + a, top = the largest two of half. Its first input is x."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 3], 'x')
        a = tf.compat.v1.placeholder(tf.float32, [None, 3], 'a')
        half = tf.multiply(x, factor, 'half')
        tf.add(half + 2.0, a, 'sum')
        tf.math.top_k(half, 2, name='top')
    return graph.as_graph_def().SerializeToString()


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    path = tmp_path_factory.mktemp('graphs') / 'net.pb'
    path.write_bytes(frozen())
    return str(path)


@pytest.fixture
def serve(start, tmp_path):
    """serve(flags...): (the server, its URL); its temporary files are in tmp_path/tmp, and gone at the end."""
    (tmp_path / 'tmp').mkdir()

    def serve_model(*flags, env=None, program=(BINARY, 'graphpipe')):
        server = start(flags=[*AT_START, *map(str, flags)], program=program, env={'TMPDIR': str(tmp_path / 'tmp'), **(env or {})})
        return server, f'http://127.0.0.1:{server.graphpipe_port}/'
    yield serve_model
    for server in start.servers:
        server.stop()
    assert not [name for name in os.listdir(tmp_path / 'tmp') if name.startswith('penstock')]


@pytest.fixture(scope='module')
def web():
    """(the address of a web server, {path: what it has there})"""
    files = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = files.get(self.path.partition('?')[0])
            self.send_response(404 if body is None else 200)
            self.send_header('Content-Length', str(len(body or b'')))
            self.end_headers()
            self.wfile.write(body or b'')

        def log_message(self, *args):
            pass
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}', files
    server.shutdown()


def read(path):
    with open(path, 'rb') as file:
        return file.read()


def refusal(*flags, env=None):
    done = subprocess.run([BINARY, 'graphpipe', *map(str, flags)], capture_output=True, text=True, timeout=60 * SLOWNESS,
                          check=False, env={**os.environ, **(env or {})})
    assert (done.returncode, done.stdout) == (1, ''), done
    return done.stderr


def test_a_frozen_graph_with_the_tensors_found_in_it(graph, serve):
    server, url = serve('--model', graph)
    assert remote.get_input_names(url) == ['x:0', 'a:0']
    assert remote.get_output_names(url) == ['sum:0', 'top:0', 'top:1']
    page = json.loads(server.get('/', server.graphpipe_port)[1])
    assert (page['Name'], page['Inputs'][0]['Shape'], page['Inputs'][0]['Type']) == ('net', [-1, 3], 10)
    ones = np.ones_like(X)
    total, top, index = remote.execute_multi(url, [X, ones], None, None)
    np.testing.assert_allclose(total, X / 2 + 3)
    assert top.tolist() == [[2.5, 1.0], [3.5, 2.0]] and index.tolist() == [[2, 1], [0, 1]]
    for names, outputs in ((['x', 'a'], ['top:1', 'sum']), (['x:0', 'a:0'], ['top:1', 'sum:0'])):
        index, total = remote.execute_multi(url, [X, ones], names, outputs)
        np.testing.assert_allclose(total, X / 2 + 3)
        assert index.tolist() == [[2, 1], [0, 1]]
    with pytest.raises(requests.HTTPError):
        remote.execute_multi(url, [X, ones], ['x', 'y'], ['sum'])


def test_flags_name_the_tensors(graph, serve):
    _, url = serve('-m', graph, '-i', 'half', '-o', 'top:1,top', '--engine-count=2', '-v')
    assert remote.get_input_names(url) == ['half:0']
    index, top = remote.execute_multi(url, [X], None, None)
    assert top.tolist() == [[5, 2], [7, 4]] and index.tolist() == [[2, 1], [0, 1]]


def test_further_tensors_can_be_named(graph, serve):
    _, url = serve('-m', graph, '-o', 'top', '-i', 'x', '--more-outputs=half,top:1')
    assert remote.execute(url, X).tolist() == [[2.5, 1], [3.5, 2]]
    np.testing.assert_allclose(remote.execute(url, X, None, 'half:0'), X / 2)


def test_variables_and_a_link_with_the_old_name(graph, tmp_path):
    """The port opens when the model is loaded, as that of graphpipe-tf did."""
    link = tmp_path / 'graphpipe-tf'
    link.symlink_to(BINARY)
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    url = f'http://127.0.0.1:{port}/'
    process = subprocess.Popen([link, f'--listen=127.0.0.1:{port}'], stderr=subprocess.PIPE, text=True, env={
        **os.environ, 'GP_MODEL': graph, 'GP_INPUTS': 'x', 'GP_OUTPUTS': 'half', 'GP_SHAPE': '1'})
    try:
        def answer():
            try:
                return remote.execute(url, X)
            except requests.ConnectionError:
                assert process.poll() is None
                return None
        def is_right():
            found = answer()
            return found is not None and np.array_equal(found, X / 2)
        eventually('an answer', is_right, 60)
    finally:
        process.terminate()
        log = process.communicate(timeout=60 * SLOWNESS)[1]
    assert process.returncode == 0
    assert 'the variable GP_SHAPE has no effect; those that have are GP_MODEL' in log


def test_a_cached_model_from_a_url_keeps_its_rows(serve, web, tmp_path):
    address, files = web
    files['/net.pb'] = frozen()
    cache = tmp_path / 'rows'

    def ask(server, rows):
        status, headers, _ = server.request('POST', '/', infer_message([rows], ['x'], ['half']), port=server.graphpipe_port)
        return status, headers['x-penstock-cache']
    flags = ('--model', f'{address}/net.pb?token=secret', '-i', 'x', '-o', 'half', '--cache', '--cache-dir', cache)
    server, _ = serve(*flags)
    assert ask(server, X) == (200, 'miss')
    assert ask(server, X[1:]) == (200, 'hit')
    assert 'secret' not in server.log()
    server.stop()
    server, _ = serve(*flags)
    assert ask(server, X) == (200, 'hit')
    server.stop()
    # Another model at the same address, of the same size: its answers are its own.
    files['/net.pb'] = frozen(0.25)
    server, url = serve(*flags)
    assert ask(server, X) == (200, 'miss')
    np.testing.assert_allclose(remote.execute(url, X), X / 4)


def test_a_saved_model(serve):
    _, url = serve('--model', f'{SAMPLES}/half_plus_two/1')
    (name,), (output,) = remote.get_input_names(url), remote.get_output_names(url)
    assert name.endswith(':0') and output.endswith(':0')  # tensors of the graph, not the signature's x and y
    x = np.float32([1, 2, 5])
    for value in (remote.execute(url, x), remote.execute(url, x, name[:-2], output)):
        np.testing.assert_allclose(value, x / 2 + 2)


def test_onnx_and_caffe2(serve, web, tmp_path):
    address, files = web
    files['/half.onnx'] = read(f'{SAMPLES}/half_plus_two_onnx/1/model.onnx')
    server, url = serve('--model', f'{address}/half.onnx', '--value_inputs=any.json', '--disable-cuda')
    x = np.float32([1, 2, 5])
    np.testing.assert_allclose(remote.execute(url, x), x / 2 + 2)
    assert '--value-inputs has no effect with --model' in server.log()
    model, folder = mlp(), tmp_path / 'mlp'
    model.save(folder)
    files['/weights'] = read(folder / 'init_net.pb')
    _, url = serve('--init_net', f'{address}/weights', '--predict_net', folder / 'predict_net.pb',
                   env={'GP_VALUE_INPUTS': str(folder / 'value_inputs.json')})
    feeds = model.feeds(4)
    np.testing.assert_allclose(remote.execute(url, feeds['data']), model.run(feeds)['y'], rtol=1e-5, atol=1e-5)


def test_what_cannot_be_served_is_said(tmp_path, web):
    (tmp_path / 'net.zip').write_bytes(b'PK\x03\x04')
    for flags, text in (
            ((), 'no model: give --model'),
            (('--model', tmp_path / 'none.pb'), 'none.pb: No such file or directory'),
            (('--model', tmp_path / 'net.zip'), 'it is an archive: unpack it'),
            (('--model', f'{SAMPLES}/half_plus_two/1/saved_model.pb'), 'give the folder that it lies in'),
            (('--model', f'{web[0]}/none.pb'), 'the server does not have it (HTTP status 404)'),
            (('--model', 'http://127.0.0.1:1/m.pb'), 'cannot connect to 127.0.0.1:1'),
            (('--model', 'm.pb', '--listen=9000'), 'expected ADDRESS:PORT'),
            (('--model', 'm.pb', '--model_base_path=/m'), '--model_base_path is for `penstock serve`')):
        assert text in refusal(*flags), flags


def test_a_stop_during_a_download_leaves_nothing(tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as silent:
        process = subprocess.Popen([BINARY, 'graphpipe', '-m', f'http://127.0.0.1:{silent.getsockname()[1]}/net.pb'],
                                   stderr=subprocess.PIPE, env={**os.environ, 'TMPDIR': str(tmp_path)})
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(1)  # so the folder is there
            assert os.listdir(tmp_path)
            process.terminate()
            process.communicate(timeout=60 * SLOWNESS)
    assert process.returncode == -signal.SIGTERM
    assert not os.listdir(tmp_path)
