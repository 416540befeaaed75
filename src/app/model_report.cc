// SPDX-License-Identifier: Apache-2.0
#include "app/model_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "base/log.h"
#include "infer/builtin_folder.h"
#include "infer/builtin_models.h"
#include "protocols/tfs/config_files.h"
#include "sources/directory/version_folders.h"

namespace penstock {
namespace {

StatusOr<ModelInfo> Describe(const std::string& folder, const LoadOptions& options,
                             BackendHost& backends) {
  if (!IsBuiltinFolder(folder)) return backends.Describe(folder, options);
  ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, MakeBuiltinFolderModel(folder));
  return model->info();
}

// An error of a folder without numbered ones: it was meant as a base path or as a version.
Status NoVersions(const std::string& path, const Status& as_version) {
  return Error(as_version.code(),
               "{} has no versions (folders named by a number), and is no version itself: {}", path,
               MessageOf(as_version));
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
  ASSIGN_OR_RETURN(const std::string path, tfs::ReadBasePath(asked));
  ModelReport report{asked, {}, path, {}};
  if (IsBuiltinPath(path)) {
    ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, MakeBuiltinModel(path));
    report.versions = {{1}};
    report.info = model->info();
    return report;
  }
  ASSIGN_OR_RETURN(const auto folders, ListVersions(path));
  for (const auto& [version, folder] : folders) report.versions.push_back(version);
  if (!folders.empty()) report.described_path = folders.rbegin()->second;
  StatusOr<ModelInfo> info = Describe(report.described_path, options, backends);
  if (!info.ok() && folders.empty()) return NoVersions(path, info.status());
  if (!info.ok()) return std::move(info).status();
  report.info = *std::move(info);
  return report;
}

std::string ReportText(const ModelReport& report) {
  std::string text = fmt::format("{}\n  backend   {}\n", report.path, report.info.platform);
  if (!report.versions.empty()) {
    fmt::format_to(std::back_inserter(text), "  versions  {}\n  shown     {}\n",
                   fmt::join(Numbers(report.versions), ", "), report.versions.back().value);
  }
  if (report.info.traits.any_signature) text += "\ntakes any tensors\n";
  for (const Signature& signature : report.info.signatures) {
    const std::string method =
        signature.method_name.empty() ? "" : fmt::format(" ({})", signature.method_name);
    fmt::format_to(std::back_inserter(text), "\nsignature {}{}\n", signature.name, method);
    AppendTensors(text, "inputs", signature.inputs);
    AppendTensors(text, "outputs", signature.outputs);
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
  return fmt::format(
      R"({{"path":{},"backend":{},"versions":[{}],"described_path":{},"any_signature":{},)"
      R"("signatures":{{{}}},"notes":[{}]}})"
      "\n",
      Quoted(report.path), Quoted(report.info.platform), fmt::join(Numbers(report.versions), ","),
      Quoted(report.described_path), report.info.traits.any_signature, fmt::join(signatures, ","),
      fmt::join(notes, ","));
}

}  // namespace penstock
