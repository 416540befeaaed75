// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>

#include "proto_file.h"

namespace penstock::onnxruntime {

// The names in `graph` that nodes only look rows up in: each node that reads one is a Gather of the
// graph itself, and the name is its data. Names that are also inputs or outputs of the graph, or
// that an inner graph reads, are not among them.
//
// The runtime passes the bytes of such tensors on as they are. It may store others anew, under the
// same name: the weights of an Add that a Transpose is moved across, for example.
std::set<std::string, std::less<>> FindGatheredNames(Fields graph);

}  // namespace penstock::onnxruntime
