// SPDX-License-Identifier: Apache-2.0
// Outputs become nested lists, without a tree of JSON values between: the writer gets brackets and
// numbers in the order in which the elements lie in memory. With "instances" each row has the
// values of all outputs, so several outputs are written row by row.
#include "protocols/tfs_json/predict_encoder.h"

#include <algorithm>

#include "protocols/tfs_json/json_writer.h"

namespace penstock::tfs_json {
namespace {

// TensorFlow Serving's rule: strings of an output with this end of its name are sent as base64.
constexpr std::string_view kBytesSuffix = "_bytes";

// Writes the elements of one tensor. One thread at a time.
class TensorWriter {
 public:
  TensorWriter(const NamedTensor& output, JsonWriter& writer)
      : output_(output), tensor_(output.tensor), writer_(writer) {
    as_base64_ = output.name.ends_with(kBytesSuffix);
    dims_ = tensor_.shape().dims();
  }

  // Writes the whole tensor.
  Status WriteAll() { return WriteLists(dims_, 0); }
  // Writes the part at `row` of the first dimension.
  Status WriteRow(int64_t row) {
    return WriteLists(dims_.subspan(1), row * (tensor_.element_count() / dims_[0]));
  }

 private:
  Status WriteLists(std::span<const int64_t> dims, int64_t first);
  Status WriteElements(int64_t first, int64_t count);
  template <typename T, typename ToText>
  void WriteNumbers(int64_t first, int64_t count, ToText to_text);
  template <typename T>
  Status WritePairs(int64_t first, int64_t count);
  Status WriteStrings(int64_t first, int64_t count);

