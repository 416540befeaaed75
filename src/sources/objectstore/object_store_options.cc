// SPDX-License-Identifier: Apache-2.0
#include "sources/objectstore/object_store_options.h"

namespace penstock {
namespace {

constexpr int64_t kIntMax = std::numeric_limits<int32_t>::max();

const OptionRow kRows[] = {
    {.group = option_group::kModels,
     .name = "model_cache_directory",
     .target = Field<&ObjectStoreSourceOptions::cache_folder>(),
     .sentence =
         "Folder that models with s3:// base paths are downloaded to; of this server alone."},
    {.group = option_group::kModels,
     .name = "object_store_poll_wait_seconds",
     .target = In<std::chrono::seconds, &ObjectStoreSourceOptions::poll_period>(),
     .sentence = "Time between two polls for new versions in object stores; 0 polls once.",
     .max = kIntMax},
    {.group = option_group::kModels,
     .name = "object_store_list_timeout_seconds",
     .target =
         In<std::chrono::seconds, &ObjectStoreSourceOptions::turns, &ScanTurnOptions::time_limit>(),
     .sentence =
         "Time that one scan of a model in an object store may take, with all its versions.",
     .min = 1,
     .max = kIntMax},
};

}  // namespace

std::span<const OptionRow> ObjectStoreOptionRows() { return kRows; }

}  // namespace penstock
