// SPDX-License-Identifier: Apache-2.0
// Builds header fields in nghttp2's form.
#pragma once

#include <nghttp2/nghttp2.h>

#include <string_view>

namespace penstock::net {

// Makes a field whose text nghttp2 does not copy. The name must be in lower case. The text must
// live until the stream has closed.
inline nghttp2_nv Field(std::string_view name, std::string_view value) {
  // nghttp2 takes pointers to non-const bytes, but does not write to them.
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

// The same, for string literals.
inline nghttp2_nv StaticField(std::string_view name, std::string_view value) {
  return Field(name, value);
}

// Makes a field whose text nghttp2 copies.
inline nghttp2_nv CopiedField(std::string_view name, std::string_view value) {
  nghttp2_nv field = Field(name, value);
  field.flags = NGHTTP2_NV_FLAG_NONE;
  return field;
}

}  // namespace penstock::net
