// SPDX-License-Identifier: Apache-2.0
// Looks at the frame headers of a client's bytes before nghttp2 sees them: floods that nghttp2
// would serve, and misuse that it would overlook, end the connection.
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

// How many frames of a kind a client may send beyond what its useful traffic explains: so many at
// once, and so many more each second.
struct FrameAllowance {
  uint32_t at_once;
  uint32_t per_second;
};
inline constexpr FrameAllowance kPingsAllowed{1000, 1000};
inline constexpr FrameAllowance kSettingsAllowed{100, 10};
inline constexpr FrameAllowance kEmptyDataAllowed{200, 100};
inline constexpr FrameAllowance kPrioritiesAllowed{2000, 1000};
inline constexpr FrameAllowance kWindowUpdatesAllowed{10'000, 10'000};
// Streams that the client resets, or that are reset for its mistakes, before they are answered.
inline constexpr FrameAllowance kResetsAllowed{1000, 100};
inline constexpr uint32_t kContinuationsMax = 16;  // in one header block
// Window updates that a DATA frame explains: the stream's and the connection's, and some in hand.
inline constexpr uint32_t kWindowUpdatesPerData = 4;

// Owned by loop.
class Http2FrameCheck final {
 public:
  // `header_block_bytes_max`: of one HEADERS frame and its CONTINUATIONs together, compressed.
  explicit Http2FrameCheck(size_t header_block_bytes_max)
      : header_block_bytes_max_(header_block_bytes_max) {}

  struct Violation {
    size_t at;            // bytes in front of the offending frame; they are fine
    uint32_t error_code;  // an HTTP/2 one
    const char* reason;
  };
  // The next bytes of the connection. After a violation the connection is to be ended.
  std::optional<Violation> Check(std::span<const std::byte> bytes);

  // The server sent a DATA or HEADERS frame: explains a ping and window updates.
  void OnFrameSent(bool is_data);
  // A stream was answered in full: explains a later reset.
  void OnAnswered() { resets_.Earn(1); }
  // The server is about to reset a stream for a mistake of the client. False: once too often.
  [[nodiscard]] bool OnStreamRefused() { return resets_.Spend(); }
  void OnSecond();
  // True in the middle of a header block: more of it must come.
  bool is_inside_header_block() const { return in_header_block_; }

 private:
  // So many frames left. Owned by loop.
  class Bucket final {
   public:
    explicit constexpr Bucket(FrameAllowance allowance)
        : allowance_(allowance), left_(allowance.at_once) {}
    bool Spend() { return left_ > 0 && left_-- > 0; }
    void Earn(uint32_t count) { left_ = std::min(left_ + count, allowance_.at_once); }
    void OnSecond() { Earn(allowance_.per_second); }

   private:
    FrameAllowance allowance_;
    uint32_t left_;
  };

  struct Verdict {
    uint32_t error_code = 0;  // 0: fine
    const char* reason = nullptr;
  };
  // Ids that the client passed over: they are closed without having been opened.
  struct IdRange {
    uint32_t first, last;
  };

  Verdict OnHeader(const unsigned char* header);
  Verdict OnHeaderBlock(uint32_t length, uint8_t flags);
  Verdict OnStreamId(uint32_t id);
  uint32_t& EndedPlace(uint32_t id) { return ended_[id / 2 % ended_.size()]; }
  void NoteEnd(uint32_t id, uint8_t flags);

  const size_t header_block_bytes_max_;
  size_t preface_left_ = 24;
  size_t payload_left_ = 0;
  std::array<unsigned char, 9> header_ = {};
  size_t header_size_ = 0;

  bool in_header_block_ = false;
  size_t header_block_bytes_ = 0;
  uint32_t continuations_ = 0;
  uint32_t last_id_ = 0;
  std::array<IdRange, 16> passed_over_ = {};
  size_t passed_over_next_ = 0;
  // The streams that the client ended last, each at its place: nothing may follow on them.
  std::array<uint32_t, 64> ended_ = {};

  Bucket pings_{kPingsAllowed};
  Bucket settings_{kSettingsAllowed};
  Bucket empty_data_{kEmptyDataAllowed};
  Bucket priorities_{kPrioritiesAllowed};
  Bucket window_updates_{kWindowUpdatesAllowed};
  Bucket resets_{kResetsAllowed};
};

}  // namespace penstock::net
