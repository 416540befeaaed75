// SPDX-License-Identifier: Apache-2.0
// How it works. Check walks over the bytes from frame header to frame header, and skips the
// payloads. A header may be cut by the end of a read, so a part of it is kept in `header_`.
//
// Floods. Some frames cost the client a few bytes and the server much more, and nghttp2 serves them
// without end. Each kind has a bucket of tokens (FrameAllowance). A frame takes one, and time and
// useful traffic give some back. So a busy client may send many pings and window updates, and one
// that sends only those is stopped.
//
// Order of streams. nghttp2 is told to forget closed streams, because it would keep many of them.
// So this class remembers enough to find a frame on a stream that has ended: the last ended ids in
// a small hash table, and the ranges of ids that the client passed over. Both are small and lose
// old entries. A wrong frame may then go unnoticed, which harms nobody.
#include "net/http2/frames.h"

#include <nghttp2/nghttp2.h>

#include <cstring>

namespace penstock::net {
namespace {

constexpr uint32_t kCalm = NGHTTP2_ENHANCE_YOUR_CALM;
constexpr const char* kAfterEnd = "a frame follows on a stream that the client has ended";

uint32_t Read24(const unsigned char* p) {
  return uint32_t{p[0]} << 16 | uint32_t{p[1]} << 8 | p[2];
}
uint32_t ReadStreamId(const unsigned char* p) {
  return (uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | p[3]) & 0x7fffffff;
}

}  // namespace

std::optional<Http2FrameCheck::Violation> Http2FrameCheck::Check(std::span<const std::byte> bytes) {
  const auto* const begin = reinterpret_cast<const unsigned char*>(bytes.data());
  size_t at = std::min(preface_left_, bytes.size());
  preface_left_ -= at;
  while (at < bytes.size()) {
    if (payload_left_ > 0) {
      const size_t skipped = std::min(payload_left_, bytes.size() - at);
      payload_left_ -= skipped;
      at += skipped;
      continue;
    }
    // Where the frame begins, in these bytes. If it began in an earlier read, nghttp2 has those
    // bytes already; then it is 0.
    const size_t frame_at = at - std::min(at, header_size_);
    const unsigned char* header = begin + at;
    if (header_size_ == 0 && bytes.size() - at >= header_.size()) {
      at += header_.size();
    } else {
      const size_t size = std::min(header_.size() - header_size_, bytes.size() - at);
      std::memcpy(header_.data() + header_size_, begin + at, size);
      header_size_ += size;
      at += size;
      if (header_size_ < header_.size()) break;
      header = header_.data();
    }
    header_size_ = 0;
    payload_left_ = Read24(header);
    const Verdict verdict = OnHeader(header);
    if (verdict.error_code != 0) return Violation{frame_at, verdict.error_code, verdict.reason};
  }
  return std::nullopt;
}

Http2FrameCheck::Verdict Http2FrameCheck::OnHeader(const unsigned char* header) {
  const uint32_t length = Read24(header);
  const uint8_t type = header[3];
  const uint8_t flags = header[4];
  switch (type) {
    case NGHTTP2_HEADERS: {
      const uint32_t id = ReadStreamId(header + 5);
      const Verdict verdict = OnStreamId(id);
      if (verdict.error_code != 0) return verdict;
      NoteEnd(id, flags);
      // A client may spread one head over any number of CONTINUATION frames. So their number and
      // their bytes are limited.
      header_block_bytes_ = 0;
      continuations_ = 0;
      return OnHeaderBlock(length, flags);
    }
    case NGHTTP2_CONTINUATION:
      // Outside of a header block, nghttp2 reports the error.
      if (!in_header_block_) return {};
      if (++continuations_ > kContinuationsMax) return {kCalm, "too many CONTINUATION frames"};
      return OnHeaderBlock(length, flags);
    case NGHTTP2_DATA: {
      const uint32_t id = ReadStreamId(header + 5);
      if (id != 0 && EndedSlot(id) == id) return {NGHTTP2_STREAM_CLOSED, kAfterEnd};
      NoteEnd(id, flags);
      if (length == 0 && (flags & NGHTTP2_FLAG_END_STREAM) == 0) {
        if (!empty_data_.Spend()) return {kCalm, "too many empty DATA frames"};
      } else {
        pings_.Earn(1);
      }
      return {};
    }
    case NGHTTP2_PING:
      // Answers count, too: a client could send any number of them without a question.
      if (!pings_.Spend()) return {kCalm, "too many pings"};
      return {};
    case NGHTTP2_SETTINGS:
      if ((flags & NGHTTP2_FLAG_ACK) == 0 && !settings_.Spend())
        return {kCalm, "too many SETTINGS frames"};
      return {};
    case NGHTTP2_PRIORITY:
      if (!priorities_.Spend()) return {kCalm, "too many PRIORITY frames"};
      return {};
    case NGHTTP2_RST_STREAM:
      // The attack "rapid reset" (CVE-2023-44487) begins requests and cancels them at once, so that
      // they never count as open streams. A reset therefore takes a token, and an answer that was
      // given in full returns one.
      NoteEnd(ReadStreamId(header + 5), NGHTTP2_FLAG_END_STREAM);
      if (!resets_.Spend()) return {kCalm, "too many streams were reset"};
      return {};
    case NGHTTP2_WINDOW_UPDATE:
      if (!window_updates_.Spend()) return {kCalm, "too many WINDOW_UPDATE frames"};
      return {};
    default:
      // Nothing is done for these frames either.
      if (!priorities_.Spend()) return {kCalm, "too many frames of types that have no effect"};
      return {};
  }
}

Http2FrameCheck::Verdict Http2FrameCheck::OnHeaderBlock(uint32_t length, uint8_t flags) {
  if (length > kFrameBytesMax) return {};  // nghttp2 reports the error
  header_block_bytes_ += length;
  in_header_block_ = (flags & NGHTTP2_FLAG_END_HEADERS) == 0;
  if (header_block_bytes_ > header_block_bytes_max_) return {kCalm, "the header block is too long"};
  return {};
}

// Notes that the client has ended a stream (RFC 9113, section 5.1).
void Http2FrameCheck::NoteEnd(uint32_t id, uint8_t flags) {
  if ((flags & NGHTTP2_FLAG_END_STREAM) != 0) EndedSlot(id) = id;
}

Http2FrameCheck::Verdict Http2FrameCheck::OnStreamId(uint32_t id) {
  if (id % 2 == 0) return {};  // nghttp2 reports the error
  if (id > last_id_) {
    const uint32_t first = last_id_ == 0 ? 1 : last_id_ + 2;
    if (id > first) {
      passed_over_[passed_over_next_ % passed_over_.size()] = {first, id - 2};
      ++passed_over_next_;
    }
    last_id_ = id;
    return {};
  }
  if (EndedSlot(id) == id) return {NGHTTP2_STREAM_CLOSED, kAfterEnd};
  for (const IdRange& range : passed_over_)
    if (range.first <= id && id <= range.last)
      return {NGHTTP2_PROTOCOL_ERROR, "a stream was opened with a lower id than the one before it"};
  return {};
}

void Http2FrameCheck::OnFrameSent() {
  pings_.Earn(1);
  window_updates_.Earn(kWindowUpdatesPerFrame);
}

void Http2FrameCheck::OnSecond() {
  for (Bucket* bucket : {&pings_, &settings_, &empty_data_, &priorities_, &window_updates_,
                         &resets_, &begins_refused_})
    bucket->OnSecond();
}

}  // namespace penstock::net
