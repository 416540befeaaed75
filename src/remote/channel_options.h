// SPDX-License-Identifier: Apache-2.0
// How a remote model connects to its targets.
#pragma once

#include "config/remote_config.h"
#include "net/client/connection.h"
#include "remote/settings.h"
#include "remote/target_source.h"

namespace penstock::remote {

net::ChannelOptions ChannelOf(const FoundTarget& target, const RemoteVersion& remote,
                              const RemoteSettings& settings);

}  // namespace penstock::remote
