// SPDX-License-Identifier: Apache-2.0
// Finds the file in a version's folder that is the model.
#pragma once

#include <string>

namespace penstock::onnxruntime {

// Returns the path of "model.onnx", or of "model.ort", or of the only other file with such an
// ending. The path found may be a folder that holds the file, as other servers want for a model
// with external data. Throws Error if there is no such file, or several.
std::string FindModelFile(const std::string& folder);

}  // namespace penstock::onnxruntime
