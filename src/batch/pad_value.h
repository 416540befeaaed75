// SPDX-License-Identifier: Apache-2.0
// Numbers as elements of a tensor. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "tensor/dtype.h"

namespace penstock::batch {

// Returns the bytes of an element with this value. Errors: INVALID_ARGUMENT, if the type does not
// have the value; strings have none. Of 16-bit floats the nearest value counts.
StatusOr<std::string> EncodeNumber(DType type, double value);

// Returns what `text` stands for as an element of this type: the bytes of a number, or the text
// itself for strings. An empty text is 0 for numbers. Errors: INVALID_ARGUMENT.
StatusOr<std::string> EncodeValue(DType type, std::string_view text);

}  // namespace penstock::batch
