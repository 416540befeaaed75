// SPDX-License-Identifier: Apache-2.0
// Turns a pair of Caffe2 nets into an ONNX model.
#pragma once

#include <span>

#include "base/status.h"
#include "caffe2/caffe2.pb.h"
#include "convert/caffe2/value_inputs.h"
#include "onnx/onnx.pb.h"

namespace penstock::convert {

// Returns the model that computes predict_net.external_output from `inputs`, with the weights of
// `init_net`. The first dimension of each input is free, as are the sizes that follow from it. The
// nets are used up, so that the weights are not in memory twice.
// INVALID_ARGUMENT names the net, the position and the operator, and says what is wrong with it.
StatusOr<onnx::ModelProto> ImportNets(::caffe2::NetDef init_net, ::caffe2::NetDef predict_net,
                                      std::span<const ValueInput> inputs);

}  // namespace penstock::convert
