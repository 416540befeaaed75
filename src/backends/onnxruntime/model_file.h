// SPDX-License-Identifier: Apache-2.0
// Which file of a version's folder is the model.
#pragma once

#include <string>

namespace penstock::onnxruntime {

// "model.onnx", or "model.ort", or the only other file with such an ending. It may be a folder
// that holds such a file in turn, as other servers want for a model with external data. Throws
// Error if there is none, or several.
std::string FindModelFile(const std::string& folder);

}  // namespace penstock::onnxruntime
