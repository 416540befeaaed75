// SPDX-License-Identifier: Apache-2.0
// MXNet wrote the slope of a PRelu with a number for each channel as [channels], by the rule of
// older operator sets. From opset 7 on, such a slope belongs to the last dimension, which is the
// width.
#pragma once

#include <map>
#include <string>

#include "proto_file.h"

namespace penstock::onnxruntime {

// A slope [channels] that must become [channels, 1, 1]. Plain data.
struct ChannelSlope {
  std::string name;  // of the initialiser
  int axes = 0;      // how many dimensions it lacks
};

// Returns the slopes of this kind, by the output of the PRelu. A slope counts as one if it is an
// initialiser of one dimension, and what the PRelu takes comes from a convolution with as many
// channels: at once, or through operators that keep the channels. `initializers`: TensorProtos by
// name.
std::map<std::string, ChannelSlope> FindChannelSlopes(
    Fields graph, const std::map<std::string, Fields>& initializers);

// The bytes of an Unsqueeze node, as it is up to opset 12, that gives the slope its dimensions. Its
// output is SlopeName(output).
std::string UnsqueezeNode(const ChannelSlope& slope, const std::string& output);
std::string SlopeName(const std::string& output);

}  // namespace penstock::onnxruntime
