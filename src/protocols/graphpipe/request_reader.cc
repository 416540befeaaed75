// SPDX-License-Identifier: Apache-2.0
// How a request is read. First the tables, then the names, then the tensors. Each count is compared
// with the bytes behind it before anything is allocated for it, so a request costs memory only for
// what it has. Two things can make it larger than its message: parts that share bytes, which
// MessageUse counts, and elements that must be copied.
#include "protocols/graphpipe/request_reader.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "protocols/graphpipe/bfloat16.h"
#include "protocols/graphpipe/flat_reader.h"
#include "protocols/graphpipe/message_fields.h"
#include "protocols/graphpipe/types.h"

namespace penstock::graphpipe {
namespace {

Status Malformed(const FlatReader& reader, size_t message_bytes) {
  return InvalidArgument("the GraphPipe message is malformed: {} (byte {} of {})",
                         reader.error().what, reader.error().where, message_bytes);
}

Status NoRequest(uint8_t type) {
  return InvalidArgument(
      "the GraphPipe message is no request: its type is {}; an InferRequest has 1, a "
      "MetadataRequest has 2",
      type);
}

std::string NamesOf(std::span<const TensorSpec> specs) {
  std::string names;
  for (const TensorSpec& spec : specs) {
    if (!names.empty()) names += ", ";
    names += spec.name;
  }
  return names.empty() ? "none" : names;
}

Status CheckCounts(const InferFields& fields, const ReadLimits& limits) {
  const std::pair<std::string_view, uint32_t> counts[] = {
      {"input_names", fields.input_names.count},
      {"input_tensors", fields.input_tensors.count},
      {"output_names", fields.output_names.count}};
  for (const auto& [field, count] : counts) {
    if (count > limits.names_max)
      return InvalidArgument("{} has {} elements; at most {} are allowed", field, count,
                             limits.names_max);
  }
  if (fields.config.count > limits.config_bytes_max)
    return InvalidArgument("config has {} bytes; at most {} are allowed", fields.config.count,
                           limits.config_bytes_max);
  if (fields.input_names.count > fields.input_tensors.count)
    return InvalidArgument("input_names has {} names for {} input_tensors",
                           fields.input_names.count, fields.input_tensors.count);
  return OkStatus();
}

// Returns the input or output of this name; null if there is none. TensorFlow calls the first
// result of an operation "op:0", or "op" for short, and clients of GraphPipe's server for it say
// either.
const TensorSpec* FindTensor(std::span<const TensorSpec> specs, std::string_view name) {
  constexpr std::string_view kFirst = ":0";
  const auto find = [&](auto&& is_it) -> const TensorSpec* {
    const auto found = std::ranges::find_if(specs, is_it, &TensorSpec::name);
    return found == specs.end() ? nullptr : &*found;
  };
  if (const TensorSpec* const same = find([&](std::string_view each) { return each == name; }))
    return same;
  const bool is_long = name.ends_with(kFirst);
  const std::string_view stem = name.substr(0, name.size() - (is_long ? kFirst.size() : 0));
  return find([&](std::string_view each) {
    if (is_long) return each == stem;
    return each.size() == stem.size() + kFirst.size() && each.starts_with(stem) &&
           each.ends_with(kFirst);
  });
}

// The engine checks the names of outputs, too. But it cannot know that this client has no other way
// to learn them than this text. Names become those of the signature.
Status CheckOutputNames(OutputFilter& names, const Signature* signature) {
  for (size_t i = 0; i < names.size(); ++i) {
    const TensorSpec* const spec =
        signature == nullptr ? nullptr : FindTensor(signature->outputs, names[i]);
    if (spec != nullptr) names[i] = spec->name;
    if (spec != nullptr || (signature == nullptr && !names[i].empty())) continue;
    return InvalidArgument(
        "output_names[{}] is '{:.100}'; the outputs are: {}", i, names[i],
        signature == nullptr ? "the names of the inputs" : NamesOf(signature->outputs));
  }
  return OkStatus();
}

// Offsets may lead to the same name, so a short message can have thousands of long ones. Those who
// look at each of them rely on the limit.
Status CheckName(std::string_view name, std::string_view field, uint32_t index,
                 const ReadLimits& limits) {
  if (name.size() > limits.name_bytes_max)
    return InvalidArgument("{}[{}] has {} bytes; at most {} are allowed", field, index, name.size(),
                           limits.name_bytes_max);
  if (!IsUtf8(name)) return InvalidArgument("{}[{}] is not UTF-8", field, index);
  return OkStatus();
}

Status CheckUnique(const NamedTensors& inputs, const Signature* signature) {
  if (inputs.size() < 2) return OkStatus();
  // Sorted, because a model without a signature may have thousands of inputs.
  absl::InlinedVector<std::string_view, 16> names;
  for (const NamedTensor& input : inputs) names.push_back(input.name);
  std::ranges::sort(names);
  const auto twice = std::ranges::adjacent_find(names);
  if (twice == names.end()) return OkStatus();
  return InvalidArgument("input_names has '{:.100}' twice; the inputs are: {}", *twice,
                         signature == nullptr ? "any" : NamesOf(signature->inputs));
}

}  // namespace

// Counts the bytes of a message that its names and tensors use. Several of them may lie at the same
// place. Then they are together larger than the message, and later steps that copy them need that
// memory. One thread at a time.
class RequestReader::MessageUse final {
 public:
  MessageUse(uint64_t message_bytes, RequestMemory& memory)
      : message_bytes_(message_bytes), memory_(memory) {}

