// SPDX-License-Identifier: Apache-2.0
// The chunked transfer coding of HTTP/1.1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace penstock::net {

// Decodes one chunked body (RFC 9112, section 7.1). It is strict in every byte: it rejects
// everything that another server might read differently, such as a bare LF or spaces around a size.
// It copies nothing, and input may be cut anywhere.
//
//   for (;;) switch (decoder.Decode(input, data)) {
//     case Result::kData: Append(data); break;
//     case Result::kMore: return;            // wait for more input
//     case Result::kEnd:  return Finish();   // `input` begins the next request
//     case Result::kBad:  return Refuse(400, decoder.error());
//   }
//
// Owned by loop.
class ChunkedDecoder final {
 public:
  enum class Result {
    kMore,  // the input is used up
    kData,  // `data` is the next piece of the body
    kEnd,   // the body is complete; `input` holds the bytes after it
    kBad,   // see error()
  };

  // The decoder drops extensions and trailers. Together they may have at most this many bytes.
  explicit ChunkedDecoder(size_t overhead_bytes_max) : overhead_bytes_max_(overhead_bytes_max) {}

  // Starts the next body.
  void Start() {
    state_ = State::kSize;
    size_ = 0;
    digits_ = 0;
    overhead_ = 0;
  }
  // Decodes the next part, and removes the used bytes from `input`. `data` is a view of `input`,
  // set only for kData. After kEnd or kBad, Start must come before the next call.
  Result Decode(std::span<const std::byte>& input, std::span<const std::byte>& data);
  // The reason for kBad, as a text for the client. Static storage; set after kBad.
  std::string_view error() const { return error_; }

 private:
  // The kind of the next byte.
  enum class State {
    kSize,
    kExtension,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailer,      // at the beginning of a line
    kTrailerLine,  // in a line
    kTrailerLf,
    kLastLf,
  };

  // Handles one byte that is not data. Returns false if it is wrong.
  bool Step(char c);
  bool StepSize(char c);
  bool Fail(std::string_view error) {
    error_ = error;
    return false;
  }

  const size_t overhead_bytes_max_;
  State state_ = State::kSize;
  uint64_t size_ = 0;    // the rest of the chunk
  int digits_ = 0;       // of the size that is being read
  size_t overhead_ = 0;  // bytes of extensions and trailers so far
  bool ended_ = false;
  std::string_view error_;
};

}  // namespace penstock::net
