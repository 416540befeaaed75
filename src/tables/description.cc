// SPDX-License-Identifier: Apache-2.0
#include "tables/description.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "tensor/tensor.h"

namespace penstock::tables {
namespace {

// The outputs, in their order.
constexpr std::string_view kDefaultRow = "default_row";
constexpr std::string_view kDimension = "dimension";
constexpr std::string_view kHash = "hash";
constexpr std::string_view kKeyType = "key_type";
constexpr std::string_view kRowCount = "row_count";
constexpr std::string_view kShard = "shard";

std::string_view HashName(KeyType type) { return type == KeyType::kDense ? "modulo" : "mix64"; }

// `text` must be static.
StatusOr<Tensor> TextTensor(std::string_view text) {
  ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(DType::kString, {}));
  tensor.mutable_as<StringElement>()[0] = {text.data(), text.size()};
  return tensor;
}

StatusOr<Tensor> NumberTensor(uint64_t number) {
  ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(DType::kInt64, {}));
  tensor.mutable_as<int64_t>()[0] = static_cast<int64_t>(number);
  return tensor;
}

TensorSpec SpecOf(std::string_view name, DType dtype, Shape shape) {
  return {.name = std::string(name),
          .backend_name = std::string(name),
          .dtype = dtype,
          .shape = std::move(shape)};
}

// Reads the outputs of another server. One thread at a time.
class OutputReader final {
 public:
  explicit OutputReader(const NamedTensors& outputs) : outputs_(outputs) {}

  // `dtype` of kInvalid: any. `count` of -1: any number of elements.
  StatusOr<const Tensor*> Find(std::string_view name, DType dtype, int64_t count) const {
    const auto found = std::ranges::find(outputs_, name, &NamedTensor::name);
    if (found == outputs_.end())
      return InvalidArgument("its signature '{}' has no output '{}'", kTableSignature, name);
    const Tensor& tensor = found->tensor;
    if ((dtype != DType::kInvalid && tensor.dtype() != dtype) ||
        (count >= 0 && tensor.element_count() != count))
      return InvalidArgument("its output '{}' has the type {} and {} elements", name,
                             DTypeName(tensor.dtype()), tensor.element_count());
    return &tensor;
  }
  StatusOr<std::string_view> Text(std::string_view name) const {
    ASSIGN_OR_RETURN(const Tensor* const tensor, Find(name, DType::kString, 1));
    return tensor->strings()[0].view();
  }
  StatusOr<uint64_t> Number(std::string_view name, uint64_t most) const {
    ASSIGN_OR_RETURN(const Tensor* const tensor, Find(name, DType::kInt64, 1));
    return Checked(name, tensor->as<int64_t>()[0], most);
  }
  static StatusOr<uint64_t> Checked(std::string_view name, int64_t value, uint64_t most) {
    if (value >= 0 && static_cast<uint64_t>(value) <= most) return static_cast<uint64_t>(value);
    return InvalidArgument("its output '{}' is {}", name, value);
  }

 private:
  const NamedTensors& outputs_;
};

StatusOr<KeyType> ReadKeyTypeOf(const OutputReader& outputs) {
  ASSIGN_OR_RETURN(const std::string_view text, outputs.Text(kKeyType));
  ASSIGN_OR_RETURN(const std::string_view hash, outputs.Text(kHash));
  for (const KeyType type : {KeyType::kInt64, KeyType::kString, KeyType::kDense}) {
    if (KeyTypeName(type) != text) continue;
    if (hash == HashName(type)) return type;
    return InvalidArgument("its keys of type {} are divided by the hash '{:.40}', not by {}", text,
                           hash, HashName(type));
  }
  return InvalidArgument("its keys are of type '{:.40}', which is unknown", text);
}

StatusOr<Shard> ReadShardOf(const OutputReader& outputs) {
  ASSIGN_OR_RETURN(const Tensor* const numbers, outputs.Find(kShard, DType::kInt64, 2));
  ASSIGN_OR_RETURN(const uint64_t index,
                   OutputReader::Checked(kShard, numbers->as<int64_t>()[0], kShardsMax - 1));
  ASSIGN_OR_RETURN(const uint64_t count,
                   OutputReader::Checked(kShard, numbers->as<int64_t>()[1], kShardsMax));
  if (index >= count) return InvalidArgument("it says that it is shard {} of {}", index, count);
  return Shard{static_cast<uint32_t>(index), static_cast<uint32_t>(count)};
}

}  // namespace

Signature DescriptionSignature(DType rows) {
  Signature signature;
  signature.name = kTableSignature;
  signature.method_name = "tensorflow/serving/predict";
  signature.outputs = {SpecOf(kDefaultRow, rows, {-1}),      SpecOf(kDimension, DType::kInt64, {}),
                       SpecOf(kHash, DType::kString, {}),    SpecOf(kKeyType, DType::kString, {}),
                       SpecOf(kRowCount, DType::kInt64, {}), SpecOf(kShard, DType::kInt64, {2})};
  return signature;
}

StatusOr<NamedTensors> WriteDescription(const TableDescription& table) {
  const auto elements = static_cast<int64_t>(table.default_row.empty() ? 0 : table.dimension);
  ASSIGN_OR_RETURN(Tensor row, Tensor::Allocate(table.dtype, {elements}));
  if (elements > 0) std::memcpy(row.mutable_data(), table.default_row.data(), row.bytes());
  ASSIGN_OR_RETURN(Tensor shard, Tensor::Allocate(DType::kInt64, {2}));
  shard.mutable_as<int64_t>()[0] = table.shard.index;
  shard.mutable_as<int64_t>()[1] = table.shard.count;
  NamedTensors outputs;
  outputs.push_back({kDefaultRow, std::move(row)});
  ASSIGN_OR_RETURN(Tensor dimension, NumberTensor(table.dimension));
  outputs.push_back({kDimension, std::move(dimension)});
  ASSIGN_OR_RETURN(Tensor hash, TextTensor(HashName(table.key_type)));
  outputs.push_back({kHash, std::move(hash)});
  ASSIGN_OR_RETURN(Tensor key_type, TextTensor(KeyTypeName(table.key_type)));
  outputs.push_back({kKeyType, std::move(key_type)});
  ASSIGN_OR_RETURN(Tensor rows, NumberTensor(table.rows));
  outputs.push_back({kRowCount, std::move(rows)});
  outputs.push_back({kShard, std::move(shard)});
  return outputs;
}

StatusOr<TableDescription> ReadDescription(const NamedTensors& outputs) {
  const OutputReader reader(outputs);
  TableDescription table;
  ASSIGN_OR_RETURN(table.key_type, ReadKeyTypeOf(reader));
  ASSIGN_OR_RETURN(table.dimension, reader.Number(kDimension, kDimensionMax));
  ASSIGN_OR_RETURN(table.rows, reader.Number(kRowCount, uint64_t{1} << 32));
  ASSIGN_OR_RETURN(table.shard, ReadShardOf(reader));
  ASSIGN_OR_RETURN(const Tensor* const row, reader.Find(kDefaultRow, DType::kInvalid, -1));
  table.dtype = row->dtype();
  const auto elements = static_cast<uint64_t>(row->element_count());
  if (table.dimension == 0 || DTypeBytes(table.dtype) == 0 || table.dtype == DType::kString ||
      (elements != 0 && elements != table.dimension))
    return InvalidArgument("its rows have {} elements of type {}, and its default row {}",
                           table.dimension, DTypeName(table.dtype), elements);
  table.default_row.assign(reinterpret_cast<const char*>(row->data()), row->bytes());
  return table;
}

}  // namespace penstock::tables
