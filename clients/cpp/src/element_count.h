// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "penstock_client/tensor.h"

namespace penstock_client {

// The elements of a tensor of this shape. None: there is no such tensor, because a dimension is
// negative, or the product does not fit.
std::optional<uint64_t> ElementsOf(const Shape& shape);

// As "[2,3]".
std::string TextOf(const Shape& shape);

}  // namespace penstock_client
