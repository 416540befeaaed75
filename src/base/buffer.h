// SPDX-License-Identifier: Apache-2.0
// Reference-counted bytes. Received bodies, tensors and responses are made of them. Nothing here
// copies unless its name says so.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "absl/container/inlined_vector.h"

namespace penstock {

// Alignment of every allocated buffer. TensorFlow needs it to use a tensor without a copy.
inline constexpr size_t kBufferAlignment = 64;
// Readable bytes after the end of every allocated buffer, with unspecified contents. simdjson reads
// beyond the end.
inline constexpr size_t kBufferSlack = 64;

// A reference-counted block of bytes. Thread-safe as to the count; the bytes are immutable once
// shared. Subclass it to keep foreign memory alive (a runtime's output tensor, a pooled block); the
// constructor of the subclass passes its address and size, and Destroy gives it back:
//
//   class RuntimeOutput final : public Buffer {
//    public:
//     explicit RuntimeOutput(Value v) : Buffer(v.data(), v.bytes()), value_(std::move(v)) {}
//    private:
//     Value value_;  // freed with the last reference, on whichever thread drops it
//   };
//
// A new buffer has one reference, which belongs to its maker: wrap it in a BufferRef.
class Buffer {
 public:
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

  void Ref() { refs_.fetch_add(1, std::memory_order_relaxed); }
  void Unref() {
    // The only owner needs no read-modify-write: nobody else can take a reference.
    if (refs_.load(std::memory_order_acquire) == 1 ||
        refs_.fetch_sub(1, std::memory_order_acq_rel) == 1)
      Destroy();
  }
  // True if the caller holds the only reference, and so may write to the bytes.
  bool IsUnique() const { return refs_.load(std::memory_order_acquire) == 1; }

 protected:
  Buffer(std::byte* data, size_t size) : data_(data), size_(size) {}
  virtual ~Buffer() = default;
  // Frees the object and all that it keeps alive. Called once, on the thread that dropped the last
  // reference.
  virtual void Destroy() noexcept { delete this; }

  std::byte* data_;
  size_t size_;

 private:
  std::atomic<uint32_t> refs_{1};
};

// An owning reference to a Buffer, or none. One thread at a time, as any smart pointer.
class BufferRef {
 public:
  BufferRef() = default;
  // Takes over one reference.
  explicit BufferRef(Buffer* adopted) : buffer_(adopted) {}
  BufferRef(const BufferRef& other) : buffer_(other.buffer_) {
    if (buffer_ != nullptr) buffer_->Ref();
  }
  BufferRef(BufferRef&& other) noexcept : buffer_(std::exchange(other.buffer_, nullptr)) {}
  BufferRef& operator=(BufferRef other) noexcept {
    std::swap(buffer_, other.buffer_);
    return *this;
  }
  ~BufferRef() {
    if (buffer_ != nullptr) buffer_->Unref();
  }

  Buffer* get() const { return buffer_; }
  Buffer* operator->() const { return buffer_; }
  explicit operator bool() const { return buffer_ != nullptr; }
  // Returns the buffer without dropping the reference; the caller must call Unref.
  Buffer* Release() { return std::exchange(buffer_, nullptr); }

 private:
  Buffer* buffer_ = nullptr;
};

// Allocates `size` uninitialised bytes, aligned to kBufferAlignment, with kBufferSlack bytes after
// them. Never returns null; size may be 0.
BufferRef AllocateBuffer(size_t size);
// Allocates a buffer and copies `bytes` into it.
BufferRef CopyToBuffer(std::string_view bytes);

// Some bytes, and the owner that keeps them alive. Static bytes need no owner. Copying a slice
// takes a reference, and never copies bytes. One thread at a time.
struct Slice {
  const std::byte* data = nullptr;
  size_t size = 0;
  BufferRef owner;

  std::string_view view() const { return {reinterpret_cast<const char*>(data), size}; }
  std::span<const std::byte> span() const { return {data, size}; }
};

// Returns all of `buffer` as a slice.
Slice WholeSlice(BufferRef buffer);

// A sequence of slices that are sent in order (gather write). An answer is one: small pieces are
// copied, big ones are references to the tensors.
//
//   ByteChain answer;
//   answer.AppendCopy(head);
//   answer.Append(Slice{elements.data, elements.size, elements.owner});
//
// One thread at a time.
class ByteChain {
 public:
  ByteChain() = default;
  explicit ByteChain(Slice slice) { Append(std::move(slice)); }

  // An empty slice is dropped: sendmsg would take an entry for it.
  void Append(Slice slice) {
    if (slice.size == 0) return;
    bytes_ += slice.size;
    slices_.push_back(std::move(slice));
  }
  // Appends the slices of `chain`, and copies no bytes.
  void Append(ByteChain chain) {
    for (Slice& slice : chain.slices_) Append(std::move(slice));
  }
  // Appends a copy. For headers and other small pieces.
  void AppendCopy(std::string_view bytes) { Append(WholeSlice(CopyToBuffer(bytes))); }

  // The sum of the slices' sizes.
  size_t bytes() const { return bytes_; }
  bool empty() const { return bytes_ == 0; }
  std::span<const Slice> slices() const { return {slices_.data(), slices_.size()}; }
  // For moving slices out, or dropping their owners. bytes() does not follow such changes.
  std::span<Slice> mutable_slices() { return {slices_.data(), slices_.size()}; }

 private:
  absl::InlinedVector<Slice, 3> slices_;
  size_t bytes_ = 0;
};

// Returns the chain as one slice: without a copy if it has only one, else a copy of all, which no
// budget counts.
Slice Flatten(const ByteChain& chain);

}  // namespace penstock
