// SPDX-License-Identifier: Apache-2.0
// The number of elements is not known before the last one is read, and a tensor can have hundreds
// of megabytes. To double the memory again and again would copy the elements and take up to twice
// as much as needed. The length of the remaining text is known, so it predicts the rest.
#include "protocols/tfs_json/tensor_builder.h"

#include <algorithm>

namespace penstock::tfs_json {
namespace {

constexpr size_t kFirstElements = 16;
// The least text of an element and its comma.
constexpr size_t kElementTextBytesMin = 2;

}  // namespace

// Estimates the number of further elements from the length of the remaining text, so that nearly
// always one growth is enough.
bool TensorBuilder::Grow(JsonCursor& cursor) {
  const size_t used = buffer_ ? static_cast<size_t>(next_ - buffer_->data()) : 0;
  const size_t count = used / element_bytes_;
  // The rest of the text cannot hold more elements than this, whatever the estimate says.
  const size_t count_max = count + cursor.bytes_left() / kElementTextBytesMin + 1;
  size_t wanted = kFirstElements;
  if (count == 0) {
    start_ = cursor.at();
  } else {
    const double density = static_cast<double>(count) / static_cast<double>(cursor.at() - start_);
    const double expected = density * static_cast<double>(cursor.bytes_left()) * 1.05;
    // The elements so far predict the density of the rest. If the rest is denser, growth by a
    // quarter still keeps the number of copies small.
    wanted = count + std::max(count / 4, static_cast<size_t>(expected)) + kFirstElements;
  }
  const size_t bytes = std::min(wanted, count_max) * element_bytes_;
  // Take what the limit leaves, even if it is less than wanted: the estimate may be too high.
  const size_t more = std::min<uint64_t>(bytes - used, memory_->bytes_left());
  if (more < element_bytes_) {
    return cursor.Fail(StatusCode::kResourceExhausted,
                       "the tensors of this request take more memory than one request may "
                       "(--decoded_tensor_bytes_max)");
  }
  const size_t room = (used + more) / element_bytes_ * element_bytes_;
  StatusOr<BufferRef> grown = memory_->Allocate(room);
  if (!grown.ok()) {
    return cursor.Fail(grown.status().code(), std::string(MessageOf(grown.status())));
  }
  memory_->Take(room - used);
  if (used > 0) std::memcpy((*grown)->data(), buffer_->data(), used);
  buffer_ = *std::move(grown);
  next_ = buffer_->data() + used;
  limit_ = buffer_->data() + room;
  return true;
}

void TensorBuilder::ConvertInt64ToFloat32() {
  const size_t count = buffer_ ? static_cast<size_t>(next_ - buffer_->data()) / sizeof(int64_t) : 0;
  // Converts in place: an element's new bytes never reach past its old ones.
  for (size_t i = 0; i < count; ++i) {
    int64_t integer;
    std::memcpy(&integer, buffer_->data() + i * sizeof(integer), sizeof(integer));
    const float value = static_cast<float>(integer);
    std::memcpy(buffer_->data() + i * sizeof(value), &value, sizeof(value));
  }
  SetType(DType::kFloat32);
  if (buffer_) next_ = buffer_->data() + count * sizeof(float);
}

bool TensorBuilder::FailRank(JsonCursor& cursor, int depth) {
  const char next = cursor.Peek();
  if (next == '[') return FailList(cursor);
  if (next == ']') return FailCount(cursor, depth - 1, 0);
  return cursor.FailValue(fmt::format(
      "found at incorrect level: {} in the JSON DOM. Expected at level: {}", depth, rank_));
}

bool TensorBuilder::FailList(JsonCursor& cursor) const {
  return cursor.Fail(
      fmt::format("Encountered list at unexpected level: {} expected < {}", rank_, rank_));
}

bool TensorBuilder::FailCount(JsonCursor& cursor, int depth, int64_t count) {
  return cursor.Fail(
      fmt::format("Encountered list at unexpected size: {} at level: {} expected size: {}", count,
                  depth, dims_[static_cast<size_t>(depth)]));
}

Status TensorBuilder::JoinPairs() {
  const bool is_empty = next_ == nullptr || next_ == buffer_->data();
  if (is_empty) return OkStatus();
  if (dims_.empty() || dims_.back() != 2) {
    return InvalidArgument(
        "an element of type {} is a list of two numbers, [real, imaginary], but {}",
        DTypeName(dtype_),
        dims_.empty() ? "a number came" : fmt::format("a list of {} came", dims_.back()));
  }
  dims_.pop_back();
  return OkStatus();
}

StatusOr<Tensor> TensorBuilder::Finish(const BufferRef& string_owner, bool has_rows) {
  if (IsComplex(dtype_)) TRY(JoinPairs());
  Shape shape;
  if (has_rows) shape.Append(rows_);
  // The sizes inside an empty list are unknown, and do not matter.
  for (const int64_t dim : dims_) shape.Append(std::max<int64_t>(dim, 0));
  if (!buffer_) buffer_ = AllocateBuffer(0);
  // Lists without elements have no type.
  if (dtype_ == DType::kInvalid) SetType(DType::kFloat32);
  const size_t bytes = next_ == nullptr ? 0 : static_cast<size_t>(next_ - buffer_->data());
  const Slice elements{buffer_->data(), bytes, buffer_};
  if (dtype_ != DType::kString) return Tensor::FromBytes(dtype_, std::move(shape), elements);
  // The array must have exactly the right size.
  ASSIGN_OR_RETURN(BufferRef array, memory_->Allocate(bytes));
  if (bytes > 0) std::memcpy(array->data(), elements.data, bytes);
  return Tensor::FromStrings(std::move(shape), std::move(array), string_owner);
}

}  // namespace penstock::tfs_json