  Status Count(uint64_t bytes) {
    const uint64_t counted = std::max(used_, message_bytes_);
    used_ += bytes;
    if (used_ <= counted) return OkStatus();
    const uint64_t more = used_ - counted;
    if (more > memory_.bytes_left())
      return Error(StatusCode::kResourceExhausted,
                   "the parts of the message share bytes, and together have {} bytes more than "
                   "the message; the limit is {}",
                   more, memory_.bytes_left());
    memory_.Take(more);
    return OkStatus();
  }

 private:
  const uint64_t message_bytes_;
  RequestMemory& memory_;
  uint64_t used_ = 0;
};

// Reads the tensors of one message. One thread at a time.
class RequestReader::TensorReader final {
 public:
  TensorReader(FlatReader& reader, const Slice& message, MessageUse& use, RequestMemory& memory,
               uint64_t& copied)
      : reader_(reader), message_(message), use_(use), memory_(memory), copied_(copied) {}

  // Reads a tensor for an input of the type `wanted`; kInvalid: of any.
  StatusOr<Tensor> Read(const TensorFields& fields, DType wanted) {
    const DType sent = DTypeOf(fields.type);
    if (sent == DType::kInvalid)
      return InvalidArgument("its type is {}; the types of elements are 1 to 12", fields.type);
    if (fields.shape.count > kRankMax)
      return InvalidArgument("its shape has {} dimensions; at most {} are allowed",
                             fields.shape.count, kRankMax);
    Shape shape;
    for (uint32_t i = 0; i < fields.shape.count; ++i)
      shape.Append(reader_.Int64At(fields.shape, i));
    if (sent == DType::kString) return ReadStrings(fields, shape);
    if (fields.strings.count > 0)
      return InvalidArgument("its type is {}, but it has string_val", DTypeName(sent));
    return ReadNumbers(fields.data, sent, wanted, shape);
  }

 private:
  StatusOr<Tensor> ReadNumbers(const FlatVector& data, DType sent, DType wanted,
                               const Shape& shape) {
    const std::optional<int64_t> count = shape.ElementCount();
    uint64_t bytes = 0;
    if (!count || __builtin_mul_overflow(static_cast<uint64_t>(*count), DTypeBytes(sent), &bytes) ||
        bytes != data.count) {
      return InvalidArgument("its data has {} bytes; {} of the shape {} needs {}", data.count,
                             DTypeName(sent), shape.ToString(),
                             count ? fmt::format("{}", bytes) : "a shape that can be");
    }
    TRY(use_.Count(bytes));
    const Slice elements{message_.data + data.at, data.count, message_.owner};
    const bool is_stand_in =
        wanted != DType::kInvalid && wanted != sent && TypeFor(wanted) == TypeFor(sent);
    const DType dtype = is_stand_in ? wanted : sent;
    if (dtype == DType::kBfloat16) {
      copied_ += bytes;
      return Bfloat16OfFloats(shape, elements, memory_);
    }
    // The runtimes read these bytes as C++ bools, and any other value would be undefined behaviour.
    const auto is_bool = [](std::byte byte) { return byte <= std::byte{1}; };
    if (dtype == DType::kBool && !std::ranges::all_of(elements.span(), is_bool))
      return InvalidArgument("the input is a bool, and its data has bytes other than 0 and 1");
    StatusOr<Tensor> tensor = Tensor::ViewOrCopy(dtype, shape, elements, memory_);
    if (tensor.ok() && bytes > 0 && tensor->data() != elements.data) copied_ += bytes;
    return tensor;
  }

  StatusOr<Tensor> ReadStrings(const TensorFields& fields, const Shape& shape) {
    if (fields.data.count > 0)
      return InvalidArgument("its type is string, but it has data: strings are in string_val");
    const std::optional<int64_t> count = shape.ElementCount();
    if (!count || static_cast<uint64_t>(*count) != fields.strings.count)
      return InvalidArgument("its string_val has {} strings; the shape {} needs {}",
                             fields.strings.count, shape.ToString(),
                             count ? fmt::format("{}", *count) : "to be possible");
    ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(DType::kString, shape, memory_));
    uint64_t bytes = 0;
    uint32_t index = 0;
    for (StringElement& element : tensor.mutable_as<StringElement>()) {
      std::string_view text;
      if (!reader_.BytesAt(fields.strings, index++, text)) return Malformed(reader_, message_.size);
      element = {text.data(), text.size()};
      bytes += text.size();
    }
    TRY(use_.Count(bytes));
    tensor.set_string_owner(message_.owner);
    return tensor;
  }

