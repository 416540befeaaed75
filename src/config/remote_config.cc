// SPDX-License-Identifier: Apache-2.0
// The errors here begin with a verb, as in config_files.cc: the caller puts the file and the model
// before them.
#include "config/remote_config.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "config/declared_versions.h"
#include "penstock/model_options.pb.h"

namespace penstock {
namespace {

constexpr int kTargetsMax = 1000;
constexpr int kRemoteShardsMax = 1000;
constexpr std::string_view kShardNumber = "{i}";

StatusOr<RemoteVersion::Tls> ReadRemoteTls(const config::RemoteTls& from) {
  if (from.certificate_file().empty() != from.key_file().empty())
    return InvalidArgument(
        "tls has one of certificate_file and key_file; a client certificate needs both");
  return RemoteVersion::Tls{from.ca_file(), from.certificate_file(), from.key_file(),
                            from.server_name()};
}

template <typename Texts>
StatusOr<std::vector<RemoteTarget>> ReadTargets(const Texts& texts) {
  std::vector<RemoteTarget> targets;
  if (texts.empty()) return InvalidArgument("it has no targets");
  if (texts.size() > kTargetsMax)
    return InvalidArgument("it has {} targets, more than {}", texts.size(), kTargetsMax);
  for (const std::string& text : texts) {
    ASSIGN_OR_RETURN(RemoteTarget target, ParseRemoteTarget(text));
    if (std::ranges::find(targets, target) != targets.end())
      return InvalidArgument("it has the target '{}' twice", text);
    targets.push_back(std::move(target));
  }
  return targets;
}

// `model` with the number of the shard for each {i}.
std::string NameOfShard(std::string_view model, int number) {
  std::string name(model);
  for (size_t at = 0; (at = name.find(kShardNumber, at)) != std::string::npos;)
    name.replace(at, kShardNumber.size(), std::to_string(number));
  return name;
}

// Each target is asked for each shard.
Status ReadNumberedShards(const config::Remote& from, std::string_view name,
                          RemoteVersion& remote) {
  if (!from.shard().empty())
    return InvalidArgument(
        "it has both shards and shard {{ ... }}; say how many there are, or the targets of each");
  if (from.shards() < 1 || from.shards() > kRemoteShardsMax)
    return InvalidArgument("it has {} shards; there may be 1 to {}", from.shards(),
                           kRemoteShardsMax);
  const std::string model =
      from.model().empty() ? fmt::format("{}-{}", name, kShardNumber) : from.model();
  if (model.find(kShardNumber) == std::string::npos)
    return InvalidArgument(
        "its model '{:.200}' does not say where the number of the shard stands, as in '{:.200}-{}'",
        model, model, kShardNumber);
  ASSIGN_OR_RETURN(remote.targets, ReadTargets(from.targets()));
  for (int i = 0; i < from.shards(); ++i)
    remote.shards.push_back({NameOfShard(model, i), remote.targets});
  return OkStatus();
}

Status ReadListedShards(const config::Remote& from, std::string_view name, RemoteVersion& remote) {
  if (!from.targets().empty())
    return InvalidArgument("it has both targets and shard {{ ... }}, which has targets of its own");
  if (from.shard().size() > kRemoteShardsMax)
    return InvalidArgument("it has {} shards, more than {}", from.shard().size(), kRemoteShardsMax);
  for (int i = 0; i < from.shard().size(); ++i) {
    auto targets = ReadTargets(from.shard(i).targets());
    if (!targets.ok())
      return InvalidArgument("shard {} has a mistake: {}", i, MessageOf(targets.status()));
    for (const RemoteTarget& target : *targets) {
      if (std::ranges::find(remote.targets, target) == remote.targets.end())
        remote.targets.push_back(target);
    }
    remote.shards.push_back(
        {NameOfShard(from.model().empty() ? name : from.model(), i), *std::move(targets)});
  }
  return OkStatus();
}

Status ReadShards(const config::Remote& from, std::string_view name, RemoteVersion& remote) {
  if (from.shards() != 0) {
    TRY(ReadNumberedShards(from, name, remote));
  } else {
    TRY(ReadListedShards(from, name, remote));
  }
  if (!config::WhenShardFails_IsValid(from.when_shard_fails()))
    return InvalidArgument("its when_shard_fails is {}, which is none; say FAIL or DEFAULT_ROWS",
                           static_cast<int>(from.when_shard_fails()));
  remote.gives_default_rows = from.when_shard_fails() == config::DEFAULT_ROWS;
  // Tables only look up.
  remote.is_idempotent = true;
  return OkStatus();
}

StatusOr<RemoteVersion> ReadRemote(const config::Remote& from, std::string_view name) {
  RemoteVersion remote{.model = from.model().empty() ? std::string(name) : from.model(),
                       .label = from.label(),
                       .is_idempotent = from.idempotent(),
                       .token_file = from.token_file()};
  if (from.has_version()) remote.version = core::VersionNumber{from.version()};
  if (remote.version < core::VersionNumber{1})
    return InvalidArgument("its version is {}, but the first one is 1", remote.version.value);
  if (from.shards() != 0 || !from.shard().empty()) {
    TRY(ReadShards(from, name, remote));
  } else {
    if (from.when_shard_fails() != config::FAIL)
      return InvalidArgument("it has a when_shard_fails, but no shards");
    ASSIGN_OR_RETURN(remote.targets, ReadTargets(from.targets()));
  }
  if (from.has_model_version()) {
    if (!from.label().empty())
      return InvalidArgument("it has both a model_version and a label; name one of them");
    if (from.model_version() < 0)
      return InvalidArgument("the model_version {} is negative", from.model_version());
    remote.model_version = core::VersionNumber{from.model_version()};
  }
  remote.is_followed = !from.has_version() && !from.has_model_version() && from.label().empty();
  if (from.min_replicas() != 0) {
    if (!remote.is_followed)
      return InvalidArgument(
          "it has min_replicas, which only counts if the versions are those of the targets: leave "
          "out version, model_version and label");
    if (from.min_replicas() < 1 || from.min_replicas() > kTargetsMax)
      return InvalidArgument("its min_replicas is {}; it may be 1 to {}", from.min_replicas(),
                             kTargetsMax);
    remote.min_replicas = from.min_replicas();
  }
  if (from.has_tls()) {
    ASSIGN_OR_RETURN(remote.tls, ReadRemoteTls(from.tls()));
  }
  if (!remote.token_file.empty() && !remote.tls)
    return InvalidArgument("it has a token_file, but no tls: everybody could read the token");
  return remote;
}

bool IsAddress(const std::string& text) {
  std::array<unsigned char, 16> address;
  return inet_pton(AF_INET, text.c_str(), address.data()) == 1 ||
         inet_pton(AF_INET6, text.c_str(), address.data()) == 1;
}

// True for "ADDRESS", "ADDRESS:PORT", and the same of IPv6 with brackets.
bool IsDnsServer(std::string_view text) {
  const size_t colon = text.rfind(':');
  const bool has_port = colon != std::string_view::npos && !text.ends_with(']');
  std::string_view host = has_port ? text.substr(0, colon) : text;
  if (has_port) {
    uint16_t port = 0;
    const std::string_view number = text.substr(colon + 1);
    const auto [end, error] = std::from_chars(number.begin(), number.end(), port);
    if (error != std::errc() || end != number.end() || port == 0) return false;
  }
  const bool has_brackets = host.starts_with('[') && host.ends_with(']');
  if (has_brackets) host = host.substr(1, host.size() - 2);
  return IsAddress(std::string(host)) && (host.find(':') != std::string_view::npos) == has_brackets;
}

constexpr std::string_view kDnsScheme = "dns://";

}  // namespace

std::string RemoteTarget::ToString() const {
  const std::string text = host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                                               : fmt::format("[{}]:{}", host, port);
  return is_dns ? fmt::format("{}{}/{}", kDnsScheme, dns_server, text) : text;
}

StatusOr<RemoteTarget> ParseRemoteTarget(std::string_view text) {
  const auto wrong = [text](std::string_view why) {
    return InvalidArgument("the target '{:.200}' is no HOST:PORT: {}", text, why);
  };
  RemoteTarget target;
  std::string_view server = text;
  if (text.starts_with(kDnsScheme)) {
    const std::string_view rest = text.substr(kDnsScheme.size());
    const size_t slash = rest.find('/');
    if (slash == std::string_view::npos)
      return InvalidArgument(
          "the target '{:.200}' is no name in the DNS: write dns:///NAME:PORT, with three slashes",
          text);
    target.is_dns = true;
    target.dns_server = rest.substr(0, slash);
    if (!target.dns_server.empty() && !IsDnsServer(target.dns_server))
      return InvalidArgument(
          "the target '{:.200}' has the DNS server '{:.200}', which is no address: write "
          "dns://ADDRESS:PORT/NAME:PORT, or dns:///NAME:PORT for those of the system",
          text, target.dns_server);
    server = rest.substr(slash + 1);
  }
  const size_t colon = server.rfind(':');
  if (colon == std::string_view::npos) return wrong("it has no port");
  std::string_view host = server.substr(0, colon);
  const std::string_view number = server.substr(colon + 1);
  const auto [end, error] = std::from_chars(number.begin(), number.end(), target.port);
  if (error != std::errc() || end != number.end() || target.port == 0)
    return wrong("the port must be a number from 1 to 65535");
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return wrong("an address of IPv6 stands in brackets, as [::1]:8500");
  }
  const auto is_good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_' || c == ':' || c == '%';
  };
  if (host.empty() || !std::ranges::all_of(host, is_good))
    return wrong("it has no name or address of a host");
  if (target.is_dns && IsAddress(std::string(host)))
    return InvalidArgument("the target '{:.200}' asks the DNS for an address: write {}", text,
                           server);
  target.host = host;
  return target;
}

