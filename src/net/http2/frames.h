// SPDX-License-Identifier: Apache-2.0
// Checks the frame headers of a client's bytes before nghttp2 gets them. Floods that nghttp2 would
// serve, and protocol errors that it would miss, end the connection.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace penstock::net {

// Largest frame that clients may send, in SETTINGS_MAX_FRAME_SIZE.
inline constexpr uint32_t kFrameBytesMax = 1 << 20;

// The number of frames of one kind that a client may send in addition to those that its useful
// traffic explains: this many at once, and this many more each second.
struct FrameAllowance {
  uint32_t at_once;
  uint32_t per_second;
};
inline constexpr FrameAllowance kPingsAllowed{1000, 1000};
inline constexpr FrameAllowance kSettingsAllowed{100, 10};
inline constexpr FrameAllowance kEmptyDataAllowed{200, 100};
inline constexpr FrameAllowance kPrioritiesAllowed{2000, 1000};
inline constexpr FrameAllowance kWindowUpdatesAllowed{10'000, 10'000};
// Streams that are reset before they are answered, by the client or for its mistakes.
inline constexpr FrameAllowance kResetsAllowed{1000, 100};
// Requests that are refused because the server has too many incomplete ones. Each complete request
// explains one more.
inline constexpr FrameAllowance kBeginsRefusedAllowed{100, 10};
inline constexpr uint32_t kContinuationsMax = 16;  // in one header block
// Window updates that one sent frame explains: one for the stream, one for the connection, and two
// to spare. Clients also send them for answers that are a HEADERS frame alone, such as errors.
inline constexpr uint32_t kWindowUpdatesPerFrame = 4;

// Checks the frame headers of one connection. It sees all received bytes before nghttp2 does, and
// the frames that were sent. It does not read payloads.
//
//   const auto violation = check.Check(bytes);
//   Feed(bytes.first(violation ? violation->at : bytes.size()));  // requests before it are valid
//   if (violation) Terminate(violation->error_code, violation->reason);
//
// See frames.cc for the rules. Owned by loop.
class Http2FrameCheck final {
 public:
  // `header_block_bytes_max` is the limit for one HEADERS frame and its CONTINUATION frames
  // together, compressed.
  explicit Http2FrameCheck(size_t header_block_bytes_max)
      : header_block_bytes_max_(header_block_bytes_max) {}

  struct Violation {
    size_t at;            // The number of valid bytes before the offending frame.
    uint32_t error_code;  // an HTTP/2 one
    const char* reason;
  };
  // Checks the next bytes of the connection, from the client's preface on. Bytes may be cut
  // anywhere. After a violation the connection must be ended, and Check not called again.
  std::optional<Violation> Check(std::span<const std::byte> bytes);

  // The server sent a DATA or HEADERS frame. This explains one ping, and window updates.
  void OnFrameSent();
  // A stream was answered in full. This explains a later reset.
  void OnAnswered() { resets_.Earn(1); }
  // The server is about to reset a stream for a mistake of the client. False: the client has made
  // too many mistakes.
  [[nodiscard]] bool OnStreamRefused() { return resets_.Spend(); }
  // A request was refused because the server has too many incomplete ones. False: the client has
  // begun too many.
  [[nodiscard]] bool OnBeginRefused() { return begins_refused_.Spend(); }
  // A request has arrived in full. This explains one more refused request.
  void OnRequestComplete() { begins_refused_.Earn(1); }
  // Refills the allowances. Called at each tick of the connection, about once a second.
  void OnSecond();
  // True in the middle of a header block, when CONTINUATION frames must follow. While it is true,
  // the time for the head runs.
  bool is_inside_header_block() const { return in_header_block_; }

 private:
  // The number of frames that are left of an allowance. Owned by loop.
  class Bucket final {
   public:
    explicit constexpr Bucket(FrameAllowance allowance)
        : allowance_(allowance), left_(allowance.at_once) {}
    // False: none is left.
    bool Spend() { return left_ > 0 && left_-- > 0; }
    void Earn(uint32_t count) { left_ = std::min(left_ + count, allowance_.at_once); }
    void OnSecond() { Earn(allowance_.per_second); }

   private:
    FrameAllowance allowance_;
    uint32_t left_;
  };

  struct Verdict {
    uint32_t error_code = 0;  // 0: the frame is allowed
    const char* reason = nullptr;
  };
  // Stream ids that the client skipped. They count as closed although they were never opened.
  struct IdRange {
    uint32_t first, last;
  };

  // `header` has the 9 bytes of a frame header (RFC 9113, section 4.1).
  Verdict OnHeader(const unsigned char* header);
  // Counts the bytes of a HEADERS or CONTINUATION frame.
  Verdict OnHeaderBlock(uint32_t length, uint8_t flags);
  // Checks that a HEADERS frame does not open a stream that has ended or was passed over.
  Verdict OnStreamId(uint32_t id);
  // The place of `id` in the hash table of ended streams. Two ids may share it; the later one
  // stays.
  uint32_t& EndedSlot(uint32_t id) { return ended_[id / 2 % ended_.size()]; }
  // Remembers that the client has ended the stream, if `flags` have END_STREAM.
  void NoteEnd(uint32_t id, uint8_t flags);

  const size_t header_block_bytes_max_;
  size_t preface_left_ = 24;  // bytes of the client's preface still to come
  size_t payload_left_ = 0;   // bytes of the current frame to skip
  std::array<unsigned char, 9> header_ = {};
  size_t header_size_ = 0;  // bytes of a cut frame header in header_

  bool in_header_block_ = false;
  size_t header_block_bytes_ = 0;
  uint32_t continuations_ = 0;
  uint32_t last_id_ = 0;  // the highest stream that the client has opened
  std::array<IdRange, 16> passed_over_ = {};
  size_t passed_over_next_ = 0;
  // The streams that the client ended last. The position is a hash of the id. No frame may follow
  // on these streams.
  std::array<uint32_t, 64> ended_ = {};

  Bucket pings_{kPingsAllowed};
  Bucket settings_{kSettingsAllowed};
  Bucket empty_data_{kEmptyDataAllowed};
  Bucket priorities_{kPrioritiesAllowed};
  Bucket window_updates_{kWindowUpdatesAllowed};
  Bucket resets_{kResetsAllowed};
  Bucket begins_refused_{kBeginsRefusedAllowed};
};

}  // namespace penstock::net
