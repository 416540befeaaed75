// SPDX-License-Identifier: Apache-2.0
// Axes that a net gives.
#pragma once

#include "base/status.h"
#include "convert/caffe2/dims.h"
#include "convert/caffe2/op_arguments.h"

namespace penstock::convert {

// Reads an axis of a blob of `rank` dimensions. A negative one counts from the end.
inline StatusOr<size_t> ReadAxis(const Arguments& args, std::string_view name, int64_t default_axis,
                                 size_t rank) {
  ASSIGN_OR_RETURN(const int64_t axis, args.Int(name, default_axis));
  const auto count = static_cast<int64_t>(rank);
  if (axis < -count || axis >= count)
    return InvalidArgument("{} is {}, and the blob has {} dimensions", name, axis, rank);
  return static_cast<size_t>(axis < 0 ? axis + count : axis);
}

}  // namespace penstock::convert
