// SPDX-License-Identifier: Apache-2.0
#include "cache/cached_row.h"

#include <malloc.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

namespace penstock::cache {
namespace {

// What malloc aligns anyway is less than the elements need. Its own aligned memory would take more:
// its pieces leave gaps between them, which are too small for the next row.
constexpr size_t kGapMax = kBufferAlignment - alignof(std::max_align_t);

// Keeps the rows alive whose characters a tensor of strings points into. Thread-safe as Buffer is.
class RowOwners final : public Buffer {
 public:
  explicit RowOwners(std::span<const RowRef> rows)
      : Buffer(nullptr, 0), rows_(rows.begin(), rows.end()) {}

 private:
  const std::vector<RowRef> rows_;
};

}  // namespace

RowRef CachedRow::Make(DType dtype, Shape shape, size_t element_bytes, size_t string_bytes) {
  void* const memory =
      std::malloc(sizeof(CachedRow) + kGapMax + element_bytes + string_bytes + kBufferSlack);
  if (memory == nullptr) return {};
  const uintptr_t end = reinterpret_cast<uintptr_t>(memory) + sizeof(CachedRow);
  auto* const data = reinterpret_cast<std::byte*>((end + kBufferAlignment - 1) / kBufferAlignment *
                                                  kBufferAlignment);
  return RowRef(new (memory) CachedRow(data, element_bytes, dtype, std::move(shape), string_bytes));
}

RowRef CachedRow::Copy(const Tensor& tensor, int64_t row) {
  const Tensor from = tensor.Rows(row, 1);
  const size_t string_bytes = from.StringBytes();
  RowRef made =
      Make(from.dtype(), Shape(from.shape().dims().subspan(1)), from.bytes(), string_bytes);
  if (!made) return made;
  if (from.dtype() != DType::kString) {
    if (from.bytes() > 0) std::memcpy(made->data(), from.data(), from.bytes());
    return made;
  }
  auto* element = reinterpret_cast<StringElement*>(made->data());
  auto* characters = reinterpret_cast<char*>(made->characters());
  for (const StringElement& string : from.strings()) {
    if (string.size > 0) std::memcpy(characters, string.data, string.size);
    *element++ = {characters, string.size};
    characters += string.size;
  }
  return made;
}

size_t CachedRow::memory_bytes() const {
  // The allocator needs a word beside each piece.
  return ::malloc_usable_size(const_cast<CachedRow*>(this)) + sizeof(size_t);
}

void CachedRow::Destroy() noexcept {
  this->~CachedRow();
  std::free(this);
}

StatusOr<Tensor> JoinRows(std::span<const RowRef> rows, RequestMemory& memory) {
  const CachedRow& first = *rows.front();
  Shape shape{static_cast<int64_t>(rows.size())};
  for (const int64_t size : first.shape().dims()) shape.Append(size);
  for (const RowRef& row : rows.subspan(1)) {
    if (row->dtype() != first.dtype() || !(row->shape() == first.shape()))
      return absl::FailedPreconditionError("the rows have different types or shapes");
  }
  const bool has_strings = first.dtype() == DType::kString;
  if (rows.size() == 1) {
    const BufferRef& buffer = rows.front().buffer();
    if (has_strings) return Tensor::FromStrings(std::move(shape), buffer, {});
    return Tensor::FromBytes(first.dtype(), std::move(shape), {first.data(), first.size(), buffer});
  }
  ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(first.dtype(), std::move(shape), memory));
  std::byte* place = tensor.mutable_data();
  for (const RowRef& row : rows) {
    if (row->size() > 0) std::memcpy(place, row->data(), row->size());
    place += row->size();
  }
  if (has_strings) tensor.set_string_owner(BufferRef(new RowOwners(rows)));
  return tensor;
}

}  // namespace penstock::cache
