// SPDX-License-Identifier: Apache-2.0
#include "convert/caffe2/op_arguments.h"

#include <map>

namespace penstock::convert {
namespace {

StatusOr<int64_t> In32Bits(std::string_view name, int64_t value) {
  if (value < INT32_MIN || value > INT32_MAX)
    return InvalidArgument("the argument {} has the value {}, which is no number of 32 bits", name,
                           value);
  return value;
}

}  // namespace

Status Arguments::Check() const {
  std::map<std::string_view, const ::caffe2::Argument*> seen;
  for (const ::caffe2::Argument& argument : op_.arg()) {
    const auto [entry, is_new] = seen.try_emplace(argument.name(), &argument);
    if (!is_new && entry->second->SerializeAsString() != argument.SerializeAsString())
      return InvalidArgument("the argument {} is there twice, with different values",
                             argument.name());
  }
  return OkStatus();
}

const ::caffe2::Argument* Arguments::Find(std::string_view name) const {
  for (const ::caffe2::Argument& argument : op_.arg()) {
    if (argument.name() == name) return &argument;
  }
  return nullptr;
}

StatusOr<int64_t> Arguments::Int(std::string_view name, int64_t default_value) const {
  const ::caffe2::Argument* const argument = Find(name);
  if (argument == nullptr) return default_value;
  if (!argument->has_i()) return InvalidArgument("the argument {} is no whole number", name);
  return In32Bits(name, argument->i());
}

StatusOr<bool> Arguments::Flag(std::string_view name) const {
  ASSIGN_OR_RETURN(const int64_t value, Int(name, 0));
  return value != 0;
}

StatusOr<float> Arguments::Float(std::string_view name, float default_value) const {
  const ::caffe2::Argument* const argument = Find(name);
  if (argument == nullptr) return default_value;
  if (argument->has_f()) return argument->f();
  // Python's 1 in the place of 1.0.
  if (argument->has_i()) return static_cast<float>(argument->i());
  return InvalidArgument("the argument {} is no number", name);
}

StatusOr<std::string> Arguments::Text(std::string_view name, std::string_view default_value) const {
  const ::caffe2::Argument* const argument = Find(name);
  if (argument == nullptr) return std::string(default_value);
  if (!argument->has_s()) return InvalidArgument("the argument {} is no text", name);
  return argument->s();
}

StatusOr<std::vector<int64_t>> Arguments::Ints(std::string_view name) const {
  const ::caffe2::Argument* const argument = Find(name);
  std::vector<int64_t> values;
  if (argument == nullptr) return values;
  if (argument->has_i() || argument->has_f() || argument->has_s() || argument->floats_size() > 0)
    return InvalidArgument("the argument {} is no list of whole numbers", name);
  for (const int64_t value : argument->ints()) {
    TRY(In32Bits(name, value).status());
    values.push_back(value);
  }
  return values;
}

StatusOr<bool> Arguments::IsNhwc() const {
  ASSIGN_OR_RETURN(const std::string order, Text("order", "NCHW"));
  if (order == "NCHW" || order == "nchw") return false;
  if (order == "NHWC" || order == "nhwc") return true;
  return InvalidArgument("the argument order is '{}', not NCHW or NHWC", order);
}

}  // namespace penstock::convert