  const NamedTensor& output_;
  const Tensor& tensor_;
  JsonWriter& writer_;
  bool as_base64_;
  std::span<const int64_t> dims_;
};

// Writes nested lists of `dims`, whose elements start at `first`. Counts like an odometer over all
// dimensions except the innermost, whose elements are written in one loop.
Status TensorWriter::WriteLists(std::span<const int64_t> dims, int64_t first) {
  if (dims.empty()) return WriteElements(first, 1);
  // If a dimension is 0, its lists are empty, and the dimensions inside them are not written.
  const auto empty = std::find(dims.begin(), dims.end(), 0);
  if (empty != dims.end()) dims = dims.first(static_cast<size_t>(empty - dims.begin()) + 1);
  const size_t outer = dims.size() - 1;
  const int64_t inner_count = dims[outer];
  absl::InlinedVector<int64_t, 8> at(outer, 0);
  size_t opened = 0;  // outer lists that are open already
  for (;;) {
    for (; opened < outer; ++opened) writer_.Raw('[');
    writer_.Raw('[');
    TRY(WriteElements(first, inner_count));
    first += inner_count;
    writer_.Raw(']');
    while (opened > 0 && ++at[opened - 1] == dims[opened - 1]) {
      at[--opened] = 0;
      writer_.Raw(']');
    }
    if (opened == 0) return OkStatus();
    writer_.Raw(',');
  }
}

template <typename T, typename ToText>
void TensorWriter::WriteNumbers(int64_t first, int64_t count, ToText to_text) {
  const T* at = tensor_.as<T>().data() + first;
  for (const T* const end = at + count; at < end; ++at) {
    char* to = to_text(writer_.Reserve(kNumberBytesMax + 1), *at);
    // The comma is written in any case, and left out at the end. So each number needs one
    // reservation.
    *to++ = ',';
    writer_.Commit(at + 1 < end ? to : to - 1);
  }
}

// Writes complex elements, whose halves are of type T, as [real, imaginary].
template <typename T>
Status TensorWriter::WritePairs(int64_t first, int64_t count) {
  const T* at = reinterpret_cast<const T*>(tensor_.data()) + 2 * first;
  for (; count > 0; --count, at += 2) {
    char* to = writer_.Reserve(2 * kNumberBytesMax + 4);
    *to++ = '[';
    to = WriteFloat(to, at[0]);
    *to++ = ',';
    to = WriteFloat(to, at[1]);
    *to++ = ']';
    *to++ = ',';
    writer_.Commit(count > 1 ? to : to - 1);
  }
  return OkStatus();
}

Status TensorWriter::WriteStrings(int64_t first, int64_t count) {
  for (const StringElement& element :
       tensor_.strings().subspan(static_cast<size_t>(first), static_cast<size_t>(count))) {
    if (as_base64_) {
      writer_.Base64Object(element.view());
    } else if (!writer_.String(element.view())) {
      return InvalidArgument(
          "The output '{}' holds bytes that are not UTF-8, which a JSON string cannot carry: give "
          "it a name that ends in \"_bytes\" to have it base64 encoded, or use gRPC",
          output_.name);
    }
    if (--count > 0) writer_.Raw(',');
  }
  return OkStatus();
}

Status TensorWriter::WriteElements(int64_t first, int64_t count) {
  const auto write = [&]<typename T>(T, auto to_text) {
    WriteNumbers<T>(first, count, to_text);
    return OkStatus();
  };
  const auto write_float = [](char* to, auto value) { return WriteFloat(to, value); };
  const auto write_int = [](char* to, auto value) {
    return std::to_chars(to, to + kNumberBytesMax, value).ptr;
  };
  switch (tensor_.dtype()) {
    case DType::kFloat32:
      return write(float(), write_float);
    case DType::kFloat64:
      return write(double(), write_float);
    case DType::kFloat16:
      return write(uint16_t(), WriteFloat16);
    case DType::kBfloat16:
      return write(uint16_t(), WriteBfloat16);
    case DType::kInt8:
    case DType::kQint8:
      return write(int8_t(), write_int);
    case DType::kInt16:
    case DType::kQint16:
      return write(int16_t(), write_int);
    case DType::kInt32:
    case DType::kQint32:
      return write(int32_t(), write_int);
    case DType::kInt64:
      return write(int64_t(), write_int);
    case DType::kUint8:
    case DType::kQuint8:
      return write(uint8_t(), write_int);
    case DType::kUint16:
    case DType::kQuint16:
      return write(uint16_t(), write_int);
    case DType::kUint32:
      return write(uint32_t(), write_int);
    case DType::kUint64:
      return write(uint64_t(), write_int);
    case DType::kBool:
      return write(uint8_t(), [](char* to, uint8_t value) {
        const std::string_view text = value != 0 ? "true" : "false";
        return std::copy(text.begin(), text.end(), to);
      });
    case DType::kComplex64:
      return WritePairs<float>(first, count);
    case DType::kComplex128:
      return WritePairs<double>(first, count);
    case DType::kString:
      return WriteStrings(first, count);
    default:
      break;
  }
  return InvalidArgument(
      "Failed to write JSON value for tensor type: {} of the output '{}', which JSON has no form "
      "for: use gRPC",
      DTypeName(tensor_.dtype()), output_.name);
}

void WriteName(std::string_view name, bool is_first, JsonWriter& writer) {
  if (!is_first) writer.Raw(',');
  writer.LossyString(name);
  writer.Raw(':');
}

// Returns the number of rows, which must be the same for all outputs.
StatusOr<int64_t> CountRows(const NamedTensors& outputs) {
  for (const NamedTensor& output : outputs) {
    const Shape& shape = output.tensor.shape();
    if (shape.rank() == 0) {
      return InvalidArgument(
          "Tensor name: {} has no shape information, so it cannot be answered as rows: send "
          "\"inputs\" instead of \"instances\"",
          output.name);
    }
    const int64_t rows = outputs.front().tensor.shape().dim(0);
    if (shape.dim(0) != rows) {
      return InvalidArgument(
          "Tensor name: {} has inconsistent batch size: {} expecting: {}; send \"inputs\" instead "
          "of \"instances\"",
          output.name, shape.dim(0), rows);
    }
  }
  return outputs.empty() ? 0 : outputs.front().tensor.shape().dim(0);
}

Status WriteRows(const NamedTensors& outputs, JsonWriter& writer) {
  ASSIGN_OR_RETURN(const int64_t rows, CountRows(outputs));
  // With one output a row is the plain value, so the list of rows is the tensor itself.
  if (outputs.size() == 1) return TensorWriter(outputs[0], writer).WriteAll();
  absl::InlinedVector<TensorWriter, 4> tensors;
  for (const NamedTensor& output : outputs) tensors.emplace_back(output, writer);
  writer.Raw('[');
  for (int64_t row = 0; row < rows; ++row) {
    writer.Raw(row == 0 ? "{" : ",{");
    for (size_t i = 0; i < outputs.size(); ++i) {
      WriteName(outputs[i].name, i == 0, writer);
      TRY(tensors[i].WriteRow(row));
    }
    writer.Raw('}');
  }
  writer.Raw(']');
  return OkStatus();
}

Status WriteColumns(const NamedTensors& outputs, JsonWriter& writer) {
  if (outputs.size() == 1) return TensorWriter(outputs[0], writer).WriteAll();
  writer.Raw('{');
  for (size_t i = 0; i < outputs.size(); ++i) {
    WriteName(outputs[i].name, i == 0, writer);
    TRY(TensorWriter(outputs[i], writer).WriteAll());
  }
  writer.Raw('}');
  return OkStatus();
}

// Large enough that a small answer needs one allocation.
size_t ExpectedBytes(const NamedTensors& outputs) {
  constexpr size_t kElementTextBytes = 12;
  size_t bytes = 64;
  for (const NamedTensor& output : outputs) {
    bytes += output.name.size() + 8;
    bytes += static_cast<size_t>(output.tensor.element_count()) * kElementTextBytes;
  }
  return bytes;
}

}  // namespace

StatusOr<ByteChain> EncodePredictResponse(PredictFormat format, const NamedTensors& outputs,
                                          RequestMemory* memory) try {
  JsonWriter writer(ExpectedBytes(outputs), memory);
  writer.Raw(format == PredictFormat::kRow ? "{\"predictions\":" : "{\"outputs\":");
  TRY(format == PredictFormat::kRow ? WriteRows(outputs, writer) : WriteColumns(outputs, writer));
  writer.Raw("}\n");
  return writer.Finish();
} catch (const JsonWriter::NoMemory& error) {
  return error.status;
}

}  // namespace penstock::tfs_json
