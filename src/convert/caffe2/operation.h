// SPDX-License-Identifier: Apache-2.0
// One operator of a Caffe2 net while it is translated to ONNX.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "caffe2/caffe2.pb.h"
#include "convert/caffe2/dims.h"
#include "convert/caffe2/graph_builder.h"
#include "convert/caffe2/op_arguments.h"

namespace penstock::convert {

// What is known about the content of a blob at one moment of a net.
struct Blob {
  std::string value;  // the name of the content in the ONNX graph
  int type = 0;       // as onnx::TensorProto::DataType
  Dims dims;
  // The elements of a constant that holds few whole numbers, such as a shape.
  std::optional<std::vector<int64_t>> integers = {};
  // Not empty: it cannot be read, and this says why. The other members are empty.
  std::string unreadable = {};
};

// Holds the blobs of a model by their names. A blob may be written many times; each time it becomes
// another value of the ONNX graph. One thread at a time.
class Blobs {
 public:
  virtual ~Blobs() = default;
  // Returns null if nothing has written the blob.
  virtual const Blob* Find(const std::string& name) const = 0;
  // Returns the name for the value that the current operator writes to the blob.
  virtual std::string NewValue(const std::string& name) = 0;
  virtual void Set(const std::string& name, Blob blob) = 0;
  // True if an operator or the caller reads a blob of this name.
  virtual bool IsRead(const std::string& name) const = 0;
};

// What the types of an operator's inputs must be. ONNX has the same rules, and a file that breaks
// them fails only at the load.
enum class InputTypes {
  kAny,
  kEqual,    // of any type
  kNumbers,  // one type: floats, or integers of 32 or 64 bits
  kFloats,   // one type: float, double or float16
};

// An operator with its arguments and its blobs. The translation of an operator reads the inputs,
// checks them, and then gives each output. Errors do not name the operator; the importer adds that.
// One thread at a time.
class Operation final {
 public:
  // All must outlive it. `rows`: the rows of the example request, if all inputs agree.
  Operation(const ::caffe2::OperatorDef& op, Blobs& blobs, GraphBuilder& graph,
            std::optional<int64_t> rows)
      : op_(op), args_(op), blobs_(blobs), graph_(graph), rows_(rows) {}

  const Arguments& args() const { return args_; }
  size_t input_count() const { return static_cast<size_t>(op_.input_size()); }
  size_t output_count() const { return static_cast<size_t>(op_.output_size()); }
  std::optional<int64_t> rows() const { return rows_; }
  const std::string& type() const { return op_.type(); }

  // INVALID_ARGUMENT if there are fewer or more inputs or outputs.
  Status CheckCounts(size_t inputs_min, size_t inputs_max, size_t outputs_max) const;
  // INVALID_ARGUMENT if an input that can be read has another type.
  Status CheckTypes(InputTypes types) const;
  // REQUIRES: index < input_count(). INVALID_ARGUMENT if the blob cannot be read.
  StatusOr<Blob> Input(size_t index) const;
  const std::string& input_name(size_t index) const { return op_.input(static_cast<int>(index)); }
  // True if the operator has this output and something reads it.
  bool IsOutputRead(size_t index) const;

  // Adds a node that takes the place of a part of the operator. Returns the name of its value.
  std::string Step(onnx::NodeProto node);
  // Adds a constant with one dimension. Returns the name of its value.
  std::string Integers(std::span<const int64_t> values);
  // Adds the node that gives output `index`.
  void Give(size_t index, onnx::NodeProto node, int type, Dims dims);
  // Output `index` is a constant.
  void GiveConstant(size_t index, int type, Dims dims, onnx::TensorProto tensor);
  void GiveFill(size_t index, int type, Dims dims, onnx::TensorProto value);
  // Output `index` holds the whole numbers of the constant that it was given.
  void SetIntegers(size_t index, std::vector<int64_t> integers);
  // Output `index`, if there is one, cannot be read.
  void Withhold(size_t index, std::string why);

 private:
  const std::string& output_name(size_t index) const { return op_.output(static_cast<int>(index)); }

  const ::caffe2::OperatorDef& op_;
  const Arguments args_;
  Blobs& blobs_;
  GraphBuilder& graph_;
  const std::optional<int64_t> rows_;
};

// Translates one type of operator.
using Translate = Status (*)(Operation& op);

// A type of operator that can be imported. Plain data.
struct OperatorRule {
  std::string_view type;
  Translate translate = nullptr;
  InputTypes inputs = InputTypes::kAny;
};

// Returns null if the type is none that can be imported.
const OperatorRule* FindOperator(std::string_view type);
// Returns the names of all types that can be imported, separated by commas.
std::string OperatorNames();

}  // namespace penstock::convert
