// SPDX-License-Identifier: Apache-2.0
#include "remote/channel_options.h"

#include <memory>

namespace penstock::remote {

net::ChannelOptions ChannelOf(const FoundTarget& target, const RemoteVersion& remote,
                              const RemoteSettings& settings) {
  net::ChannelOptions options;
  options.host = target.host;
  options.port = target.port;
  options.name = target.name;
  if (remote.tls)
    options.tls = std::make_unique<net::ClientTlsOptions>(
        net::ClientTlsOptions{.ca_file = remote.tls->ca_file,
                              .certificate_file = remote.tls->certificate_file,
                              .key_file = remote.tls->key_file,
                              .server_name = remote.tls->server_name});
  options.connect_timeout = settings.connect_timeout;
  options.keepalive_time = settings.keepalive_time;
  options.keepalive_timeout = settings.keepalive_timeout;
  options.calls_max = settings.calls_max;
  return options;
}

}  // namespace penstock::remote
