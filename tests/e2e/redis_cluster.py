# SPDX-License-Identifier: Apache-2.0
"""A real Redis cluster on loopback, three masters with a replica each, and tables in it, which `penstock table push` writes."""
import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import redis
from redis.cluster import ClusterNode, RedisCluster

SENTINEL = b'\0'
SLOTS = 16384


def mix(key):
    key &= 2**64 - 1
    key = (key ^ key >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    key = (key ^ key >> 27) * 0x94D049BB133111EB % 2**64
    return key ^ key >> 31


def hash_of(key):
    if isinstance(key, int):
        return mix(key)
    value = 0xCBF29CE484222325
    for byte in key:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return mix(value)


def field_of(key):
    if isinstance(key, int):
        return str(key).encode()
    return b'\0' + key if key.startswith(b'\0') else key


def free_ports(count):
    """Ports whose bus port, 10000 above, is free, too."""
    ports = []
    while len(ports) < count:
        with socket.socket() as probe, socket.socket() as bus:
            probe.bind(('127.0.0.1', 0))
            port = probe.getsockname()[1]
            if port > 55000 or port in ports:
                probe.close()
                with socket.socket() as low:
                    port = 20000 + (os.getpid() * 7 + time.monotonic_ns() // 1000) % 30000
                    try:
                        low.bind(('127.0.0.1', port))
                    except OSError:
                        continue
            try:
                bus.bind(('127.0.0.1', port + 10000))
            except OSError:
                continue
            if port not in ports:
                ports.append(port)
    return ports


class Node:
    def __init__(self, folder, port, options):
        self.port = port
        self.folder = os.path.join(folder, str(port))
        os.makedirs(self.folder)
        arguments = {'port': port, 'bind': '127.0.0.1', 'dir': self.folder, 'cluster-enabled': 'yes', 'save': '',
                     'appendonly': 'no', 'cluster-node-timeout': 1000, 'cluster-config-file': 'nodes.conf',
                     'repl-diskless-sync-delay': 0, 'repl-ping-replica-period': 1, 'daemonize': 'no',
                     'logfile': os.path.join(self.folder, 'log'), **options}
        command = ['redis-server']
        for name, value in arguments.items():
            command += [f'--{name}', str(value)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.client = redis.Redis(port=port, password=options.get('requirepass'), socket_timeout=20)

    def wait(self, is_true, what):
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                if is_true():
                    return
            except redis.exceptions.RedisError:
                pass
            time.sleep(0.02)
        raise TimeoutError(f'node {self.port}: {what}')


def raw(node, *command):
    """The answer as the node gives it: redis-py changes those that it knows."""
    connection = node.client.connection_pool.get_connection()
    try:
        connection.send_command(*command)
        return connection.read_response()
    finally:
        node.client.connection_pool.release(connection)


class Cluster:
    """with Cluster() as cluster: ..."""

    def __init__(self, safe=True, options=None):
        self.folder = tempfile.mkdtemp(prefix='redis')
        options = dict(options or {})
        if safe:
            options = {'cluster-require-full-coverage': 'no', 'cluster-allow-reads-when-down': 'yes', **options}
        self.nodes = [Node(self.folder, port, options) for port in free_ports(6)]
        try:
            self._join()
        except BaseException:
            self.close()
            raise

    def _join(self):
        for node in self.nodes:
            node.wait(lambda node=node: node.client.ping(), 'does not start')
        masters, replicas = self.nodes[:3], self.nodes[3:]
        for number, node in enumerate(masters):
            node.client.execute_command('CLUSTER', 'ADDSLOTSRANGE', number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1)
        for node in self.nodes[1:]:
            node.client.execute_command('CLUSTER', 'MEET', '127.0.0.1', self.nodes[0].port)
        self.ids = {node.port: raw(node, 'CLUSTER', 'MYID') for node in self.nodes}
        for master, replica in zip(masters, replicas):
            replica.wait(lambda master=master, replica=replica: replica.client.execute_command(
                'CLUSTER', 'REPLICATE', self.ids[master.port]), 'cannot become a replica')
        for node in self.nodes:
            node.wait(lambda node=node: b'cluster_state:ok' in raw(node, 'CLUSTER', 'INFO'), 'is not ok')
            # Two numbers, a master and a replica for each range.
            node.wait(lambda node=node: [len(part) for part in raw(node, 'CLUSTER', 'SLOTS')] == [4, 4, 4],
                      'does not know the replicas')
        for replica in replicas:
            replica.wait(lambda: replica.client.info('replication')['master_link_status'] == 'up', 'is not in sync')

    def client(self):
        password = self.nodes[0].client.connection_pool.connection_kwargs.get('password')
        return RedisCluster(startup_nodes=[ClusterNode('127.0.0.1', node.port) for node in self.nodes],
                            password=password, socket_timeout=20)

    def addresses(self):
        return [f'127.0.0.1:{node.port}' for node in self.nodes]

    def close(self):
        for node in self.nodes:
            if node.process.poll() is None:
                node.process.send_signal(signal.SIGCONT)
                node.process.kill()
            node.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def write_folder(folder, rows):
    """The folder of a version. rows: bytes by key, or a list of bytes for dense keys; elements are float32."""
    os.makedirs(folder)
    values = rows if isinstance(rows, list) else list(rows.values())
    key_type = 'dense' if isinstance(rows, list) else 'string' if rows and isinstance(next(iter(rows)), bytes) else 'int64'
    if key_type == 'int64':
        with open(f'{folder}/key', 'wb') as file:
            file.write(struct.pack(f'<{len(rows)}q', *rows))
    elif key_type == 'string':
        with open(f'{folder}/keys.txt', 'wb') as file:
            file.write(b''.join(key + b'\n' for key in rows))
    with open(f'{folder}/emb_vector', 'wb') as file:
        file.write(b''.join(values))
    with open(f'{folder}/table.json', 'w', encoding='ascii') as file:
        json.dump({'key_type': key_type, 'dtype': 'float32', 'dimension': len(values[0]) // 4}, file)
    return folder


def push_command(binary, address, table, folder, *flags):
    return [binary, 'table', 'push', f'--redis={address}', f'--table={table}', *flags, folder]


def push(binary, address, table, rows, *flags):
    """Makes rows the next generation of the table, and returns what is said about it."""
    with tempfile.TemporaryDirectory() as folder:
        command = push_command(binary, address, table, write_folder(f'{folder}/1', rows), *flags)
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextlib.contextmanager
def single_node(folder, options=None):
    """A cluster of one node."""
    node = Node(str(folder), free_ports(1)[0], options or {})
    try:
        node.wait(node.client.ping, 'does not start')
        node.client.execute_command('CLUSTER', 'ADDSLOTSRANGE', 0, SLOTS - 1)
        node.wait(lambda: b'cluster_state:ok' in raw(node, 'CLUSTER', 'INFO'), 'is not ok')
        yield node
    finally:
        node.process.kill()
        node.process.wait()
