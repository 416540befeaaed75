// SPDX-License-Identifier: Apache-2.0
#include "net/body/content_coding.h"

#include <algorithm>

namespace penstock::net {
namespace {

Coding CodingOf(std::string_view content_encoding) {
  if (content_encoding.empty() || EqualsIgnoringCase(content_encoding, "identity"))
    return Coding::kIdentity;
  if (EqualsIgnoringCase(content_encoding, "gzip") ||
      EqualsIgnoringCase(content_encoding, "x-gzip"))
    return Coding::kGzip;
  if (EqualsIgnoringCase(content_encoding, "zstd")) return Coding::kZstd;
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

Coding AnswerCoding(std::string_view accept_encoding) {
  int gzip = -1;
  int zstd = -1;
  int any = -1;
  int identity = -1;
  while (!accept_encoding.empty()) {
    const auto [name, quality] = TakeWeighted(accept_encoding);
    if (EqualsIgnoringCase(name, "gzip") || EqualsIgnoringCase(name, "x-gzip")) gzip = quality;
    if (EqualsIgnoringCase(name, "zstd")) zstd = quality;
    if (EqualsIgnoringCase(name, "identity")) identity = quality;
    if (name == "*") any = quality;
  }
  // "*" stands for every coding that is not named (RFC 9110, section 12.5.3). More clients can read
  // gzip, so it stands for that.
  if (gzip < 0) gzip = any;
  // The client may prefer no coding, as in "gzip;q=0.5, identity". Without an entry, identity is
  // -1, and the others win.
  if (zstd > 0 && zstd >= gzip && zstd >= identity) return Coding::kZstd;
  return gzip > 0 && gzip >= identity ? Coding::kGzip : Coding::kIdentity;
}

}  // namespace penstock::net
