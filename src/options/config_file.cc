// SPDX-License-Identifier: Apache-2.0
#include "options/config_file.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

namespace penstock {
namespace {

// Against a path that never ends. Far more than the list of any server's models.
constexpr size_t kConfigFileBytesMax = 64 << 20;

}  // namespace

StatusOr<std::string> ReadConfigFile(std::string_view option, const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::array<char, 4096> chunk;
  while (file && text.size() <= kConfigFileBytesMax) {
    file.read(chunk.data(), chunk.size());
    text.append(chunk.data(), static_cast<size_t>(file.gcount()));
  }
  if (!file.eof() && text.size() > kConfigFileBytesMax)
    return InvalidArgument("--{}: {} has more than {} bytes", option, path, kConfigFileBytesMax);
  if (!file.eof() || file.bad()) {
    const char* const reason = std::strerror(errno);
    return InvalidArgument("--{}: cannot read {}: {}", option, path, reason);
  }
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";  // some editors begin files with it
  if (text.starts_with(kByteOrderMark)) text.erase(0, kByteOrderMark.size());
  return text;
}

}  // namespace penstock
