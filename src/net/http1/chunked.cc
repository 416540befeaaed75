// SPDX-License-Identifier: Apache-2.0
// Why it is so strict. A proxy in front of the server may read the same bytes and decide where a
// request ends. If the two disagree, an attacker can hide a second request in the body of the first
// (request smuggling). The forms on which implementations differ are a bare LF, spaces around a
// size, a size that overflows, and data longer than its size. The decoder refuses them all. It
// handles one byte at a time, except data, so that input may be cut anywhere.
#include "net/http1/chunked.h"

#include <algorithm>

namespace penstock::net {
namespace {

constexpr int kDigitsMax = 15;  // 60 bits, so that a size cannot overflow

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool IsText(char c) { return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f); }

}  // namespace

ChunkedDecoder::Result ChunkedDecoder::Decode(std::span<const std::byte>& input,
                                              std::span<const std::byte>& data) {
  ended_ = false;
  while (!input.empty()) {
    if (state_ == State::kData) {
      data = input.first(std::min<uint64_t>(input.size(), size_));
      input = input.subspan(data.size());
      size_ -= data.size();
      if (size_ == 0) state_ = State::kDataCr;
      return Result::kData;
    }
    const char c = static_cast<char>(input.front());
    input = input.subspan(1);
    if (!Step(c)) return Result::kBad;
    if (ended_) return Result::kEnd;
  }
  return Result::kMore;
}

bool ChunkedDecoder::StepSize(char c) {
  if (const int digit = HexValue(c); digit >= 0) {
    if (++digits_ > kDigitsMax) return Fail("a chunk size has too many digits");
    size_ = size_ * 16 + static_cast<uint64_t>(digit);
    return true;
  }
  if (digits_ == 0) return Fail("a chunk does not begin with its size");
  if (c == ';') {
    state_ = State::kExtension;
    return true;
  }
  if (c != '\r') return Fail("a chunk size is followed by something else than CR LF");
  state_ = State::kSizeLf;
  return true;
}

bool ChunkedDecoder::Step(char c) {
  switch (state_) {
    case State::kSize:
      return StepSize(c);
    case State::kExtension:
    case State::kTrailer:
    case State::kTrailerLine:
      if (c == '\r') {
        state_ = state_ == State::kExtension ? State::kSizeLf
                 : state_ == State::kTrailer ? State::kLastLf
                                             : State::kTrailerLf;
        return true;
      }
      if (state_ == State::kTrailer) state_ = State::kTrailerLine;
      // The server has no use for extensions and trailers, and no other limit counts them. Without
      // this one, a client could send them for ever.
      if (++overhead_ > overhead_bytes_max_) return Fail("chunk extensions or trailers too long");
      return IsText(c) || Fail("a chunk extension or trailer has a control character");
    case State::kDataCr:
      state_ = State::kDataLf;
      return c == '\r' || Fail("a chunk is longer than its size");
    case State::kSizeLf:
    case State::kDataLf:
    case State::kTrailerLf:
    case State::kLastLf:
      break;
    case State::kData:
      break;  // Decode handles data itself
  }
  if (c != '\n') return Fail("a CR without LF in the chunked coding");
  if (state_ == State::kLastLf) ended_ = true;
  if (state_ == State::kSizeLf) {
    state_ = size_ == 0 ? State::kTrailer : State::kData;
  } else if (state_ == State::kDataLf) {
    state_ = State::kSize;
    digits_ = 0;
  } else {
    state_ = State::kTrailer;
  }
  return true;
}

}  // namespace penstock::net
