// SPDX-License-Identifier: Apache-2.0
// How an answer is laid out. flatbuffers' own builder works from the end to the front in one block,
// and so would copy each tensor. This writer goes from the front to the end, and computes all
// positions first:
//
//   root offset | vtables | InferResponse | list of tensors | Tensor tables |
//   shapes, strings and small tensors | padding, length, elements of each big tensor
//
// All of it but the elements of big tensors is one buffer (`head`). The elements lie at a multiple
// of 64 bytes from the start, so that clients who align the message get aligned elements.
#include "protocols/graphpipe/response_writer.h"

#include <array>
#include <bit>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "graphpipe/graphpipe_generated.h"
#include "protocols/graphpipe/bfloat16.h"
#include "protocols/graphpipe/flat_reader.h"
#include "protocols/graphpipe/types.h"

namespace penstock::graphpipe {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr size_t kOffsetBytes = sizeof(uint32_t);  // also of a count

// The fixed part: root offset, three vtables, and the table InferResponse. A vtable has its own
// size, the size of its table, and the position of each field in the table.
constexpr size_t kTensorTableBytes = 16;  // to the vtable, shape, data or string_val, type
constexpr uint16_t kShapeAt = 4, kElementsAt = 8, kTypeAt = 12;
constexpr std::array<uint16_t, 3> kResponseVtable = {6, 8, 4};
constexpr std::array<uint16_t, 5> kNumbersVtable = {10, kTensorTableBytes, kTypeAt, kShapeAt,
                                                    kElementsAt};
constexpr std::array<uint16_t, 6> kStringsVtable = {12, kTensorTableBytes, kTypeAt, kShapeAt,
                                                    0,  kElementsAt};
constexpr size_t kResponseVtableAt = kOffsetBytes;
constexpr size_t kNumbersVtableAt = kResponseVtableAt + sizeof(kResponseVtable);
constexpr size_t kStringsVtableAt = kNumbersVtableAt + sizeof(kNumbersVtable);
constexpr size_t kResponseAt = kStringsVtableAt + sizeof(kStringsVtable);
constexpr size_t kListAt = kResponseAt + 8;
static_assert(kResponseAt % kOffsetBytes == 0);

// Returns the first position from `end` on at which a count of 32 bits can stand, so that what
// follows it lies at a multiple of `alignment`.
uint64_t CountAt(uint64_t end, uint64_t alignment) {
  return (end + kOffsetBytes + alignment - 1) / alignment * alignment - kOffsetBytes;
}

// One tensor, and where its parts are in the message. Plain data.
struct Part {
  Tensor tensor;
  Type type = Type::kNull;
  bool is_gathered = false;
  uint64_t shape_at = 0;     // of the count
  uint64_t elements_at = 0;  // of the count
};

// Writes numbers at positions of one buffer. One thread at a time.
class HeadWriter final {
 public:
  explicit HeadWriter(std::byte* head) : head_(head) {}

  template <typename T>
  void Put(uint64_t at, const T& value) {
    std::memcpy(head_ + at, &value, sizeof(value));
  }
  // An offset at `at` that leads to `target`.
  void PutOffset(uint64_t at, uint64_t target) { Put(at, static_cast<uint32_t>(target - at)); }
  void PutBytes(uint64_t at, const void* bytes, size_t size) {
    if (size > 0) std::memcpy(head_ + at, bytes, size);
  }

