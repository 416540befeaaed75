// SPDX-License-Identifier: Apache-2.0
#include "tables/extract/extract.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <deque>
#include <filesystem>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "base/os/durable_file.h"
#include "tables/extract/ensemble_text.h"
#include "tables/extract/onnx_cut.h"
#include "tables/extract/onnx_graph.h"
#include "tables/extract/table_plan.h"
#include "tables/manifest.h"
#include "tables/mapped_file.h"
#include "tables/output_folder.h"

namespace penstock::tables {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBlockBytes = 1 << 20;
constexpr std::string_view kModelFile = "model.onnx";
constexpr std::string_view kDataFile = "model.onnx.data";
constexpr std::string_view kConfigFile = "models.config";
constexpr size_t kReasonsMax = 8;

// The model's file, and what its path says.
struct Source {
  fs::path file;
  std::string name;
  uint64_t version = 1;
};

bool ToVersion(const std::string& text, uint64_t& version) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool ok =
      error == std::errc{} && end == text.data() + text.size() && number > 0 && number <= INT64_MAX;
  if (ok) version = number;
  return ok;
}

StatusOr<fs::path> FileIn(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> files;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().filename() == kModelFile) return entry->path();
    if (entry->path().extension() == ".onnx") files.push_back(entry->path());
  }
  if (files.size() == 1) return files[0];
  return Error(StatusCode::kNotFound, "{} has {}; say which file is the model", folder.string(),
               files.empty() ? "no file with the ending .onnx" : "several files .onnx");
}

// A name that can be one of a model, and of a folder.
std::string PlainName(std::string_view text) {
  std::string name;
  for (const char each : text) {
    const bool is_plain = std::isalnum(static_cast<unsigned char>(each)) != 0;
    if (is_plain) name += each;
    if (!is_plain && !name.empty() && name.back() != '_') name += '_';
  }
  while (name.ends_with('_')) name.pop_back();
  return name.substr(0, 80);
}

StatusOr<Source> FindSource(const ExtractOptions& options) {
  std::error_code ignored;
  Source source;
  source.file = fs::absolute(options.model, ignored).lexically_normal();
  if (!source.file.has_filename()) source.file = source.file.parent_path();
  fs::path named = source.file;
  if (!fs::exists(source.file, ignored))
    return Error(StatusCode::kNotFound, "there is no {}", options.model);
  if (fs::is_directory(source.file, ignored)) {
    ASSIGN_OR_RETURN(source.file, FileIn(source.file));
  }
  // A folder of a version says little; the one above it has the model's name.
  if (named.filename() == kModelFile) named = named.parent_path();
  if (ToVersion(named.filename().string(), source.version)) named = named.parent_path();
  source.name = options.name.empty() ? PlainName(named.stem().string()) : options.name;
  if (source.name.empty()) source.name = "model";
  return source;
}

// Copies parts of files in blocks, and counts. One thread at a time.
class Copier final {
 public:
  Copier(uint64_t bytes_all, const std::function<void(const ExtractProgress&)>& progress)
      : progress_(progress), block_(kBlockBytes, '\0') {
    done_.bytes_all = bytes_all;
  }

  Status Copy(const fs::path& from, uint64_t offset, uint64_t length, OutputFile& to) {
    const int file = open(from.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0)
      return Error(StatusCode::kNotFound, "cannot open {}: {}", from.string(),
                   std::strerror(errno));
    const Status status = CopyFrom(file, from, offset, length, to);
    close(file);
    return status;
  }
  Status Zeros(uint64_t length, OutputFile& to) { return to.Append(std::string(length, '\0')); }

