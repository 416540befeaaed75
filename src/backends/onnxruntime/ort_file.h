// SPDX-License-Identifier: Apache-2.0
// What a file in ONNX Runtime's own format (.ort) says that the runtime does not pass on.
#pragma once

#include <string>

#include "onnx_file.h"

namespace penstock::onnxruntime {

// The values that are declared as scalars; see OnnxFile::scalars. Nothing of a file that is not in
// this format.
Names ReadOrtScalars(const std::string& path);

}  // namespace penstock::onnxruntime
