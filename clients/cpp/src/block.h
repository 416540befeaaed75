// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <utility>

namespace penstock_client {

// Memory from a multiple of 64 on, which begins without any value. Answers of Penstock have their
// large tensors at such multiples, too. One thread at a time.
class Block {
 public:
  static constexpr std::align_val_t kAlignment{64};

  Block() = default;
  explicit Block(size_t size)
      : bytes_(static_cast<std::byte*>(::operator new(size, kAlignment))), size_(size) {}
  Block(Block&& other) noexcept
      : bytes_(std::move(other.bytes_)), size_(std::exchange(other.size_, 0)) {}
  Block& operator=(Block&& other) noexcept {
    bytes_ = std::move(other.bytes_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  std::byte* data() { return bytes_.get(); }
  std::span<const std::byte> span() const { return {bytes_.get(), size_}; }
  size_t size() const { return size_; }
  // Gives up the end, which stays allocated. REQUIRES: size <= size().
  void Shrink(size_t size) { size_ = size; }

 private:
  struct Free {
    void operator()(std::byte* bytes) const { ::operator delete(bytes, kAlignment); }
  };
  std::unique_ptr<std::byte, Free> bytes_;
  size_t size_ = 0;
};

}  // namespace penstock_client