 private:
  Status CopyFrom(int file, const fs::path& from, uint64_t offset, uint64_t length,
                  OutputFile& to) {
    while (length > 0) {
      const ssize_t bytes = pread(file, block_.data(), std::min<uint64_t>(length, block_.size()),
                                  static_cast<off_t>(offset));
      if (bytes < 0 && errno == EINTR) continue;
      if (bytes <= 0)
        return InvalidArgument("{} ends at byte {}, or cannot be read", from.string(), offset);
      TRY(to.Append({block_.data(), static_cast<size_t>(bytes)}));
      offset += static_cast<uint64_t>(bytes);
      length -= static_cast<uint64_t>(bytes);
      done_.bytes += static_cast<uint64_t>(bytes);
      progress_(done_);
    }
    return OkStatus();
  }

  const std::function<void(const ExtractProgress&)>& progress_;
  std::string block_;
  ExtractProgress done_;
};

// One extraction. One thread at a time.
class Extraction final {
 public:
  Extraction(const ExtractOptions& options,
             const std::function<void(const ExtractProgress&)>& progress)
      : options_(options), progress_(progress) {}

  StatusOr<ExtractResult> Run() {
    std::error_code ignored;
    output_ = fs::absolute(options_.output, ignored).lexically_normal();
    if (!output_.has_filename()) output_ = output_.parent_path();
    if (fs::exists(output_, ignored))
      return Error(StatusCode::kFailedPrecondition, "{} exists; the output must be a new folder",
                   options_.output);
    ASSIGN_OR_RETURN(source_, FindSource(options_));
    ASSIGN_OR_RETURN(model_, MappedFile::Open(source_.file.string()));
    TRY(WithFile(ReadModel()));
    TRY(Write());
    if (model_.is_damaged())
      return Error(StatusCode::kInternal, "{} was made shorter, or cannot be read",
                   source_.file.string());
    return std::move(result_);
  }

 private:
  Status WithFile(const Status& status) const {
    if (status.ok()) return status;
    return Error(status.code(), "{}: {}", source_.file.string(), MessageOf(status));
  }

  Status ReadModel() {
    ASSIGN_OR_RETURN(graph_, ReadOnnxGraph(model_.text()));
    plan_ = PlanTables(graph_, options_.bytes_min);
    for (const PlannedToStay& kept : plan_.kept)
      result_.kept.push_back({std::string(kept.tensor->name), kept.bytes, kept.reason});
    if (plan_.tables.empty()) return NothingToTake();
    CollectNames();
    for (const PlannedTable& table : plan_.tables) TRY(AddTable(table));
    cutter_.emplace(cut_, kDataFile,
                    [this](const std::string& location) { return BytesOfFile(location); });
    ASSIGN_OR_RETURN(rest_, cutter_->Cut(model_.text()));
    result_.name = source_.name;
    result_.rest_bytes = rest_.size() + cutter_->data_bytes();
    return OkStatus();
  }

  Status NothingToTake() const {
    std::string reasons;
    for (size_t i = 0; i < plan_.kept.size() && i < kReasonsMax; ++i)
      reasons += fmt::format("; '{}' ({} bytes) stays: {}", plan_.kept[i].tensor->name,
                             plan_.kept[i].bytes, plan_.kept[i].reason);
    if (plan_.largest_small > 0)
      reasons +=
          fmt::format("; the largest of the smaller tensors has {} bytes", plan_.largest_small);
    return Error(StatusCode::kFailedPrecondition,
                 "there is no table of {} bytes or more (--bytes_min) that inputs look up with "
                 "Gather{}",
                 options_.bytes_min, reasons);
  }

  // All names of tensors, so that new ones differ.
  void CollectNames() {
    for (const OnnxInput& input : graph_.inputs) names_.emplace(input.name);
    for (const OnnxTensor& tensor : graph_.initializers) names_.emplace(tensor.name);
    for (const OnnxNode& node : graph_.nodes) {
      for (const std::string_view output : node.outputs) names_.emplace(output);
    }
    names_.insert(graph_.inner_names.begin(), graph_.inner_names.end());
  }

