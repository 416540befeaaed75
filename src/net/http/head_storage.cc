// SPDX-License-Identifier: Apache-2.0
// A pooled call keeps the memory of its head for the next request. So the usual request allocates
// nothing. A call that had a very large head gives the memory back (Clear). Otherwise one client
// with large heads could leave a large buffer in every call of the pool.
#include "net/http/head_storage.h"

#include <algorithm>

namespace penstock::net {
namespace {

// A pooled head keeps at most this much.
constexpr size_t kPooledHeadBytesMax = 16 * 1024;
constexpr size_t kPooledFieldsMax = 128;

}  // namespace

void HeadStorage::Grow(size_t bytes) {
  capacity_ = std::max({kHeadBytesMin, capacity_ * 2, size_ + bytes});
  std::unique_ptr<char[]> bigger(new char[capacity_]);
  std::copy_n(bytes_.get(), size_, bigger.get());
  bytes_ = std::move(bigger);
}

std::span<const Header> HeadStorage::Fields() {
  headers_.resize(fields_.size());
  Header* header = headers_.data();
  for (const Field& field : fields_)
    *header++ = {View(field.name_at, field.name_size), View(field.value_at, field.value_size)};
  return {headers_.data(), headers_.size()};
}

void HeadStorage::Clear() {
  if (capacity_ > kPooledHeadBytesMax) {
    bytes_.reset();
    capacity_ = 0;
  }
  if (fields_.capacity() > kPooledFieldsMax) {
    fields_ = {};
    headers_ = {};
  }
  size_ = 0;
  fields_.clear();
}

}  // namespace penstock::net
