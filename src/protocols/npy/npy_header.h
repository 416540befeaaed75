// SPDX-License-Identifier: Apache-2.0
// The header of an .npy file: a Python dictionary as text, behind a magic string and a length.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/status.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace penstock::npy {

// How numpy stores the elements of an array. Immutable.
struct ElementFormat {
  DType dtype = DType::kInvalid;
  size_t bytes = 0;            // of one element in the file
  bool is_big_endian = false;  // and each number must be reversed
  bool is_text = false;        // kString: UCS-4 ('U'), not bytes ('S')
};

// A parsed header. Immutable.
struct NpyHeader {
  ElementFormat format;
  Shape shape;
  bool is_fortran_order = false;  // the first dimension varies fastest
  size_t data_at = 0;             // the offset of the elements in the file
};

// Parses the start of the .npy file `file`. Errors: INVALID_ARGUMENT, with what was found and what
// would be right.
StatusOr<NpyHeader> ReadNpyHeader(std::string_view file);

// Returns a whole header, up to the elements, for little-endian elements in C order. Its length is
// a multiple of 64. `type_name` is numpy's, such as "<f4".
std::string WriteNpyHeader(std::string_view type_name, const Shape& shape);

}  // namespace penstock::npy
