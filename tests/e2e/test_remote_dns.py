# SPDX-License-Identifier: Apache-2.0
"""A remote model whose targets are the addresses of a name in a DNS that changes."""
import concurrent.futures
import contextlib

import grpc
import pytest
from tensorflow_serving.apis import prediction_service_pb2_grpc

from dns_server import DnsServer
from penstock_server import Server, eventually
from test_remote import Load, Servicer, metric, remote

HOSTS = ['127.0.0.2', '127.0.0.3', '127.0.0.4']


class Counting(Servicer):
    """Answers with its input, and counts."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def Predict(self, request, context):
        self.calls += 1
        return super().Predict(request, context)


@contextlib.contextmanager
def servers():
    """One server at each of HOSTS, all with the same port: (port, {host: servicer}, {host: server})."""
    port, servicers, running = 0, {}, {}
    for host in HOSTS:
        servicers[host] = Counting()
        running[host] = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicers[host], running[host])
        port = running[host].add_insecure_port(f'{host}:{port}')
        running[host].start()
    yield port, servicers, running
    for each in running.values():
        each.stop(0)


@pytest.mark.release_only
def test_targets_come_and_go_with_the_dns(tmp_path):
    with servers() as (port, servicers, running), DnsServer([HOSTS[0]]) as dns:
        flags = ['--remote_targets=dns://127.0.0.1:*/emb.models:*', '--remote_dns_interval_ms=100']
        models = {'half': remote(f'dns://{dns.address}/emb.models:{port}', more='idempotent: true')}
        with Server(tmp_path, models, flags) as root, Load(root, 'half', is_echo=True) as load:
            def reach(hosts):
                dns.addresses = list(hosts)
                eventually('the new targets', lambda: metric(root, 'penstock_remote_targets') == len(hosts))
                before = {host: servicers[host].calls for host in HOSTS}
                eventually('calls', lambda: load.bad or all(servicers[host].calls > before[host] for host in hosts))
                assert not load.bad

            reach(HOSTS[:1])
            reach(HOSTS)
            reach(HOSTS[1:])
            running[HOSTS[0]].stop(20).wait()  # nobody uses it any more
            load.more(100)
            # A DNS that does not know the name, or does not answer, changes nothing.
            dns.addresses = []
            eventually('failures', lambda: metric(root, 'penstock_remote_lookup_failures_total') > 0)
            dns.is_silent = True
            load.more(100)
            assert metric(root, 'penstock_remote_targets') == 2
            dns.is_silent = False
            reach(HOSTS[2:])
        assert not load.bad
        assert 'its targets stay as they are' in root.log()
