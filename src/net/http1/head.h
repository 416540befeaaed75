// SPDX-License-Identifier: Apache-2.0
// The head of an HTTP/1.1 request: Beast's parser, and the rules that keep two servers from reading
// one request differently (request smuggling).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/http/call.h"

namespace penstock::net {

// Parses one head after the other.
//
//   parser.Start(storage);
//   switch (parser.Parse(everything_received_of_the_head)) {
//     case Result::kMore: return;             // call Parse again with more
//     case Result::kBad:  return Refuse(parser.error_status(), parser.error_message());
//     case Result::kDone: parser.FillHead(head);  // the body begins at parser.head_bytes()
//   }
//
// It refuses what two servers may read differently: both Content-Length and Transfer-Encoding,
// several lengths, folded lines, and the like. Owned by loop.
class Http1HeadParser final {
 public:
  // A head of more bytes is kBad with the status 431.
  explicit Http1HeadParser(size_t head_bytes_max);
  ~Http1HeadParser();
  Http1HeadParser(const Http1HeadParser&) = delete;
  Http1HeadParser& operator=(const Http1HeadParser&) = delete;

  // Begins a new head. Its fields go to `storage`, which must be empty and outlive the parse.
  void Start(HeadStorage& storage);
  // kBad: the connection must end after the answer, since nobody knows where the next request
  // begins.
  enum class Result { kMore, kDone, kBad };
  // `bytes` must hold everything since the first byte of the head.
  Result Parse(std::string_view bytes);

  // Call these after kDone. The views in `head` point to the storage.
  void FillHead(RequestHead& head);
  size_t head_bytes() const;
  bool is_chunked() const;
  // nullopt if the request has no body or is chunked
  std::optional<uint64_t> content_length() const;
  bool keep_alive() const;  // what the client asks for
  bool is_http10() const;
  bool expects_continue() const;
  // Call these after kBad.
  int error_status() const;
  const std::string& error_message() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::net