 private:
  std::byte* head_;
};

// The positions of all parts. Plain data.
struct Plan {
  absl::InlinedVector<Part, 2> parts;
  uint64_t small_end = 0;   // the end of everything but the gathered tensors
  uint64_t head_bytes = 0;  // and what precedes the elements of each of these
  uint64_t message_bytes = 0;
  uint64_t copied_bytes = 0;
};

uint64_t StringsEnd(const Tensor& tensor, uint64_t at) {
  uint64_t end = at + kOffsetBytes * (tensor.strings().size() + 1);
  for (const StringElement& element : tensor.strings()) {
    // A count, the bytes, and a zero that no count includes.
    end = CountAt(end, kOffsetBytes) + kOffsetBytes + element.size + 1;
  }
  return end;
}

StatusOr<Part> MakePart(const NamedTensor& output, RequestMemory& memory, uint64_t& copied_bytes) {
  Part part{.tensor = output.tensor, .type = TypeFor(output.tensor.dtype())};
  if (part.type == Type::kNull)
    return Error(StatusCode::kUnimplemented,
                 "the output '{:.100}' is {}, for which GraphPipe has no type: ask for other "
                 "outputs in output_names, or use gRPC or REST",
                 output.name, DTypeName(output.tensor.dtype()));
  if (output.tensor.dtype() == DType::kBfloat16) {
    ASSIGN_OR_RETURN(part.tensor, FloatsOfBfloat16(output.tensor, memory));
    copied_bytes += output.tensor.bytes();
  }
  return part;
}

StatusOr<Plan> MakePlan(std::span<const NamedTensor> outputs, const WriteOptions& options,
                        RequestMemory& memory) {
  Plan plan;
  uint64_t end = kListAt + kOffsetBytes * (1 + outputs.size()) + kTensorTableBytes * outputs.size();
  for (const NamedTensor& output : outputs) {
    ASSIGN_OR_RETURN(Part part, MakePart(output, memory, plan.copied_bytes));
    const Tensor& tensor = part.tensor;
    part.shape_at = CountAt(end, sizeof(int64_t));
    end = part.shape_at + kOffsetBytes + sizeof(int64_t) * tensor.shape().rank();
    if (part.type == Type::kString) {
      part.elements_at = CountAt(end, kOffsetBytes);
      end = StringsEnd(tensor, part.elements_at);
      plan.copied_bytes += tensor.StringBytes();
    } else if (tensor.bytes() < options.gather_bytes_min) {
      part.elements_at = CountAt(end, sizeof(int64_t));
      end = part.elements_at + kOffsetBytes + tensor.bytes();
      plan.copied_bytes += tensor.bytes();
    } else {
      part.is_gathered = true;
    }
    plan.parts.push_back(std::move(part));
  }
  plan.small_end = plan.head_bytes = end;
  for (Part& part : plan.parts) {
    if (!part.is_gathered) continue;
    part.elements_at = CountAt(end, kBufferAlignment);
    plan.head_bytes += part.elements_at + kOffsetBytes - end;
    end = part.elements_at + kOffsetBytes + part.tensor.bytes();
  }
  plan.message_bytes = end;
  if (end > kMessageBytesMax)
    return Error(StatusCode::kResourceExhausted,
                 "the answer has {} bytes; a GraphPipe message has at most {}: send fewer rows, or "
                 "ask for fewer outputs",
                 end, kMessageBytesMax);
  return plan;
}

void WriteFixedPart(size_t count, HeadWriter& head) {
  head.PutOffset(0, kResponseAt);
  head.Put(kResponseVtableAt, kResponseVtable);
  head.Put(kNumbersVtableAt, kNumbersVtable);
  head.Put(kStringsVtableAt, kStringsVtable);
  head.Put(kResponseAt, static_cast<int32_t>(kResponseAt - kResponseVtableAt));
  head.PutOffset(kResponseAt + kOffsetBytes, kListAt);
  head.Put(kListAt, static_cast<uint32_t>(count));
}

void WriteStrings(const Part& part, HeadWriter& head) {
  const std::span<const StringElement> strings = part.tensor.strings();
  head.Put(part.elements_at, static_cast<uint32_t>(strings.size()));
  uint64_t offset_at = part.elements_at + kOffsetBytes;
  uint64_t end = offset_at + kOffsetBytes * strings.size();
  for (const StringElement& element : strings) {
    const uint64_t at = CountAt(end, kOffsetBytes);
    head.PutOffset(offset_at, at);
    head.Put(at, static_cast<uint32_t>(element.size));
    head.PutBytes(at + kOffsetBytes, element.data, element.size);
    offset_at += kOffsetBytes;
    end = at + kOffsetBytes + element.size + 1;
  }
}

// Writes the table of the tensor, its shape, and its elements unless they are gathered.
void WritePart(const Part& part, uint64_t table_at, HeadWriter& head) {
  const Tensor& tensor = part.tensor;
  const bool is_string = part.type == Type::kString;
  const size_t vtable_at = is_string ? kStringsVtableAt : kNumbersVtableAt;
  head.Put(table_at, static_cast<int32_t>(table_at - vtable_at));
  head.PutOffset(table_at + kShapeAt, part.shape_at);
  head.PutOffset(table_at + kElementsAt, part.elements_at);
  head.Put(table_at + kTypeAt, part.type);
  const std::span<const int64_t> dims = tensor.shape().dims();
  head.Put(part.shape_at, static_cast<uint32_t>(dims.size()));
  head.PutBytes(part.shape_at + kOffsetBytes, dims.data(), dims.size_bytes());
  if (part.is_gathered) return;
  if (is_string) return WriteStrings(part, head);
  head.Put(part.elements_at, static_cast<uint32_t>(tensor.bytes()));
  head.PutBytes(part.elements_at + kOffsetBytes, tensor.data(), tensor.bytes());
}

}  // namespace

