// SPDX-License-Identifier: Apache-2.0
// Operations that are not TensorFlow's own.
#pragma once

#include <string_view>

#include "tf_api.h"

namespace penstock::tensorflow {

// Registers the operations of shared libraries, for good. `list` holds paths separated by commas:
// of a library, or of a folder, which stands for all *.so in it. Throws Error.
void LoadOperations(const TfApi& api, std::string_view list);

}  // namespace penstock::tensorflow
