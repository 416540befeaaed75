// SPDX-License-Identifier: Apache-2.0
#include "app/model_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "backends/builtin/builtin_folder.h"
#include "backends/builtin/builtin_models.h"
#include "base/log.h"
#include "config/config_files.h"
#include "sources/directory/folder_stamp.h"
#include "sources/directory/version_folders.h"

namespace penstock {
namespace {

StatusOr<ModelInfo> Describe(const std::string& folder, const LoadOptions& options,
                             BackendHost& backends) {
  if (!IsBuiltinFolder(folder)) return backends.Describe(folder, options);
  ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, MakeBuiltinFolderModel(folder));
  return model->info();
}

// The error for a folder without numbered folders: the user may have meant a base path or a
// version.
Status NoVersions(const std::string& path, const Status& as_version) {
  return Error(as_version.code(),
               "{} has no versions (folders named by a number), and is no version itself: {}", path,
               MessageOf(as_version));
}

std::string IncompleteText(const IncompleteVersion& each) {
  return fmt::format("version {} is not complete: {}", each.version.value, each.missing);
}

using Folders = std::map<core::VersionNumber, std::string>;

// Chooses the version of a base path to describe.
Status ChooseVersion(const Folders& folders, ModelReport& report) {
  report.described_path.clear();
  // From the newest down, as serve would choose.
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) {
    std::string missing = StampFolder(folder->second, [](const std::string&) {}).content.Missing();
    if (missing.empty()) {
      report.described_path = folder->second;
      report.shown = folder->first;
      return OkStatus();
    }
    report.incomplete.push_back({folder->first, std::move(missing)});
  }
  return Error(StatusCode::kNotFound, "{} has no complete version: {}", report.path,
               IncompleteText(report.incomplete.front()));
}

std::vector<int64_t> Numbers(const std::vector<core::VersionNumber>& versions) {
  std::vector<int64_t> numbers;
  for (const core::VersionNumber version : versions) numbers.push_back(version.value);
  return numbers;
}

std::string ShapeText(const TensorSpec& spec) {
  return spec.unknown_rank ? "any shape" : spec.shape.ToString();
}

// --- Text

void AppendTensors(std::string& text, std::string_view title,
                   const std::vector<TensorSpec>& tensors) {
  fmt::format_to(std::back_inserter(text), "  {}\n", title);
  std::array<size_t, 3> widths = {};
  for (const TensorSpec& spec : tensors) {
    widths[0] = std::max(widths[0], spec.name.size());
    widths[1] = std::max(widths[1], DTypeName(spec.dtype).size());
    widths[2] = std::max(widths[2], ShapeText(spec).size());
  }
  for (const TensorSpec& spec : tensors) {
    fmt::format_to(std::back_inserter(text), "    {:<{}}  {:<{}}  {:<{}}  {}{}\n", spec.name,
                   widths[0], DTypeName(spec.dtype), widths[1], ShapeText(spec), widths[2],
                   spec.backend_name, spec.optional ? " (may be left out)" : "");
  }
  if (tensors.empty()) text += "    none\n";
}

// --- JSON

std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  AppendJsonEscaped(quoted, text);
  return quoted + '"';
}

std::string TensorsJson(const std::vector<TensorSpec>& tensors) {
  std::vector<std::string> members;
  for (const TensorSpec& spec : tensors) {
    members.push_back(fmt::format(
        R"({}:{{"dtype":"{}","shape":{},"backend_name":{},"optional":{}}})", Quoted(spec.name),
        DTypeName(spec.dtype), spec.unknown_rank ? "null" : spec.shape.ToString(),
        Quoted(spec.backend_name), spec.optional));
  }
  return fmt::format("{{{}}}", fmt::join(members, ","));
}

}  // namespace

StatusOr<ModelReport> InspectModel(const std::string& asked, const LoadOptions& options,
                                   BackendHost& backends) {
  ASSIGN_OR_RETURN(const std::string path, ReadBasePath(asked));
  ModelReport report{asked, {}, {}, path, {}};
  if (IsBuiltinPath(path)) {
    ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, MakeBuiltinModel(path));
    report.versions = {{1}};
    report.shown = {1};
    report.info = model->info();
    return report;
  }
  ASSIGN_OR_RETURN(const auto folders, ListVersions(path));
  for (const auto& [version, folder] : folders) report.versions.push_back(version);
  if (!folders.empty()) TRY(ChooseVersion(folders, report));
  StatusOr<ModelInfo> info = Describe(report.described_path, options, backends);
  // Without numbered folders, `path` was taken for a version. It may be a base path by mistake, so
  // the error says both.
  if (!info.ok() && folders.empty()) return NoVersions(path, info.status());
  if (!info.ok()) return std::move(info).status();
  report.info = *std::move(info);
  return report;
}

std::string ReportText(const ModelReport& report) {
  std::string text = fmt::format("{}\n  backend   {}\n", report.path, report.info.platform);
  if (!report.versions.empty()) {
    fmt::format_to(std::back_inserter(text), "  versions  {}\n  shown     {}\n",
                   fmt::join(Numbers(report.versions), ", "), report.shown.value);
  }
  if (report.info.traits.any_signature) text += "\ntakes any tensors\n";
  for (const Signature& signature : report.info.signatures) {
    const std::string method =
        signature.method_name.empty() ? "" : fmt::format(" ({})", signature.method_name);
    fmt::format_to(std::back_inserter(text), "\nsignature {}{}\n", signature.name, method);
    AppendTensors(text, "inputs", signature.inputs);
    AppendTensors(text, "outputs", signature.outputs);
  }
  for (const IncompleteVersion& each : report.incomplete) {
    fmt::format_to(std::back_inserter(text), "\nnote: {}, and is not served\n",
                   IncompleteText(each));
  }
  for (const std::string& note : report.info.notes) {
    fmt::format_to(std::back_inserter(text), "\nnote: {}\n", note);
  }
  return text;
}

std::string ReportJson(const ModelReport& report) {
  std::vector<std::string> signatures;
  for (const Signature& signature : report.info.signatures) {
    signatures.push_back(fmt::format(R"({}:{{"method_name":{},"inputs":{},"outputs":{}}})",
                                     Quoted(signature.name), Quoted(signature.method_name),
                                     TensorsJson(signature.inputs),
                                     TensorsJson(signature.outputs)));
  }
  std::vector<std::string> notes;
  for (const std::string& note : report.info.notes) notes.push_back(Quoted(note));
  std::vector<std::string> incomplete;
  for (const IncompleteVersion& each : report.incomplete) {
    incomplete.push_back(fmt::format(R"("{}":{})", each.version.value, Quoted(each.missing)));
  }
  return fmt::format(
      R"({{"path":{},"backend":{},"versions":[{}],"incomplete":{{{}}},"described_path":{},)"
      R"("any_signature":{},)"
      R"("signatures":{{{}}},"notes":[{}]}})"
      "\n",
      Quoted(report.path), Quoted(report.info.platform), fmt::join(Numbers(report.versions), ","),
      fmt::join(incomplete, ","), Quoted(report.described_path), report.info.traits.any_signature,
      fmt::join(signatures, ","), fmt::join(notes, ","));
}

}  // namespace penstock
