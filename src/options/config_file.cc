// SPDX-License-Identifier: Apache-2.0
#include "options/config_file.h"

#include "base/os/read_file.h"

namespace penstock {
namespace {

// A limit, because some paths, such as devices, never end. It is far more than any list of models
// needs.
constexpr size_t kConfigFileBytesMax = 64 << 20;

}  // namespace

StatusOr<std::string> ReadConfigFile(std::string_view option, const std::string& path) {
  StatusOr<std::string> text = ReadWholeFile(path, kConfigFileBytesMax);
  if (!text.ok())
    return InvalidArgument("--{}: cannot read {}: {}", option, path, MessageOf(text.status()));
  constexpr std::string_view kByteOrderMark =
      "\xEF\xBB\xBF";  // some editors write it at the start of a file
  if (text->starts_with(kByteOrderMark)) text->erase(0, kByteOrderMark.size());
  return text;
}

}  // namespace penstock
