// SPDX-License-Identifier: Apache-2.0
#include "target.h"

#include <curl/curl.h>

#include <limits>
#include <memory>
#include <new>
#include <stdexcept>

namespace penstock_client {
namespace {

struct CurlFree {
  void operator()(char* text) const { curl_free(text); }
};
struct UrlFree {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

// A part of the URL; empty if it has none.
std::string PartOf(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK) return "";
  const std::unique_ptr<char, CurlFree> owner(text);
  return text;
}

std::string Escape(std::string_view text) {
  if (text.empty()) return "";  // curl takes a length of 0 for unknown
  if (text.size() > std::numeric_limits<int>::max() / 3)
    throw std::invalid_argument("a name of a model is too long");
  const std::unique_ptr<char, CurlFree> escaped(
      curl_easy_escape(nullptr, text.data(), static_cast<int>(text.size())));
  if (escaped == nullptr) throw std::bad_alloc();
  return escaped.get();
}

}  // namespace

std::string CheckUrl(const std::string& url, bool& is_tls) {
  const std::unique_ptr<CURLU, UrlFree> parts(curl_url());
  if (parts == nullptr) throw std::bad_alloc();
  const bool is_url = curl_url_set(parts.get(), CURLUPART_URL, url.c_str(), 0) == CURLUE_OK &&
                      url.find('\0') == std::string::npos;
  const std::string scheme = PartOf(parts.get(), CURLUPART_SCHEME);
  is_tls = scheme == "https";
  if (!is_url || (!is_tls && scheme != "http") || url.find_first_of("?#") != std::string::npos ||
      url.find("://") != scheme.size())  // libcurl takes http:/host, too
    throw std::invalid_argument(
        "the URL of a server is as http://host:8501 or https://host:8501, not '" + url + "'");
  if (!PartOf(parts.get(), CURLUPART_USER).empty() ||
      !PartOf(parts.get(), CURLUPART_PASSWORD).empty())
    throw std::invalid_argument(
        "the URL may not have a user or password; give the token as an option");
  return url.substr(0, url.find_last_not_of('/') + 1);
}

std::string TargetOf(std::optional<std::string_view> name, const ModelOptions& options) {
  if (options.version && !options.label.empty())
    throw std::invalid_argument("give a version or a label, not both");
  std::string target = "/";
  if (name) {
    if (name->empty())
      throw std::invalid_argument(
          "the name of a model is not empty; without a name it is the default model");
    target = "/graphpipe/" + Escape(*name);
  } else if (options.version || !options.label.empty()) {
    throw std::invalid_argument("a version or label needs the name of a model");
  }
  if (options.version) target += "/versions/" + std::to_string(*options.version);
  if (!options.label.empty()) target += "/labels/" + Escape(options.label);
  if (!options.signature.empty()) target += "?signature_name=" + Escape(options.signature);
  return target;
}

}  // namespace penstock_client
