// SPDX-License-Identifier: Apache-2.0
// The arguments of a Caffe2 operator, by name.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "caffe2/caffe2.pb.h"

namespace penstock::convert {

// Gives typed access to the arguments of one operator. An argument of the wrong kind or a number
// outside of 32 bits is INVALID_ARGUMENT. Arguments that nobody asks for are ignored, as Caffe2
// does: many only tune how an operator runs. Refers to the operator. Immutable.
class Arguments final {
 public:
  explicit Arguments(const ::caffe2::OperatorDef& op) : op_(op) {}

  // INVALID_ARGUMENT if there are two of one name that differ.
  Status Check() const;

  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  // These return the default if there is no such argument.
  StatusOr<int64_t> Int(std::string_view name, int64_t default_value) const;
  StatusOr<bool> Flag(std::string_view name) const;  // the default is false
  StatusOr<float> Float(std::string_view name, float default_value) const;
  StatusOr<std::string> Text(std::string_view name, std::string_view default_value) const;
  // Empty if there is no such argument.
  StatusOr<std::vector<int64_t>> Ints(std::string_view name) const;
  // Returns null if there is no such argument.
  const ::caffe2::Argument* Find(std::string_view name) const;

  // Returns whether "order" is NHWC; NCHW is the default.
  StatusOr<bool> IsNhwc() const;

 private:
  const ::caffe2::OperatorDef& op_;
};

}  // namespace penstock::convert
