// SPDX-License-Identifier: Apache-2.0
// Changes an ONNX model before the runtime gets it, where the runtime would otherwise do something
// that the server does not want.
#pragma once

#include <string>

#include "onnx_file.h"

namespace penstock::onnxruntime {

// True if RewriteModel changes anything.
bool NeedsRewrite(const OnnxFile& file);

// The model's bytes with
// - each ZipMap of `file` replaced by an Identity, and the graph's output declared as the tensor
//   that the ZipMap took: float, [rows, labels];
// - attributes of old habits left out (onnx_habits), if the operators no longer have them;
// - slopes of PRelu that count channels given the dimensions that they lack (onnx_slopes);
// - external data within nodes (constants, bodies of loops and branches, functions) put into the
//   model. That of the graph's own initialisers stays where it is; ExternalData reads it.
// Throws Error: the file is malformed or unreadable, or the result is larger than protobuf allows.
std::string RewriteModel(const OnnxFile& file);

}  // namespace penstock::onnxruntime
