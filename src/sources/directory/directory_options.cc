// SPDX-License-Identifier: Apache-2.0
#include "sources/directory/directory_options.h"

namespace penstock {
namespace {

constexpr int64_t kIntMax = std::numeric_limits<int32_t>::max();

const OptionRow kRows[] = {
    {.group = option_group::kModels,
     .name = "file_system_poll_wait_seconds",
     .target = In<std::chrono::seconds, &DirectorySourceOptions::poll_period>(),
     .sentence = "Time between two polls for new versions; 0 polls once; with a negative value no "
                 "folder is ever scanned, and no model in one is loaded. Where the file system "
                 "reports changes they are seen at once, and polls are ten times rarer.",
     .min = -kIntMax - 1,
     .max = kIntMax},
};

}  // namespace

std::span<const OptionRow> DirectoryOptionRows() { return kRows; }

}  // namespace penstock
