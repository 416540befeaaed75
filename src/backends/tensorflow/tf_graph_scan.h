// SPDX-License-Identifier: Apache-2.0
// Finds out, from the operations of a graph, what a run of it may do.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tf_signature.h"

namespace penstock::tensorflow {

// The graph_def of a serialized MetaGraphDef.
std::string_view GraphOf(std::string_view meta_graph);

// Returns PENSTOCK_HAS_STATE, PENSTOCK_NOT_DETERMINISTIC and PENSTOCK_SIDE_EFFECTS as they are true
// of the operations that the signatures reach in `graph`, a serialized GraphDef, and of the
// functions that those call. Operations of other libraries are not known, and count as plain ones.
uint32_t ScanGraph(std::string_view graph, const std::vector<BoundSignature>& signatures);

}  // namespace penstock::tensorflow
