// SPDX-License-Identifier: Apache-2.0
#include "s3/http_url.h"

#include <algorithm>
#include <string>

namespace penstock {
namespace {

bool IsPort(std::string_view text) {
  return !text.empty() && text.size() <= 5 &&
         std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; }) &&
         std::stoi(std::string(text)) >= 1 && std::stoi(std::string(text)) <= 65535;
}

}  // namespace

bool ParseEndpoint(std::string_view text, HttpEndpoint& endpoint) {
  if (text.starts_with("http://") || text.starts_with("https://")) {
    endpoint.tls = text.starts_with("https://");
    text.remove_prefix(text.find("//") + 2);
  }
  const bool is_bracketed = text.starts_with('[') && text.find(']') != std::string_view::npos;
  // An IPv6 address has colons of its own, inside brackets.
  const size_t colon = text.find(':', is_bracketed ? text.find(']') : 0);
  endpoint.host = is_bracketed ? text.substr(1, text.find(']') - 1) : text.substr(0, colon);
  endpoint.port = endpoint.tls ? "443" : "80";
  if (colon != std::string_view::npos) endpoint.port = text.substr(colon + 1);
  // Among them '@': a user name in the URL would be taken for a part of the host.
  const bool has_odd_bytes =
      std::ranges::any_of(text, [](char c) { return c <= ' ' || c > '~' || c == '/' || c == '@'; });
  const bool has_odd_bracket = endpoint.host.find_first_of("[]") != std::string::npos;
  return !endpoint.host.empty() && !has_odd_bracket && IsPort(endpoint.port) && !has_odd_bytes;
}

}  // namespace penstock
