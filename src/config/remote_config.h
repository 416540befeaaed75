// SPDX-License-Identifier: Apache-2.0
// Reads the remote versions of a model from its configuration.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "core/servable.h"

namespace penstock::config {
class ModelOptions;
}

namespace penstock {

// The base path of models that other servers run. No configuration names it.
inline constexpr std::string_view kRemotePath = "remote:";

// A server: a name or an address, and a port. Or all servers that have a name in the DNS. Plain
// data.
struct RemoteTarget {
  std::string host;  // of IPv6 without brackets
  uint16_t port = 0;
  bool is_dns = false;           // each address of the name is a server
  std::string dns_server = {};   // "ADDRESS" or "ADDRESS:PORT"; empty: those of the system
  std::string ToString() const;  // as in the configuration
  bool operator==(const RemoteTarget&) const = default;
};

// Parses "host:port", "[address]:port", "dns:///name:port" or "dns://address:port/name:port".
// INVALID_ARGUMENT says what is wrong.
StatusOr<RemoteTarget> ParseRemoteTarget(std::string_view text);

// A shard of a table. Plain data.
struct RemoteShard {
  std::string model = {};  // its name at the targets
  std::vector<RemoteTarget> targets = {};
  bool operator==(const RemoteShard&) const = default;
};

// A version of a model that other servers run. Plain data.
struct RemoteVersion {
  // The files of the encryption; see config::RemoteTls.
  struct Tls {
    std::string ca_file, certificate_file, key_file, server_name;
    bool operator==(const Tls&) const = default;
  };

  core::VersionNumber version{1};
  // The versions are those that the targets have; `version` and `model_version` mean nothing.
  bool is_followed = false;
  int min_replicas = 1;                    // targets that must have a version before it is served
  std::vector<RemoteTarget> targets = {};  // all of them, if there are shards
  std::string model = {};                  // its name there, if there are no shards
  std::optional<core::VersionNumber> model_version = std::nullopt;
  std::string label = {};
  bool is_idempotent = false;
  std::optional<Tls> tls = std::nullopt;
  std::string token_file = {};
  std::vector<RemoteShard> shards = {};  // of a table; empty: the targets have all of the model
  bool gives_default_rows = false;       // for the keys of a shard that fails
  bool operator==(const RemoteVersion&) const = default;
};

// True if only the targets, or the number of them that must have a version, differ.
bool HaveSameConnections(const RemoteVersion& a, const RemoteVersion& b);

// True if a model with these has the versions of its targets.
inline bool IsFollowed(const std::vector<RemoteVersion>& remotes) {
  return !remotes.empty() && remotes.front().is_followed;
}

// Changes with each difference of two versions.
uint64_t RevisionOf(const RemoteVersion& remote);

// The remote versions of the model `name`. Empty: it is none. Errors: INVALID_ARGUMENT; the message
// continues a sentence that starts with the model's name.
StatusOr<std::vector<RemoteVersion>> ReadRemotes(const config::ModelOptions& options,
                                                 std::string_view name);

}  // namespace penstock
