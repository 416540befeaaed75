// SPDX-License-Identifier: Apache-2.0
// Parts that end at the same time copy at the same time: the lock is held only while they find
// their places, which do not overlap.
#include "batch/rows_answer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/container/inlined_vector.h"

namespace penstock::batch {
namespace {

// Keeps the characters of the strings of all parts alive. Thread-safe as every Buffer.
class PartStrings final : public Buffer {
 public:
  explicit PartStrings(std::vector<BufferRef> owners)
      : Buffer(nullptr, 0), owners_(std::move(owners)) {}

 private:
  const std::vector<BufferRef> owners_;
};

// Where an output of a part belongs.
struct Place {
  const Tensor* from = nullptr;
  std::byte* to = nullptr;
};

// True if `part` has `rows` rows like those of `all`.
bool IsPartOf(const Tensor& part, int64_t rows, const Tensor& all) {
  const auto x = part.shape().dims(), y = all.shape().dims();
  return part.dtype() == all.dtype() && x.size() == y.size() && x.front() == rows &&
         std::equal(x.begin() + 1, x.end(), y.begin() + 1);
}

Status DoesNotFit(std::string_view name, int64_t rows, const Tensor& part) {
  return Error(StatusCode::kInternal,
               "the output '{}' of {} rows has the shape {}, which does not fit the other parts of "
               "the request",
               name, rows, part.shape().ToString());
}

// Copies strings with their characters, since the buffer of the part may have those of many more
// rows. Returns the buffer that has them now.
StatusOr<BufferRef> CopyStrings(const Tensor& from, std::byte* to, RequestMemory& memory) {
  ASSIGN_OR_RETURN(BufferRef characters, memory.Allocate(from.StringBytes()));
  auto* place = reinterpret_cast<char*>(characters->data());
  auto* element = reinterpret_cast<StringElement*>(to);
  for (const StringElement& string : from.strings()) {
    if (string.size > 0) std::memcpy(place, string.data, string.size);
    *element++ = {place, string.size};
    place += string.size;
  }
  return characters;
}

}  // namespace

Status RowsAnswer::Add(int64_t first, int64_t rows, const NamedTensors& outputs,
                       RequestMemory& memory) {
  absl::InlinedVector<Place, 2> places;
  {
    MutexLock lock(mutex_);
    if (!has_outputs_) TRY(Allocate(rows, outputs, memory));
    if (outputs.size() != outputs_.size())
      return Error(StatusCode::kInternal, "the parts of a request have different outputs");
    for (NamedTensor& output : outputs_) {
      const auto part = std::ranges::find(outputs, output.name, &NamedTensor::name);
      if (part == outputs.end())
        return Error(StatusCode::kInternal, "the parts of a request have different outputs");
      if (!IsPartOf(part->tensor, rows, output.tensor))
        return DoesNotFit(output.name, rows, part->tensor);
      const size_t row_bytes = part->tensor.bytes() / static_cast<size_t>(rows);
      places.push_back(
          {&part->tensor, output.tensor.mutable_data() + static_cast<size_t>(first) * row_bytes});
    }
  }
  for (const Place& place : places) {
    const Tensor& part = *place.from;
    if (part.dtype() == DType::kString) {
      ASSIGN_OR_RETURN(BufferRef characters, CopyStrings(part, place.to, memory));
      MutexLock lock(mutex_);
      characters_.push_back(std::move(characters));
    } else if (part.bytes() > 0) {
      std::memcpy(place.to, part.data(), part.bytes());
    }
  }
  return OkStatus();
}

Status RowsAnswer::Allocate(int64_t rows, const NamedTensors& outputs, RequestMemory& memory) {
  NamedTensors all;
  for (const NamedTensor& output : outputs) {
    const TensorSpec* const spec = signature_.FindOutput(output.name);
    if (spec == nullptr)
      return Error(StatusCode::kInternal, "the signature has no output '{}'", output.name);
    Shape shape = output.tensor.shape();
    if (shape.rank() == 0 || shape.dim(0) != rows)
      return DoesNotFit(spec->name, rows, output.tensor);
    shape.SetDim(0, rows_);
    // The name that the model gave may belong to the part.
    NamedTensor& room = all.emplace_back();
    room.name = spec->name;
    ASSIGN_OR_RETURN(room.tensor,
                     Tensor::Allocate(output.tensor.dtype(), std::move(shape), memory));
  }
  outputs_ = std::move(all);
  has_outputs_ = true;
  return OkStatus();
}

NamedTensors RowsAnswer::Take() {
  MutexLock lock(mutex_);
  const BufferRef strings =
      characters_.empty() ? BufferRef() : BufferRef(new PartStrings(std::move(characters_)));
  for (NamedTensor& output : outputs_)
    if (output.tensor.dtype() == DType::kString) output.tensor.set_string_owner(strings);
  return std::move(outputs_);
}

}  // namespace penstock::batch
