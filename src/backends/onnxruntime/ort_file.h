// SPDX-License-Identifier: Apache-2.0
// What a file in ONNX Runtime's own format (.ort) says that the runtime does not pass on.
#pragma once

#include <string>

#include "onnx_file.h"

namespace penstock::onnxruntime {

// Sets `scalars` and `flags` of `file` from the file at its path. Sets nothing if the file is not
// in this format.
void ReadOrtFile(OnnxFile& file);

}  // namespace penstock::onnxruntime
