// SPDX-License-Identifier: Apache-2.0
#include "net/body/content_coding.h"

#include <algorithm>
#include <charconv>

namespace penstock::net {
namespace {

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Removes the text before the next `separator` from `text`, and returns it trimmed.
std::string_view NextPart(std::string_view& text, char separator) {
  const size_t at = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return Trimmed(part);
}

// The quality in the parameters of one element of Accept-Encoding, such as "q=0.5", in thousandths.
// 1000 if there is none.
int Quality(std::string_view parameters) {
  while (!parameters.empty()) {
    const std::string_view parameter = NextPart(parameters, ';');
    if (parameter.size() < 2 || (parameter[0] | 0x20) != 'q' || parameter[1] != '=') continue;
    double quality = 0;
    std::from_chars(parameter.data() + 2, parameter.data() + parameter.size(), quality,
                    std::chars_format::fixed);
    if (!(quality > 0)) return 0;  // also false for "nan", which from_chars accepts
    return static_cast<int>(std::min(quality, 1.0) * 1000);
  }
  return 1000;
}

Coding CodingOf(std::string_view content_encoding) {
  if (content_encoding.empty() || EqualsIgnoringCase(content_encoding, "identity"))
    return Coding::kIdentity;
  if (EqualsIgnoringCase(content_encoding, "gzip") ||
      EqualsIgnoringCase(content_encoding, "x-gzip"))
    return Coding::kGzip;
  return Coding::kOther;
}

}  // namespace

Coding BodyCoding(std::span<const Header> headers, std::string_view& named) {
  named = {};
  for (const Header& header : headers) {
    if (!EqualsIgnoringCase(header.name, "content-encoding")) continue;
    // Two fields together would mean a body that is encoded twice. No client needs it, and each
    // layer could inflate a thousandfold.
    if (!named.empty()) {
      named = "in more than one field";
      return Coding::kOther;
    }
    named = header.value;
  }
  return CodingOf(named);
}

bool AcceptsGzip(std::string_view accept_encoding) {
  int gzip = -1;
  int any = -1;
  int identity = -1;
  while (!accept_encoding.empty()) {
    std::string_view element = NextPart(accept_encoding, ',');
    const std::string_view name = NextPart(element, ';');
    const int quality = Quality(element);
    if (EqualsIgnoringCase(name, "gzip") || EqualsIgnoringCase(name, "x-gzip")) gzip = quality;
    if (EqualsIgnoringCase(name, "identity")) identity = quality;
    if (name == "*") any = quality;
  }
  // "*" stands for every coding that is not named (RFC 9110, section 12.5.3).
  if (gzip < 0) gzip = any;
  // The client may prefer no coding, as in "gzip;q=0.5, identity". Without an entry, identity is
  // -1, and gzip wins.
  return gzip > 0 && gzip >= identity;
}

}  // namespace penstock::net
