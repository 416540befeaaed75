// SPDX-License-Identifier: Apache-2.0
// The text is for people and the JSON for programs, but both show the same facts. `serve` and
// `inspect` must choose the same version, so the versions and their completeness come from the
// sources.
#include "app/model_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <utility>

#include "backends/builtin/builtin_folder.h"
#include "backends/builtin/builtin_models.h"
#include "base/log.h"
#include "base/utf8.h"
#include "config/config_files.h"
#include "tables/table_loader.h"

namespace penstock {
namespace {

StatusOr<ModelInfo> Describe(const std::string& folder, const LoadOptions& options,
                             BackendHost& backends) {
  StatusOr<std::unique_ptr<Model>> model;
  if (IsBuiltinPath(folder)) {
    model = MakeBuiltinModel(folder);
  } else if (IsBuiltinFolder(folder)) {
    model = MakeBuiltinFolderModel(folder);
  } else if (tables::IsTableFolder(folder)) {
    model = tables::OpenTable(folder, {}, /*stop=*/false, tables::TableCheck::kFirst);
  } else {
    return backends.Describe(folder, options);
  }
  if (!model.ok()) return model.status();
  return (*model)->info();
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
Status ChooseVersion(const core::ModelSource& source, const Folders& folders,
                     std::optional<core::VersionNumber> version, ModelReport& report) {
  report.described_path.clear();
  if (version) {
    const auto found = folders.find(*version);
    if (found == folders.end())
      return Error(StatusCode::kNotFound, "{} has no version {}", report.path, version->value);
    report.described_path = found->second;
    report.shown = found->first;
    return OkStatus();
  }
  // From the newest down, as serve would choose.
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) {
    std::string missing = source.WhyIncomplete(folder->second);
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

std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  AppendJsonEscaped(quoted, text);
  return quoted + '"';
}

constexpr std::array<std::string_view, 6> kPartNames = {
    "", "sparse_indices", "sparse_values", "sparse_shape", "ragged_values", "ragged_splits"};

std::string_view PartName(const CompositePart& part) {
  return kPartNames[static_cast<size_t>(part.role)];
}

// What is true of a run, for people and as a JSON list.
std::vector<std::string_view> TraitNames(const ModelTraits& traits) {
  std::vector<std::string_view> names;
  if (traits.has_state) names.emplace_back("has_state");
  if (traits.not_deterministic) names.emplace_back("not_deterministic");
  if (traits.has_side_effects) names.emplace_back("side_effects");
  return names;
}

// Appends the elements as JSON writes numbers. fmt writes the shortest text that reads back to the
// same number.
template <typename T>
void AppendNumbers(const Tensor& tensor, std::vector<std::string>& to) {
  for (const T number : tensor.as<T>()) to.push_back(fmt::format("{}", number));
}

template <typename T>
void AppendFloats(const Tensor& tensor, std::vector<std::string>& to) {
  for (const T number : tensor.as<T>()) {
    // JSON has no infinity and no NaN, so they become strings.
    to.push_back(std::isfinite(number) ? fmt::format("{}", number)
                                       : Quoted(fmt::format("{}", number)));
  }
}

// Returns the elements in JSON; none if the type is one that people do not write.
std::vector<std::string> ElementsJson(const Tensor& tensor) {
  std::vector<std::string> elements;
  switch (tensor.dtype()) {
    case DType::kFloat32:
      AppendFloats<float>(tensor, elements);
      break;
    case DType::kFloat64:
      AppendFloats<double>(tensor, elements);
      break;
    case DType::kInt8:
      for (const int number : tensor.as<int8_t>()) elements.push_back(std::to_string(number));
      break;
    case DType::kUint8:
      for (const int number : tensor.as<uint8_t>()) elements.push_back(std::to_string(number));
      break;
    case DType::kInt16:
      AppendNumbers<int16_t>(tensor, elements);
      break;
    case DType::kUint16:
      AppendNumbers<uint16_t>(tensor, elements);
      break;
    case DType::kInt32:
      AppendNumbers<int32_t>(tensor, elements);
      break;
    case DType::kUint32:
      AppendNumbers<uint32_t>(tensor, elements);
      break;
    case DType::kInt64:
      AppendNumbers<int64_t>(tensor, elements);
      break;
    case DType::kUint64:
      AppendNumbers<uint64_t>(tensor, elements);
      break;
    case DType::kBool:
      for (const uint8_t value : tensor.as<uint8_t>())
        elements.emplace_back(value != 0 ? "true" : "false");
      break;
    case DType::kString:
      for (const StringElement& element : tensor.strings()) {
        elements.push_back(Quoted(ToUtf8(element.view())));
      }
      break;
    default:
      break;
  }
  return elements;
}

// The first ones of a list that may be long.
std::string Shortened(const std::vector<std::string>& texts) {
  constexpr size_t kShownMax = 20;
  const size_t shown = std::min(texts.size(), kShownMax);
  return fmt::format("{}{}",
                     fmt::join(texts.begin(), texts.begin() + static_cast<ptrdiff_t>(shown), ", "),
                     shown < texts.size() ? ", ..." : "");
}

// --- Text

std::string OptionalText(const TensorSpec& spec) {
  if (!spec.optional) return {};
  if (!spec.default_value) return " (may be left out)";
  const std::vector<std::string> elements = ElementsJson(*spec.default_value);
  if (elements.empty()) return " (may be left out)";
  return fmt::format(" (may be left out; default {})", Shortened(elements));
}

void AppendTensors(std::string& text, std::string_view title,
                   const std::vector<TensorSpec>& tensors) {
  fmt::format_to(std::back_inserter(text), "  {}\n", title);
  std::array<size_t, 3> widths = {};
  for (const TensorSpec& spec : tensors) {
    widths[0] = std::max(widths[0], spec.name.size());
    widths[1] = std::max(widths[1], DTypeName(spec.dtype).size());
    widths[2] = std::max(widths[2], DescribeShape(spec).size());
  }
  for (const TensorSpec& spec : tensors) {
    fmt::format_to(std::back_inserter(text), "    {:<{}}  {:<{}}  {:<{}}  {}{}\n", spec.name,
                   widths[0], DTypeName(spec.dtype), widths[1], DescribeShape(spec), widths[2],
                   spec.backend_name, OptionalText(spec));
    if (!spec.class_labels.empty()) {
      fmt::format_to(std::back_inserter(text), "      classes: {}\n", Shortened(spec.class_labels));
    }
    if (spec.part.role != CompositePart::Role::kNone) {
      fmt::format_to(std::back_inserter(text), "      {} of {}\n", PartName(spec.part),
                     spec.part.composite);
    }
  }
  if (tensors.empty()) text += "    none\n";
}

// --- JSON

std::vector<std::string> QuotedAll(const std::vector<std::string>& texts) {
  std::vector<std::string> quoted;
  for (const std::string& text : texts) quoted.push_back(Quoted(text));
  return quoted;
}

// The members that only some tensors have.
std::string MoreJson(const TensorSpec& spec) {
  std::string json;
  if (spec.batch_axis >= 0) json += fmt::format(R"(,"batch_axis":{})", spec.batch_axis);
  if (spec.default_value) {
    json += fmt::format(R"(,"default":{{"shape":{},"values":[{}]}})",
                        spec.default_value->shape().ToString(),
                        fmt::join(ElementsJson(*spec.default_value), ","));
  }
  if (!spec.dimension_names.empty()) {
    json +=
        fmt::format(R"(,"dimension_names":[{}])", fmt::join(QuotedAll(spec.dimension_names), ","));
  }
  if (!spec.class_labels.empty()) {
    json += fmt::format(R"(,"class_labels":[{}])", fmt::join(QuotedAll(spec.class_labels), ","));
  }
  if (spec.part.role != CompositePart::Role::kNone) {
    json += fmt::format(R"(,"part":{{"of":{},"role":"{}","level":{}}})",
                        Quoted(spec.part.composite), PartName(spec.part), spec.part.level);
  }
  return json;
}

std::string TensorsJson(const std::vector<TensorSpec>& tensors) {
  std::vector<std::string> members;
  for (const TensorSpec& spec : tensors) {
    members.push_back(fmt::format(
        R"({}:{{"dtype":"{}","shape":{},"backend_name":{},"optional":{}{}}})", Quoted(spec.name),
        DTypeName(spec.dtype), spec.unknown_rank ? "null" : spec.shape.ToString(),
        Quoted(spec.backend_name), spec.optional, MoreJson(spec)));
  }
  return fmt::format("{{{}}}", fmt::join(members, ","));
}

}  // namespace

StatusOr<ModelReport> InspectModel(const std::string& asked, const LoadOptions& options,
                                   BackendHost& backends, const Sources& sources,
                                   std::optional<core::VersionNumber> version) {
  ASSIGN_OR_RETURN(const std::string path, ReadBasePath(asked));
  ModelReport report{asked, {}, {}, path, {}};
  const core::ModelSource* const source = FindSource(sources, path);
  if (source == nullptr) {
    return InvalidArgument("'{}': there is no source for {}:// in this command: give a folder",
                           path, path.substr(0, path.find("://")));
  }
  ASSIGN_OR_RETURN(const Folders folders, source->ListVersions(path));
  for (const auto& [number, folder] : folders) report.versions.push_back(number);
  if (!folders.empty()) TRY(ChooseVersion(*source, folders, version, report));
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
  const std::vector<std::string_view> traits = TraitNames(report.info.traits);
  if (!traits.empty()) {
    fmt::format_to(std::back_inserter(text), "  traits    {}\n", fmt::join(traits, ", "));
  }
  if (report.info.traits.any_signature) text += "\ntakes any tensors\n";
  for (const Signature& signature : report.info.signatures) {
    const std::string method =
        signature.method_name.empty() ? "" : fmt::format(" ({})", signature.method_name);
    fmt::format_to(std::back_inserter(text), "\nsignature {}{}\n", signature.name, method);
    AppendTensors(text, "inputs", signature.inputs);
    AppendTensors(text, "outputs", signature.outputs);
  }
  if (!report.steps.empty()) text += "\nsteps\n" + report.steps;
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
  std::vector<std::string> traits;
  for (const std::string_view name : TraitNames(report.info.traits)) traits.push_back(Quoted(name));
  const std::vector<std::string> notes = QuotedAll(report.info.notes);
  std::vector<std::string> incomplete;
  for (const IncompleteVersion& each : report.incomplete) {
    incomplete.push_back(fmt::format(R"("{}":{})", each.version.value, Quoted(each.missing)));
  }
  return fmt::format(
      R"({{"path":{},"backend":{},"versions":[{}],"incomplete":{{{}}},"described_path":{},)"
      R"("any_signature":{},"traits":[{}],)"
      R"("signatures":{{{}}},"notes":[{}]{}}})"
      "\n",
      Quoted(report.path), Quoted(report.info.platform), fmt::join(Numbers(report.versions), ","),
      fmt::join(incomplete, ","), Quoted(report.described_path), report.info.traits.any_signature,
      fmt::join(traits, ","), fmt::join(signatures, ","), fmt::join(notes, ","),
      report.steps_json.empty() ? "" : ",\"steps\":" + report.steps_json);
}

}  // namespace penstock
