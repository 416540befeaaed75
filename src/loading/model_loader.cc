// SPDX-License-Identifier: Apache-2.0
#include "loading/model_loader.h"

#include <algorithm>
#include <filesystem>

#include "backends/host/detect.h"
#include "base/log.h"
#include "base/os/give_way.h"
#include "infer/served_model.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

// Refuses pipes and devices. A runtime would wait for data that nobody writes into a pipe, and it
// cannot be told to stop.
Status CheckFiles(const std::string& version_path) {
  std::error_code error;
  fs::recursive_directory_iterator entries(version_path, error);
  for (; !error && entries != fs::recursive_directory_iterator(); entries.increment(error)) {
    std::error_code ignored;
    const fs::file_type type = entries->status(ignored).type();
    if (type != fs::file_type::fifo && type != fs::file_type::character) continue;
    return InvalidArgument("{} is no regular file but a {}, which a load would wait for",
                           entries->path().string(),
                           type == fs::file_type::fifo ? "pipe" : "device");
  }
  return OkStatus();  // the backend reports files that it cannot read
}

}  // namespace

StatusOr<core::ResourceEstimate> HostedLoader::EstimateResources() {
  TRY(CheckFiles(version_path_));
  ASSIGN_OR_RETURN(const uint64_t bytes, host_.EstimateBytes(version_path_, options_));
  ASSIGN_OR_RETURN(const std::string backend, host_.BackendFor(version_path_, options_));
  return history_.Estimate(id_.name, backend, bytes);
}

StatusOr<std::unique_ptr<core::Servable>> HostedLoader::Load() {
  // A load may compute for long, in code of the runtime that never yields. Without this, requests
  // would wait for it.
  const GiveWay to_requests;
  ASSIGN_OR_RETURN(std::unique_ptr<Model> model, host_.Load(version_path_, options_));
  return MakeServedModel(id_, std::move(model), metrics_, inline_options_);
}

StatusOr<core::ResourceEstimate> HostedLoader::ResourcesTaken(
    const std::optional<core::MemoryGrowth>& growth) {
  // Others were loaded or unloaded at the same time, so the growth is not that of this version.
  if (!growth) return EstimateResources();
  ASSIGN_OR_RETURN(const uint64_t estimated, host_.EstimateBytes(version_path_, options_));
  ASSIGN_OR_RETURN(const std::string backend, host_.BackendFor(version_path_, options_));
  ASSIGN_OR_RETURN(const uint64_t file_bytes, FolderBytes(version_path_));
  // If the backend estimates less than the size of the files, it does not hold them all in memory.
  const MeasuredLoad load = KeepPlausible(*growth, estimated, std::min(estimated, file_bytes));
  history_.Note(id_.name, backend, load);
  PENSTOCK_LOG(kDebug,
               "model {} takes {} bytes; its load added {} to the process, at its peak {}; it was "
               "estimated at {}",
               id_.ToString(), load.taken_bytes, growth->bytes, growth->peak_bytes, estimated);
  return core::ResourceEstimate{.ram_bytes = load.taken_bytes, .is_measured = true};
}

}  // namespace penstock
