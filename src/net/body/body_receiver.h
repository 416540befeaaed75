// SPDX-License-Identifier: Apache-2.0
// Collects one body or message. It puts the bytes where the tensor inside is aligned, inflates
// compressed ones, and enforces the limits. HTTP/1.1, HTTP/2 and gRPC all use it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/buffer.h"
#include "base/status.h"
#include "net/body/body_buffer.h"
#include "net/body/gzip.h"
#include "net/body/zstd_codec.h"
#include "net/router.h"

namespace penstock::net {

// How much of a body the landing function gets. The names and the shape that come before a tensor
// fit.
inline constexpr size_t kBodyPreviewBytes = 4096;
// A body of at least this size is worth a direct read, and a look at its first bytes before.
inline constexpr uint64_t kBigBodyBytes = 32 * 1024;

// Receives the bytes of one body in order. Start begins the next body.
//
//   TRY(receiver.Start({.length = content_length, .bytes_max = limit}));
//   while (bytes are missing) {
//     std::span<std::byte> target = receiver.Target();  // perhaps empty
//     TRY(receiver.Append(ReadInto(target.empty() ? scratch : target)));
//   }
//   ASSIGN_OR_RETURN(Slice body, receiver.Finish());
//
// Errors: INVALID_ARGUMENT (bad compressed data), OUT_OF_RANGE (over the limit for one body),
// RESOURCE_EXHAUSTED (over the budget for all bodies). They are counted in the server's metrics.
// After an error the caller must drop the rest of the body. Owned by loop.
class BodyReceiver final {
 public:
  struct Options {
    std::optional<uint64_t> length;  // of the body as sent, perhaps compressed; nullopt if unknown
    Compression compression = Compression::kNone;
    uint64_t bytes_max = 0;  // the limit for the body, after inflating
    LandingFunction landing = nullptr;
  };

  explicit BodyReceiver(Loop& loop) : loop_(loop) {}
  ~BodyReceiver() { Reset(); }
  BodyReceiver(const BodyReceiver&) = delete;
  BodyReceiver& operator=(const BodyReceiver&) = delete;

  // Begins a body, and drops the former one. Allocates no memory yet. OUT_OF_RANGE if the announced
  // length is over the limit already.
  [[nodiscard]] Status Start(const Options& options);
  // Where the caller may write the next bytes directly, so that Append need not copy them. Empty if
  // that is not possible or not worth it: the body is compressed, of unknown length, not big, or
  // not aligned yet. Its memory is counted already. Valid until the next call.
  std::span<std::byte> Target();
  // True if Target may return a place.
  bool has_target() const;
  // True if the body is big and its place is not chosen yet, so that Preview can choose it.
  bool wants_preview() const;
  // Chooses the place of the body by its first bytes, so that none of them need be copied: Target
  // says where to read them to. Does nothing if `prefix` is shorter than kBodyPreviewBytes, or
  // memory is scarce.
  void Preview(std::span<const std::byte> prefix);
  // Appends the next bytes, of any number. They may lie at the start of Target; then nothing is
  // copied.
  [[nodiscard]] Status Append(std::span<const std::byte> bytes);
  // Returns the body, inflated, followed by kBufferSlack readable bytes. The slice owns it, and may
  // go to another thread. The offset that the landing function chose is at a multiple of
  // kBufferAlignment, if the length was known and the body is not compressed. The caller must check
  // that as many bytes came as were announced. INVALID_ARGUMENT if compressed data ends early.
  [[nodiscard]] StatusOr<Slice> Finish();
  // Drops the body and gives its memory back. Start may follow.
  void Reset();

  // Bytes given to Append, before inflating.
  uint64_t bytes_received() const { return received_; }

 private:
  bool is_compressed() const { return options_.compression != Compression::kNone; }
  bool is_big() const { return !is_compressed() && options_.length.value_or(0) >= kBigBodyBytes; }
  // Makes the reader of a zstd body that begins with `first`.
  [[nodiscard]] Status StartZstd(std::span<const std::byte> first);
  // Decompresses from `input` to `output`, as Inflater::Inflate.
  StatusOr<size_t> Decompress(std::span<const std::byte>& input, std::span<std::byte> output);
  // True if the compressed data is complete.
  bool is_at_end() const;
  // Appends bytes of a body that is not compressed.
  [[nodiscard]] Status Store(std::span<const std::byte> bytes);
  // Makes sure that `bytes` more can be written, in a bigger buffer if need be.
  [[nodiscard]] Status Reserve(size_t bytes);
  // Moves the body to a buffer for `bytes` in all.
  [[nodiscard]] Status Grow(size_t bytes);
  // The capacity of a buffer for `bytes` of the body. Includes space for the alignment.
  size_t CapacityFor(size_t bytes) const;
  // Asks the landing function where the body must be aligned, once `prefix` is long enough, and
  // moves what is stored so far.
  void Land(std::span<const std::byte> prefix);
  // Counts bytes of a big body that were copied after they had been read.
  void CountCopied(size_t bytes);
  // These make an error and count it in the metrics.
  Status OverBudget() const;
  Status NoBuffer(size_t capacity) const;
  Status OverLimit(std::string message) const;

  Loop& loop_;
  Options options_;
  uint64_t received_ = 0;  // bytes received, before inflating
  size_t start_ = 0;       // offset of the body in the buffer
  size_t size_ = 0;        // size of the body so far, inflated
  bool landed_ = false;
  BodyBuffer* buffer_ = nullptr;
  std::unique_ptr<Inflater> inflater_;
  std::unique_ptr<ZstdReader> zstd_;  // from the first bytes of a zstd body to its end
  uint64_t zstd_bytes_ = 0;           // that the budget counts for it
};

}  // namespace penstock::net
