// SPDX-License-Identifier: Apache-2.0
// What an ONNX file says and the runtime does not pass on.
#pragma once

#include <set>
#include <string>

namespace penstock::onnxruntime {

// Names of the graph's inputs and outputs that are declared as scalars: with a shape that has no
// dimensions. The runtime reports no dimensions for them and for those without a shape, which may
// have any. Reads only what it needs, however large the file is; of a file that is no ONNX model
// nothing is read.
std::set<std::string, std::less<>> ReadScalars(const std::string& path);

}  // namespace penstock::onnxruntime