  FlatReader& reader_;
  const Slice& message_;
  MessageUse& use_;
  RequestMemory& memory_;
  uint64_t& copied_;
};

StatusOr<RequestKind> ReadKind(std::string_view message) {
  FlatReader reader(message);
  RequestFields fields;
  if (!fields.Read(reader)) return Malformed(reader, message.size());
  if (fields.type == kMetadataRequestType) return RequestKind::kMetadata;
  if (fields.type != kInferRequestType) return NoRequest(fields.type);
  return RequestKind::kInfer;
}

// Reads a list of names. `field` is its name in the schema.
Status RequestReader::ReadNames(FlatReader& reader, const FlatVector& vector,
                                std::string_view field, const ReadLimits& limits, MessageUse& use,
                                OutputFilter& names) {
  names.clear();
  for (uint32_t i = 0; i < vector.count; ++i) {
    std::string_view name;
    if (!reader.BytesAt(vector, i, name)) return Malformed(reader, reader.message_bytes());
    TRY(use.Count(name.size()));
    TRY(CheckName(name, field, i, limits));
    names.push_back(name);
  }
  return OkStatus();
}

StatusOr<std::string_view> RequestReader::InputName(std::span<const std::string_view> names,
                                                    size_t index, size_t count,
                                                    const Signature* signature) {
  const std::string_view name = index < names.size() ? names[index] : std::string_view();
  if (signature == nullptr) {
    if (!name.empty()) return name;
    // Without growth the texts stay where they are.
    made_names_.reserve(count);
    return made_names_.emplace_back(fmt::format("input_{}", index));
  }
  if (name.empty()) {
    if (index < signature->inputs.size()) return AtPlace(signature->inputs, index).name;
    return InvalidArgument("the request has {} input_tensors; the inputs are: {}", count,
                           NamesOf(signature->inputs));
  }
  if (const TensorSpec* const spec = FindTensor(signature->inputs, name); spec != nullptr)
    return spec->name;
  return InvalidArgument("input_names[{}] is '{:.100}'; the inputs are: {}", index, name,
                         NamesOf(signature->inputs));
}

Status RequestReader::Read(const Slice& message, const ModelInfo& info, const ReadLimits& limits,
                           RequestMemory& memory, InferRequest& request) {
  Clear();
  request.inputs.clear();
  request.options.clear();
  request.names_owner = message.owner;
  if (message.size > kMessageBytesMax)
    return InvalidArgument("the GraphPipe message has {} bytes; at most {} can be read",
                           message.size, kMessageBytesMax);
  FlatReader reader(message.view());
  RequestFields head;
  if (!head.Read(reader)) return Malformed(reader, message.size);
  if (head.type != kInferRequestType) return NoRequest(head.type);
  if (!head.has_content)
    return InvalidArgument("the GraphPipe message has no InferRequest: its field req is missing");
  InferFields fields;
  if (!fields.Read(reader, head.content)) return Malformed(reader, message.size);
  TRY(CheckCounts(fields, limits));
  if (fields.config.count > 0)
    request.options.emplace_back(kConfigOption, reader.View(fields.config));
  MessageUse use(message.size, memory);
  OutputFilter names;
  TRY(ReadNames(reader, fields.input_names, "input_names", limits, use, names));
  TRY(ReadNames(reader, fields.output_names, "output_names", limits, use, request.output_filter));

  const bool is_any = info.traits.any_signature;
  const Signature* const signature = is_any ? nullptr : info.FindSignature(request.signature_name);
  if (signature == nullptr && !is_any) return OkStatus();  // the engine has the words for it
  TRY(CheckOutputNames(request.output_filter, signature));

  TensorReader tensors(reader, message, use, memory, copied_bytes_);
  for (uint32_t i = 0; i < fields.input_tensors.count; ++i) {
    ASSIGN_OR_RETURN(const std::string_view name,
                     InputName(names, i, fields.input_tensors.count, signature));
    FlatTable table;
    TensorFields tensor_fields;
    if (!reader.TableAt(fields.input_tensors, i, table) || !tensor_fields.Read(reader, table))
      return Malformed(reader, message.size);
    const TensorSpec* const spec = signature == nullptr ? nullptr : signature->FindInput(name);
    const DType wanted = spec == nullptr ? DType::kInvalid : spec->dtype;
    StatusOr<Tensor> tensor = tensors.Read(tensor_fields, wanted);
    if (!tensor.ok())
      return Error(tensor.status().code(), "input_tensors[{}] ('{:.100}'): {}", i, name,
                   MessageOf(tensor.status()));
    request.inputs.push_back({name, *std::move(tensor)});
  }
  return CheckUnique(request.inputs, signature);
}

}  // namespace penstock::graphpipe