  static std::string NewName(std::string wanted, std::set<std::string>& taken) {
    std::string name = wanted;
    for (int number = 2; !taken.insert(name).second; ++number)
      name = fmt::format("{}_{}", wanted, number);
    return name;
  }

  Status AddTable(const PlannedTable& table) {
    const OnnxTensor& tensor = *table.tensor;
    if (tensor.external) {
      ASSIGN_OR_RETURN(const uint64_t bytes, BytesOfFile(tensor.external->location));
      const uint64_t rest = bytes - std::min(bytes, tensor.external->offset);
      if (rest < table.bytes || tensor.external->length.value_or(table.bytes) != table.bytes)
        return InvalidArgument(
            "the tensor '{}' has {} bytes, but the file {} has {} from its offset on, and the "
            "model says {}",
            tensor.name, table.bytes, tensor.external->location, rest,
            tensor.external->length.value_or(table.bytes));
    }
    cut_.initializers.insert(tensor.name);
    const std::string model =
        NewName(fmt::format("{}_{}", source_.name, PlainName(tensor.name)), models_);
    for (const PlannedGather& gather : table.gathers) {
      const std::string_view output = gather.node->outputs[0];
      const OnnxCut::NewInput& input = new_inputs_.emplace_back(
          OnnxCut::NewInput{.name = NewName(fmt::format("{}.rows", output), names_),
                            .output = output,
                            .type = tensor.type,
                            .indices = gather.indices,
                            .dimension = static_cast<uint64_t>(tensor.dims[1])});
      cut_.gathers[gather.node->message.data()] = &input;
      lookups_.push_back({model, std::string(gather.indices->name), input.name});
    }
    result_.tables.push_back({.name = std::string(tensor.name),
                              .model = model,
                              .dtype = std::string(FindTableType(tensor.type)->name),
                              .rows = static_cast<uint64_t>(tensor.dims[0]),
                              .dimension = static_cast<uint64_t>(tensor.dims[1]),
                              .bytes = table.bytes,
                              .gathers = table.gathers.size()});
    return OkStatus();
  }

  // The location must not lead out of the model's folder.
  StatusOr<uint64_t> BytesOfFile(const std::string& location) const {
    const fs::path path(location);
    const bool leads_out =
        path.is_absolute() || std::ranges::find(path, fs::path("..")) != path.end();
    if (location.empty() || leads_out)
      return InvalidArgument("its data is in '{:.200}', which is outside of its folder", location);
    std::error_code error;
    const uint64_t bytes = fs::file_size(source_.file.parent_path() / path, error);
    if (!error) return bytes;
    return Error(StatusCode::kNotFound, "cannot read {}, which has its data: {}",
                 (source_.file.parent_path() / path).string(), error.message());
  }

  fs::path PathOf(const std::string& location) const {
    return source_.file.parent_path() / location;
  }

  Status Write() {
    uint64_t bytes_all = result_.rest_bytes;
    for (const PlannedTable& table : plan_.tables) bytes_all += table.bytes;
    Copier copier(bytes_all, progress_);
    UnfinishedFolder folder(output_);
    TRY(folder.Make());
    for (size_t i = 0; i < plan_.tables.size(); ++i)
      TRY(WriteTable(plan_.tables[i], result_.tables[i], folder, copier));
    const std::string rest = NewName(fmt::format("{}_rest", source_.name), models_);
    TRY(WriteRest(rest, folder, copier));
    TRY(ReplaceFileDurably(folder / kConfigFile, ConfigText(rest)));
    TRY(folder.Keep());
    result_.config_file = (output_ / kConfigFile).string();
    return OkStatus();
  }

  // Makes the folder of a version, and returns its path.
  StatusOr<std::string> VersionFolder(const UnfinishedFolder& folder,
                                      const std::string& model) const {
    std::string path = folder / fmt::format("{}/{}", model, source_.version);
    std::error_code error;
    fs::create_directories(path, error);
    if (!error) return path;
    return Error(StatusCode::kInternal, "cannot make {}: {}", path, error.message());
  }