bool HaveSameConnections(const RemoteVersion& a, const RemoteVersion& b) {
  RemoteVersion like_b = a;
  like_b.targets = b.targets;
  // Without their number and names.
  for (size_t i = 0; i < std::min(a.shards.size(), b.shards.size()); ++i)
    like_b.shards[i].targets = b.shards[i].targets;
  like_b.min_replicas = b.min_replicas;
  return like_b == b;
}

uint64_t RevisionOf(const RemoteVersion& remote) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  const auto add = [&hash](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    hash = (hash ^ 0xff) * 0x100000001b3;
  };
  for (const RemoteTarget& target : remote.targets) add(target.ToString());
  add(remote.model);
  add(remote.model_version ? std::to_string(remote.model_version->value) : "");
  add(remote.label);
  add(remote.is_idempotent ? "idempotent" : "");
  if (remote.is_followed) add("followed " + std::to_string(remote.min_replicas));
  add(remote.token_file);
  if (remote.tls) {
    add("tls");
    for (const std::string* file : {&remote.tls->ca_file, &remote.tls->certificate_file,
                                    &remote.tls->key_file, &remote.tls->server_name})
      add(*file);
  }
  for (const RemoteShard& shard : remote.shards) {
    add("shard " + shard.model);
    for (const RemoteTarget& target : shard.targets) add(target.ToString());
  }
  if (remote.gives_default_rows) add("default rows");
  return hash;
}

StatusOr<std::vector<RemoteVersion>> ReadRemotes(const config::ModelOptions& options,
                                                 std::string_view name) {
  const auto read = [name](const config::Remote& from) { return ReadRemote(from, name); };
  ASSIGN_OR_RETURN(std::vector<RemoteVersion> remotes,
                   ReadDeclaredVersions<RemoteVersion>(options.remote(), "remote", read));
  if (remotes.size() > 1 && std::ranges::any_of(remotes, &RemoteVersion::is_followed))
    return InvalidArgument(
        "has several remotes, and one without a version, whose versions are those of its targets; "
        "give each a version");
  if (!remotes.empty()) TRY(CheckNoRunOptions(options, "a remote", "at the targets"));
  return remotes;
}

}  // namespace penstock
