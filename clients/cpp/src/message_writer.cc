// SPDX-License-Identifier: Apache-2.0
#include "message_writer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <stdexcept>

namespace penstock_client {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are sent as they lie in memory");

// Smaller tensors are copied into the head: a copy costs less than one more piece.
constexpr size_t kCopiedBytesMax = 2048;
// Where the elements of large tensors begin, so that the server can use them where it received
// them.
constexpr size_t kAlignment = 64;

// A vtable has its own size, the size of its table, and for each field its place in the table (0:
// absent).
constexpr uint16_t kRequestVtable[] = {8, 12, 8, 4};
constexpr uint16_t kInferVtable[] = {12, 20, 4, 8, 12, 16};
constexpr uint16_t kNumbersVtable[] = {10, 16, 12, 4, 8};
constexpr uint16_t kStringsVtable[] = {12, 16, 12, 4, 0, 8};
constexpr uint32_t kTensorBytes = 16;
constexpr uint8_t kInferRequest = 1;

// A block that grows at its end. One thread at a time.
class Head {
 public:
  size_t size() const { return bytes_.size(); }

  template <typename T>
  void Put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  template <size_t size>
  size_t Put(const uint16_t (&vtable)[size]) {
    const size_t at = bytes_.size();
    bytes_.append(reinterpret_cast<const char*>(vtable), sizeof(vtable));
    return at;
  }
  void Put(std::span<const std::byte> bytes) {
    bytes_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  void PutZeros(size_t count) { bytes_.append(count, '\0'); }
  // Adds zeros until the end and `before` bytes more are aligned.
  void Pad(size_t before, size_t alignment) {
    PutZeros((alignment - (bytes_.size() + before) % alignment) % alignment);
  }
  void PutString(std::string_view text) {
    Put(static_cast<uint32_t>(text.size()));
    bytes_.append(text);
    PutZeros(4 - text.size() % 4);  // at least one: a zero that the length does not count
  }
  // A list of offsets, and the strings behind it.
  template <typename Texts>
  void PutStrings(const Texts& texts) {
    Put(static_cast<uint32_t>(texts.size()));
    size_t at = bytes_.size() + 4 * texts.size();
    for (const auto& text : texts) {
      Put(static_cast<uint32_t>(at - bytes_.size()));
      at += 4 + text.size() + 4 - text.size() % 4;
    }
    for (const auto& text : texts) PutString(text);
  }

  template <typename T>
  void Set(size_t at, T value) {
    std::memcpy(bytes_.data() + at, &value, sizeof(value));
  }
  // Writes an offset at `at` that leads to `target`.
  void Point(size_t at, size_t target) { Set(at, static_cast<uint32_t>(target - at)); }

  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// A tensor whose elements follow the head, and the place of the offset to them. Plain data.
struct LargeTensor {
  size_t offset_at;
  std::span<const std::byte> bytes;
};

uint64_t StringBytes(std::span<const std::string_view> texts) {
  uint64_t bytes = 0;
  for (const std::string_view text : texts) bytes += text.size() + 12;
  return bytes;
}

// Throws before memory is taken for a message that is too large. A bound from above for all but the
// tensors.
void CheckSize(std::span<const Input> inputs, std::span<const std::string> outputs,
               std::string_view config) {
  uint64_t bytes = 256 + config.size();
  for (const std::string& output : outputs) bytes += output.size() + 12;
  for (const Input& input : inputs)
    bytes += 256 + input.name().size() + 8 * input.shape().size() + input.bytes().size() +
             StringBytes(input.strings());
  if (bytes > kMessageBytesMax)
    throw std::invalid_argument("the request has about " + std::to_string(bytes) +
                                " bytes; a GraphPipe message has at most " +
                                std::to_string(kMessageBytesMax) + ": send fewer rows");
}

std::vector<std::string_view> NamesOf(std::span<const Input> inputs) {
  std::vector<std::string_view> names;
  for (const Input& input : inputs)
    if (!input.name().empty()) names.push_back(input.name());
  if (!names.empty() && names.size() != inputs.size())
    throw std::invalid_argument(
        "name each of the inputs, or none: " + std::to_string(names.size()) + " of " +
        std::to_string(inputs.size()) + " have a name");
  return names;
}

// The elements of the large tensors. The largest comes first: then the server receives it where the
// model can use it.
Message Gather(Head head, std::vector<LargeTensor> large) {
  std::ranges::stable_sort(large, std::ranges::greater(),
                           [](const LargeTensor& each) { return each.bytes.size(); });
  Message message;
  std::vector<std::string> paddings;
  size_t end = head.size();
  for (const LargeTensor& each : large) {
    Head padding;
    padding.PutZeros((kAlignment - (end + 4) % kAlignment) % kAlignment);
    head.Point(each.offset_at, end + padding.size());
    padding.Put(static_cast<uint32_t>(each.bytes.size()));
    end += padding.size() + each.bytes.size();
    paddings.push_back(padding.Take());
  }
  std::string first = head.Take();
  if (!large.empty()) first += paddings[0];
  message.AddCopy(std::move(first));
  for (size_t i = 0; i < large.size(); ++i) {
    if (i > 0) message.AddCopy(std::move(paddings[i]));
    message.AddView(large[i].bytes);
  }
  return message;
}

// The shape and, unless they are large, the elements of the tensor whose table is at `table`.
void PutTensor(Head& head, size_t table, const Input& input, size_t vtable,
               std::vector<LargeTensor>& large) {
  head.Set(table, static_cast<int32_t>(table - vtable));
  head.Set(table + 12, static_cast<uint8_t>(input.dtype()));
  head.Pad(4, 8);
  head.Point(table + 4, head.size());
  head.Put(static_cast<uint32_t>(input.shape().size()));
  for (const int64_t size : input.shape()) head.Put(size);
  if (input.dtype() == DType::kString) {
    head.Point(table + 8, head.size());
    head.PutStrings(input.strings());
  } else if (input.bytes().size() <= kCopiedBytesMax) {
    head.Pad(4, 8);
    head.Point(table + 8, head.size());
    head.Put(static_cast<uint32_t>(input.bytes().size()));
    head.Put(input.bytes());
    head.Pad(0, 4);
  } else {
    large.push_back({table + 8, input.bytes()});
  }
}

}  // namespace

Message WriteInferRequest(std::span<const Input> inputs, std::span<const std::string> outputs,
                          std::string_view config) {
  const std::vector<std::string_view> names = NamesOf(inputs);
  CheckSize(inputs, outputs, config);
  Head head;
  head.PutZeros(4);
  const size_t request_vtable = head.Put(kRequestVtable);
  const size_t infer_vtable = head.Put(kInferVtable);
  const size_t numbers_vtable = head.Put(kNumbersVtable);
  const size_t strings_vtable = head.Put(kStringsVtable);
  head.Pad(0, 4);
  const size_t request = head.size();
  head.Point(0, request);
  head.Put(static_cast<int32_t>(request - request_vtable));
  head.Put(uint32_t{8});  // the InferRequest follows the Request
  head.Put(uint32_t{kInferRequest});
  const size_t infer = head.size();
  head.Put(static_cast<int32_t>(infer - infer_vtable));
  head.PutZeros(16);
  head.Point(infer + 4, head.size());
  head.PutString(config);
  head.Point(infer + 8, head.size());
  head.PutStrings(names);
  head.Point(infer + 16, head.size());
  head.PutStrings(outputs);
  head.Point(infer + 12, head.size());
  head.Put(static_cast<uint32_t>(inputs.size()));
  const size_t tables = head.size() + 4 * inputs.size();
  for (size_t i = 0; i < inputs.size(); ++i)
    head.Put(static_cast<uint32_t>(tables + kTensorBytes * i - head.size()));
  head.PutZeros(kTensorBytes * inputs.size());
  std::vector<LargeTensor> large;
  for (size_t i = 0; i < inputs.size(); ++i)
    PutTensor(head, tables + kTensorBytes * i, inputs[i],
              inputs[i].dtype() == DType::kString ? strings_vtable : numbers_vtable, large);
  return Gather(std::move(head), std::move(large));
}

Message WriteMetadataRequest() {
  static constexpr uint8_t kBytes[] = {12, 0, 0, 0, 8, 0, 12, 0, 11, 0, 4, 0, 8, 0, 0, 0,
                                       12, 0, 0, 0, 0, 0, 0,  2, 4,  0, 4, 0, 4, 0, 0, 0};
  Message message;
  message.AddView(std::as_bytes(std::span(kBytes)));
  return message;
}

}  // namespace penstock_client