  Status WriteTable(const PlannedTable& table, const ExtractedTable& made,
                    const UnfinishedFolder& folder, Copier& copier) const {
    ASSIGN_OR_RETURN(const std::string path, VersionFolder(folder, made.model));
    OutputFile rows(path + "/emb_vector");
    const OnnxTensor& tensor = *table.tensor;
    if (tensor.external) {
      TRY(copier.Copy(PathOf(tensor.external->location), tensor.external->offset, table.bytes,
                      rows));
    } else {
      TRY(CopyView(tensor.data, rows, copier));
    }
    TRY(rows.Finish());
    return ReplaceFileDurably(
        fmt::format("{}/{}", path, kManifestName),
        fmt::format(R"({{"format": 1, "key_type": "dense", "indices": "{}", "dtype": "{}", )"
                    R"("dimension": {}, "checksums": {{"emb_vector": "crc32c:{:08x}"}}}})"
                    "\n",
                    FindTableType(table.gathers[0].indices->type)->name, made.dtype, made.dimension,
                    rows.checksum()));
  }

  // A part of the model's file. It is read, and not taken from the mapping, so that the memory of
  // the process does not grow with it.
  Status CopyView(std::string_view view, OutputFile& to, Copier& copier) const {
    return copier.Copy(source_.file, static_cast<uint64_t>(view.data() - model_.text().data()),
                       view.size(), to);
  }

  Status WriteRest(const std::string& name, const UnfinishedFolder& folder, Copier& copier) const {
    ASSIGN_OR_RETURN(const std::string path, VersionFolder(folder, name));
    OutputFile file(fmt::format("{}/{}", path, kModelFile));
    for (const Rope::Piece& piece : rest_.pieces()) {
      TRY(piece.view.empty() ? file.Append(piece.text) : CopyView(piece.view, file, copier));
    }
    TRY(file.Finish());
    if (cutter_->data().empty()) return OkStatus();
    OutputFile data(fmt::format("{}/{}", path, kDataFile));
    uint64_t at = 0;
    for (const CopiedData& part : cutter_->data()) {
      TRY(copier.Zeros(part.new_offset - at, data));
      TRY(copier.Copy(PathOf(part.location), part.offset, part.length, data));
      at = part.new_offset + part.length;
    }
    return data.Finish();
  }

  std::string ConfigText(const std::string& rest) const {
    EnsembleText text = {.name = source_.name,
                         .rest = rest,
                         .folder = output_.string(),
                         .version = source_.version,
                         .tables = {},
                         .lookups = lookups_,
                         .inputs = {},
                         .outputs = {}};
    for (const ExtractedTable& table : result_.tables) text.tables.push_back(table.model);
    for (const OnnxInput& input : graph_.inputs) {
      if (IsRequestInput(graph_, input)) text.inputs.emplace_back(input.name);
    }
    for (const std::string_view output : graph_.outputs) text.outputs.emplace_back(output);
    return MakeEnsembleText(text);
  }

  const ExtractOptions& options_;
  const std::function<void(const ExtractProgress&)>& progress_;
  fs::path output_;
  Source source_;
  MappedFile model_;
  OnnxGraph graph_;
  TablePlan plan_;
  OnnxCut cut_;
  std::deque<OnnxCut::NewInput> new_inputs_;  // cut_ points to them
  std::optional<OnnxCutter> cutter_;
  Rope rest_;
  std::set<std::string> names_;
  std::set<std::string> models_;
  std::vector<LookupStep> lookups_;
  ExtractResult result_;
};

}  // namespace

StatusOr<ExtractResult> ExtractTables(const ExtractOptions& options,
                                      const std::function<void(const ExtractProgress&)>& progress) {
  return Extraction(options, progress).Run();
}

}  // namespace penstock::tables
