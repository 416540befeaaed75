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

StatusOr<RemoteVersion::Tls> ReadRemoteTls(const config::RemoteTls& from) {
  if (from.certificate_file().empty() != from.key_file().empty())
    return InvalidArgument(
        "tls has one of certificate_file and key_file; a client certificate needs both");
  return RemoteVersion::Tls{from.ca_file(), from.certificate_file(), from.key_file(),
                            from.server_name()};
}

StatusOr<RemoteVersion> ReadRemote(const config::Remote& from, std::string_view name) {
  RemoteVersion remote{.model = from.model().empty() ? std::string(name) : from.model(),
                       .label = from.label(),
                       .is_idempotent = from.idempotent(),
                       .token_file = from.token_file()};
  if (from.has_version()) remote.version = core::VersionNumber{from.version()};
  if (remote.version < core::VersionNumber{1})
    return InvalidArgument("its version is {}, but the first one is 1", remote.version.value);
  if (from.targets().empty()) return InvalidArgument("it has no targets");
  if (from.targets().size() > kTargetsMax)
    return InvalidArgument("it has {} targets, more than {}", from.targets().size(), kTargetsMax);
  for (const std::string& text : from.targets()) {
    ASSIGN_OR_RETURN(RemoteTarget target, ParseRemoteTarget(text));
    if (std::ranges::find(remote.targets, target) != remote.targets.end())
      return InvalidArgument("it has the target '{}' twice", text);
    remote.targets.push_back(std::move(target));
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
