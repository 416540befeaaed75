// SPDX-License-Identifier: Apache-2.0
#include "loading/example_loader.h"

#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "base/utf8.h"
#include "infer/example_plans.h"
#include "infer/served_model.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLabelsBytesMax = 64 << 20;

// Reads one label from each line. A line may end as on Windows.
StatusOr<std::vector<std::string>> ReadLabels(const fs::path& path) {
  const auto fail = [&](std::string_view why) {
    return InvalidArgument("classify: the labels_file {} {}", path.string(), why);
  };
  std::error_code error;
  // Opening a pipe would block.
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found)
    return fail("cannot be read: there is no such file");
  if (error) return fail(fmt::format("cannot be read: {}", error.message()));
  if (!fs::is_regular_file(status)) return fail("is no regular file");
  if (fs::file_size(path, error) > kLabelsBytesMax) return fail("has more than 64 MiB");
  std::ifstream file(path, std::ios::binary);
  std::vector<std::string> labels;
  for (std::string line; std::getline(file, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (!IsUtf8(line)) return fail("is not UTF-8");
    labels.push_back(std::move(line));
  }
  if (file.bad() || labels.empty()) return fail("cannot be read, or has no labels");
  return labels;
}

}  // namespace

StatusOr<std::unique_ptr<core::Servable>> ExampleLoader::Load() {
  ASSIGN_OR_RETURN(std::unique_ptr<core::Servable> servable, loader().Load());
  std::vector<ExampleOptions> options = options_;
  for (ExampleOptions& each : options) {
    if (each.labels_file.empty()) continue;
    ASSIGN_OR_RETURN(each.labels, ReadLabels(fs::path(version_path_) / each.labels_file));
  }
  // All loaders return what MakeServedModel makes, so the cast is safe.
  auto& served = static_cast<ServedModel&>(*servable);
  ASSIGN_OR_RETURN(ExamplePlans plans, ExamplePlans::Make(served.info(), options));
  served.SetExamples(std::move(plans));
  return servable;
}

}  // namespace penstock
