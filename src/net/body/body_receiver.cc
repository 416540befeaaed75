// SPDX-License-Identifier: Apache-2.0
// How it works. The bytes of a big body go straight to their final place: the kernel writes them
// there, and only a small part is ever copied. Three things make this hard.
//
// The tensor inside the body must be aligned, but its offset depends on the body's first bytes. So
// the receiver waits for a prefix, asks the route where the tensor will lie (LandingFunction), and
// shifts the start of the body to fit (Land). A connection that can show the prefix of a big body
// while it is still in the socket (Preview) saves the copy of it.
//
// The announced length cannot be trusted. A client may announce gigabytes and send one byte. So the
// address space grows with the bytes that have come (CapacityFor), and the budget counts memory
// just before it is written (BodyBuffer::Commit).
//
// The size of a gzip body is not known before its end. So it is inflated in steps into a buffer
// that grows, and each step checks the limit. A small body that inflates a thousandfold stops
// there.
#include "net/body/body_receiver.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "net/loop/big_buffer_pool.h"
#include "net/loop/server_state.h"

namespace penstock::net {
namespace {

constexpr size_t kRoomMin = 4096;  // with less of it, a direct read is not worth it
constexpr size_t kTargetBytesMax = 1 << 20;
constexpr size_t kInflateStep = 64 * 1024;
constexpr size_t kFirstGuess = 1024;  // capacity for a body of unknown length
constexpr size_t kGrowth = 8;         // then all copies together are a seventh of the body

// If a body announces more than this, and more than the pool gives at once, its address space grows
// in steps, and is at most this many times the received bytes. Otherwise clients could announce
// gigabytes and send little, and use up the address space.
constexpr size_t kReservedAtOnce = 1 << 20;
constexpr size_t kReserveFactor = 64;  // then all copies together are about a sixtieth of the body
// The same when address space is scarce (BigBufferPool::is_scarce). The memory that a body takes at
// once is as large.
constexpr size_t kReservedAtOnceScarce = 64 * 1024;
constexpr size_t kReserveFactorScarce = 2;

alignas(kBufferAlignment) constexpr std::byte kEmptyBody[kBufferSlack] = {};

}  // namespace

Status BodyReceiver::OverBudget() const { return loop_.server().request_budget->Refuse(); }

// NewBodyBuffer has refused a buffer of this capacity.
Status BodyReceiver::NoBuffer(size_t capacity) const {
  if (capacity <= kSmallCapacityMax) return OverBudget();
  loop_.server().metrics.limit_body_reservation.Add();
  return Error(StatusCode::kResourceExhausted,
               "the server has no address space left for a body of this size; the bodies of all "
               "requests may reserve {} bytes (--body_reservation_bytes_max)",
               loop_.server().options.body_reservation_bytes_max);
}

Status BodyReceiver::OverLimit(std::string message) const {
  loop_.server().metrics.limit_body_bytes.Add();
  return Error(StatusCode::kOutOfRange, "{}", message);
}

Status BodyReceiver::Start(const Options& options) {
  Reset();
  options_ = options;
  if (options.length.value_or(0) > options.bytes_max)
    return OverLimit(
        fmt::format("the body has {} bytes; the limit is {}", *options.length, options.bytes_max));
  const bool is_compressed = options.compression != Compression::kNone;
  if (is_compressed && options.compression != Compression::kZstd) {
    if (inflater_ == nullptr) inflater_ = std::make_unique<Inflater>();
    inflater_->Reset(options.compression);
  }
  // A body can be aligned before it is complete only if its length is known.
  landed_ = options.landing == nullptr || is_compressed || !options.length.has_value();
  return OkStatus();
}

void BodyReceiver::Reset() {
  if (buffer_ != nullptr) buffer_->Unref();
  buffer_ = nullptr;
  received_ = 0;
  zstd_ = nullptr;
  if (zstd_bytes_ > 0) loop_.body_bytes().Give(std::exchange(zstd_bytes_, 0));
  start_ = size_ = 0;
}

bool BodyReceiver::has_target() const {
  return buffer_ != nullptr && landed_ && is_big() && size_ < *options_.length;
}

bool BodyReceiver::wants_preview() const { return buffer_ == nullptr && is_big(); }

void BodyReceiver::Preview(std::span<const std::byte> prefix) {
  if (prefix.size() < kBodyPreviewBytes || loop_.server().big_buffers->is_scarce()) return;
  buffer_ = NewBodyBuffer(loop_, CapacityFor(kSmallCapacityMax));
  if (buffer_ != nullptr && !landed_) Land(prefix);  // without a buffer, Append says why
}

std::span<std::byte> BodyReceiver::Target() {
  if (!has_target()) return {};
  const auto rest = static_cast<size_t>(*options_.length) - size_;
  // Let the target grow with the received bytes, so that a stalled body is not charged for bytes
  // that it never sent.
  const size_t room = buffer_->size() - start_ - size_;
  if (room < std::min(rest, kRoomMin)) return {};  // Append finds a bigger buffer
  const size_t size = std::min({rest, room, std::max(size_, kSmallBodyBytes), kTargetBytesMax});
  if (!buffer_->Commit(start_ + size_ + size)) return {};
  return {buffer_->data() + start_ + size_, size};
}

Status BodyReceiver::Append(std::span<const std::byte> bytes) {
  received_ += bytes.size();
  if (options_.length.has_value() && received_ > *options_.length)
    return InvalidArgument("the body has more than the {} bytes announced", *options_.length);
  if (!is_compressed()) return Store(bytes);
  if (options_.compression == Compression::kZstd && zstd_ == nullptr && !bytes.empty())
    TRY(StartZstd(bytes));
  while (true) {
    // One byte over the limit is enough to notice a body that is too large.
    const size_t room = std::min<size_t>(kInflateStep, options_.bytes_max + 1 - size_);
    TRY(Reserve(std::min<size_t>(room, std::max(bytes.size() * 4, kFirstGuess))));
    const size_t free = std::min(buffer_->size() - size_, room);
    ASSIGN_OR_RETURN(const size_t written, Decompress(bytes, {buffer_->data() + size_, free}));
    size_ += written;
    if (size_ > options_.bytes_max)
      return OverLimit(
          fmt::format("the body inflates to more than the limit of {} bytes", options_.bytes_max));
    // A full buffer does not mean that all input is used. Only an output that ends early does.
    if (written < free) return OkStatus();
  }
}

// The window of a zstd body may be a thousand times as large as the body, so it is counted.
Status BodyReceiver::StartZstd(std::span<const std::byte> first) {
  ASSIGN_OR_RETURN(const size_t window, ZstdReader::WindowOf(first));
  const size_t bytes = ZstdReader::MemoryFor(window);
  if (!loop_.TryTakeBodyBytes(bytes)) return OverBudget();
  zstd_bytes_ = bytes;
  zstd_ = std::make_unique<ZstdReader>(window);
  return OkStatus();
}

StatusOr<size_t> BodyReceiver::Decompress(std::span<const std::byte>& input,
                                          std::span<std::byte> output) {
  if (options_.compression != Compression::kZstd) return inflater_->Inflate(input, output);
  if (zstd_ == nullptr) return 0;  // nothing has come yet
  return zstd_->Read(input, output);
}

bool BodyReceiver::is_at_end() const {
  if (options_.compression != Compression::kZstd) return inflater_->is_complete();
  return zstd_ != nullptr && zstd_->is_complete();
}

Status BodyReceiver::Store(std::span<const std::byte> bytes) {
  if (bytes.empty()) return OkStatus();
  if (size_ + bytes.size() > options_.bytes_max)
    return OverLimit(
        fmt::format("the body is larger than the limit of {} bytes", options_.bytes_max));
  // The caller has read into Target: the bytes are already where they belong, and Target has
  // committed the memory.
  const bool is_in_place = buffer_ != nullptr && bytes.data() == buffer_->data() + start_ + size_;
  if (!is_in_place) {
    TRY(Reserve(bytes.size()));
    // If the first piece holds the whole prefix, align before the copy, so that nothing must be
    // moved afterwards.
    if (!landed_ && size_ == 0) Land(bytes);
    if (!buffer_->Commit(start_ + size_ + bytes.size())) return OverBudget();
    std::memcpy(buffer_->data() + start_ + size_, bytes.data(), bytes.size());
    CountCopied(bytes.size());
  }
  size_ += bytes.size();
  if (!landed_) Land({buffer_->data(), size_});
  return OkStatus();
}

void BodyReceiver::CountCopied(size_t bytes) {
  if (is_big()) loop_.server().metrics.body_bytes_copied.Add(bytes);
}

// Aligns the body once enough of it has arrived. `prefix` is the received part. Moves bytes that
// are already stored.
void BodyReceiver::Land(std::span<const std::byte> prefix) {
  const uint64_t length = *options_.length;
  const size_t wanted = std::min<uint64_t>(kBodyPreviewBytes, length);
  if (prefix.size() < wanted) return;
  const size_t aligned_at = options_.landing(prefix.first(wanted), length);
  start_ = (kBufferAlignment - aligned_at % kBufferAlignment) % kBufferAlignment;
  landed_ = true;
  // This moves at most a few KiB more than the prefix: a longer first piece is aligned before it is
  // stored.
  if (size_ == 0 || start_ == 0) return;
  std::memmove(buffer_->data() + start_, buffer_->data(), size_);
  CountCopied(size_);
}

size_t BodyReceiver::CapacityFor(size_t bytes) const {
  const BigBufferPool& pool = *loop_.server().big_buffers;
  const bool is_scarce = pool.is_scarce();
  if (!options_.length.has_value() || is_compressed()) {
    const size_t growth = is_scarce ? kReserveFactorScarce : kGrowth;
    return std::max(bytes, buffer_ == nullptr ? kFirstGuess : buffer_->size() * growth);
  }
  // Until more of it has come, the body gets a small block, so that a client that announces much
  // and sends little holds little.
  if (bytes + kBufferAlignment <= kSmallCapacityMax) return bytes + kBufferAlignment;
  const size_t at_once = is_scarce ? kReservedAtOnceScarce : kReservedAtOnce;
  const size_t factor = is_scarce ? kReserveFactorScarce : kReserveFactor;
  size_t capacity = static_cast<size_t>(*options_.length) + kBufferAlignment;
  if (!is_scarce && capacity <= pool.at_once_max()) return capacity;
  while (capacity > at_once && capacity / factor >= bytes + kBufferAlignment) capacity /= factor;
  return capacity;
}

// Makes sure that the buffer can hold `bytes` more.
Status BodyReceiver::Reserve(size_t bytes) {
  if (buffer_ == nullptr) {
    const size_t capacity = CapacityFor(bytes);
    buffer_ = NewBodyBuffer(loop_, capacity);
    if (buffer_ == nullptr) return NoBuffer(capacity);
  }
  const size_t alignment = landed_ ? 0 : kBufferAlignment;  // Land may move the body by this much
  if (start_ + size_ + bytes + alignment > buffer_->size()) TRY(Grow(size_ + bytes));
  if (!buffer_->Commit(start_ + size_ + bytes)) return OverBudget();
  return OkStatus();
}

Status BodyReceiver::Grow(size_t bytes) {
  const size_t capacity = CapacityFor(bytes);
  BodyBuffer* bigger = NewBodyBuffer(loop_, capacity);
  if (bigger == nullptr) return NoBuffer(capacity);
  // Frees the new buffer if Commit fails. The old one then stays, and Reset frees it.
  BufferRef bigger_owner(bigger);
  if (!bigger->Commit(start_ + bytes)) return OverBudget();
  std::memcpy(bigger->data(), buffer_->data(), start_ + size_);
  CountCopied(size_);
  buffer_->Unref();
  buffer_ = bigger;
  bigger_owner.Release();
  return OkStatus();
}

StatusOr<Slice> BodyReceiver::Finish() {
  if (is_compressed() && received_ > 0 && !is_at_end())
    return InvalidArgument("the compressed data of the body ends early, after {} bytes", received_);
  if (buffer_ == nullptr) return Slice{kEmptyBody, 0, {}};
  Slice body{buffer_->data() + start_, size_, BufferRef(std::exchange(buffer_, nullptr))};
  Reset();
  return body;
}

}  // namespace penstock::net
