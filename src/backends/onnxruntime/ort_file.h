// SPDX-License-Identifier: Apache-2.0
// Facts in a file of ONNX Runtime's own format (.ort) that the runtime does not report.
#pragma once

#include <string>

#include "onnx_file.h"

namespace penstock::onnxruntime {

// Sets `scalars` and `flags` of `file` from the file at its path. Sets nothing if the file is not
// in this format.
void ReadOrtFile(OnnxFile& file);

}  // namespace penstock::onnxruntime