StatusOr<ByteChain> WriteInferResponse(std::span<const NamedTensor> outputs,
                                       const WriteOptions& options, RequestMemory& memory,
                                       uint64_t* copied_bytes) {
  ASSIGN_OR_RETURN(const Plan plan, MakePlan(outputs, options, memory));
  if (copied_bytes != nullptr) *copied_bytes = plan.copied_bytes;
  ASSIGN_OR_RETURN(const BufferRef buffer, memory.Allocate(plan.head_bytes));
  // The gaps between the parts must not show what the memory had before.
  std::memset(buffer->data(), 0, plan.head_bytes);
  HeadWriter head(buffer->data());
  WriteFixedPart(plan.parts.size(), head);
  const uint64_t tables_at = kListAt + kOffsetBytes * (1 + plan.parts.size());
  for (size_t i = 0; i < plan.parts.size(); ++i) {
    const uint64_t table_at = tables_at + kTensorTableBytes * i;
    head.PutOffset(kListAt + kOffsetBytes * (1 + i), table_at);
    WritePart(plan.parts[i], table_at, head);
  }
  ByteChain answer;
  uint64_t sent = 0;              // the part of the buffer that is in the answer
  uint64_t end = plan.small_end;  // of the message, so far
  uint64_t head_end = plan.small_end;
  for (const Part& part : plan.parts) {
    if (!part.is_gathered) continue;
    head_end += part.elements_at + kOffsetBytes - end;
    head.Put(head_end - kOffsetBytes, static_cast<uint32_t>(part.tensor.bytes()));
    answer.Append({buffer->data() + sent, head_end - sent, buffer});
    answer.Append(part.tensor.elements());
    sent = head_end;
    end = part.elements_at + kOffsetBytes + part.tensor.bytes();
  }
  answer.Append({buffer->data() + sent, head_end - sent, buffer});
  return answer;
}

ByteChain WriteErrorResponse(int64_t code, std::string_view message) {
  flatbuffers::FlatBufferBuilder builder;
  const auto text = builder.CreateString(message.data(), message.size());
  const auto error = ::graphpipe::CreateError(builder, code, text);
  const auto tensors =
      builder.CreateVector(std::vector<flatbuffers::Offset<::graphpipe::Tensor>>());
  const auto errors = builder.CreateVector(&error, 1);
  builder.Finish(::graphpipe::CreateInferResponse(builder, tensors, errors));
  ByteChain answer;
  answer.AppendCopy({reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()});
  return answer;
}

}  // namespace penstock::graphpipe
