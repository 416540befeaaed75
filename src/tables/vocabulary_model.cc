// SPDX-License-Identifier: Apache-2.0
#include "tables/vocabulary_model.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/request_memory.h"

namespace penstock::tables {
namespace {

constexpr std::string_view kWords = "keys";
constexpr std::string_view kIds = "ids";
constexpr std::string_view kKnown = "found";
constexpr std::string_view kStringsSignature = "strings";
constexpr size_t kIdBytes = sizeof(int64_t);

TensorSpec SpecOf(std::string_view name, DType dtype) {
  TensorSpec spec;
  spec.name = name;
  spec.backend_name = name;
  spec.dtype = dtype;
  spec.unknown_rank = true;
  return spec;
}

ModelInfo DescribeVocabulary(uint64_t words) {
  ModelInfo info;
  info.platform = "table";
  info.traits.answers_in_run = true;
  Signature& ids = info.signatures.emplace_back();
  ids.name = kDefaultSignatureName;
  ids.method_name = "tensorflow/serving/predict";
  ids.inputs = {SpecOf(kWords, DType::kString)};
  ids.outputs = {SpecOf(kKnown, DType::kBool), SpecOf(kIds, DType::kInt64)};
  Signature& strings = info.signatures.emplace_back();
  strings.name = kStringsSignature;
  strings.method_name = "tensorflow/serving/predict";  // `ids` may have moved
  strings.inputs = {SpecOf(kIds, DType::kInt64)};
  strings.outputs = {SpecOf(kKnown, DType::kBool), SpecOf(kWords, DType::kString)};
  info.notes.push_back(fmt::format("a vocabulary of {} words", words));
  return info;
}

// True if the first line ends as lines of Windows do. The others do so then, too.
bool HasCarriageReturns(std::string_view text) {
  const size_t end = text.find('\n');
  return end != text.npos && end > 0 && text[end - 1] == '\r';
}

// Adds the outputs that the request wants.
void AddOutputs(const InferRequest& request, Tensor found, std::string_view name, Tensor values,
                InferResponse& response) {
  const OutputFilter& filter = request.output_filter;
  const auto is_wanted = [&](std::string_view output) {
    return filter.empty() || std::ranges::find(filter, output) != filter.end();
  };
  if (is_wanted(kKnown)) response.outputs.push_back({kKnown, std::move(found)});
  if (is_wanted(name)) response.outputs.push_back({name, std::move(values)});
  // By name, as in the signature.
  std::ranges::sort(response.outputs, {}, &NamedTensor::name);
}

}  // namespace

VocabularyModel::VocabularyModel(TableModelOptions options)
    : options_(std::move(options)),
      metrics_(options_.metrics == nullptr
                   ? nullptr
                   : std::make_unique<TableMetrics>(options_.id, *options_.metrics)) {}

StatusOr<std::unique_ptr<Model>> VocabularyModel::Open(const std::string& folder,
                                                       const Manifest& manifest,
                                                       TableModelOptions options,
                                                       const std::atomic<bool>& stop) {
  std::unique_ptr<VocabularyModel> model(new VocabularyModel(std::move(options)));
  if (!manifest.default_row.empty()) {
    if (manifest.default_row.size() != 1 || !manifest.default_row[0].whole)
      return InvalidArgument("{}/{}: 'default_row' of a vocabulary must be one whole number",
                             folder, kManifestName);
    model->default_id_ = *manifest.default_row[0].whole;
    model->has_default_ = true;
  }
  const std::string path = fmt::format("{}/{}", folder, manifest.keys_file);
  ASSIGN_OR_RETURN(model->words_, MappedFile::Open(path));
  model->keys_.type = KeyType::kString;
  model->keys_.text = model->words_.text();
  model->keys_.file = &model->words_;
  if (const auto found = manifest.checksums.find(manifest.keys_file);
      found != manifest.checksums.end())
    model->keys_.checksum = found->second;
  ASSIGN_OR_RETURN(model->index_, KeyIndex::OpenOrBuild(model->keys_, path + ".index", stop));
  model->info_ = DescribeVocabulary(model->index_.rows());
  model->residence_.SetInlineKeysMax(Residence::InlineKeysMax(kIdBytes));
  model->info_.traits.inline_elements_max = &model->residence_.inline_keys_max();
  if (HasCarriageReturns(model->words_.text())) {
    const std::string note = fmt::format(
        "the lines of {} end with a carriage return, which belongs to the words: they are found "
        "only with it; right would be a line feed alone",
        path);
    PENSTOCK_LOG(kWarning, "{}", note);
    model->info_.notes.push_back(note);
  }
  if (model->metrics_ != nullptr) model->metrics_->SetRows(model->index_.rows());
  return model;
}

void VocabularyModel::Run(const InferRequest& request, ResponseCallback done) {
  RequestMemory memory =
      options_.engine == nullptr ? RequestMemory(UINT64_MAX) : options_.engine->MemoryOfAnswer();
  InferResponse response;
  DiskWatch watch;
  Status status = request.signature_name == kStringsSignature ? FindWords(request, memory, response)
                                                              : FindIds(request, memory, response);
  residence_.Note(watch.HasWaited(static_cast<size_t>(request.inputs[0].tensor.element_count())));
  if (status.ok()) status = CheckFiles();
  if (!status.ok()) return AnswerError(done, std::move(status));
  done(std::move(response));
}

Status VocabularyModel::FindIds(const InferRequest& request, RequestMemory& memory,
                                InferResponse& response) {
  const Tensor& words = request.inputs[0].tensor;
  ASSIGN_OR_RETURN(Tensor found, Tensor::Allocate(DType::kBool, words.shape(), memory));
  ASSIGN_OR_RETURN(Tensor ids, Tensor::Allocate(DType::kInt64, words.shape(), memory));
  constexpr size_t kChunk = 256;
  uint32_t rows[kChunk];
  const std::span<const StringElement> all = words.strings();
  uint64_t missing = 0;
  for (size_t first = 0; first < all.size(); first += kChunk) {
    const size_t count = std::min(kChunk, all.size() - first);
    index_.Find(all.subspan(first, count), rows);
    for (size_t i = 0; i < count; ++i) {
      const bool is_known = rows[i] != kNoRow;
      found.mutable_as<bool>()[first + i] = is_known;
      ids.mutable_as<int64_t>()[first + i] = is_known ? int64_t{rows[i]} : default_id_;
      missing += is_known ? 0 : 1;
    }
  }
  if (metrics_ != nullptr) metrics_->CountRows(all.size() - missing, missing, has_default_);
  AddOutputs(request, std::move(found), kIds, std::move(ids), response);
  return OkStatus();
}

Status VocabularyModel::FindWords(const InferRequest& request, RequestMemory& memory,
                                  InferResponse& response) {
  const Tensor& ids = request.inputs[0].tensor;
  ASSIGN_OR_RETURN(Tensor found, Tensor::Allocate(DType::kBool, ids.shape(), memory));
  ASSIGN_OR_RETURN(Tensor words, Tensor::Allocate(DType::kString, ids.shape(), memory));
  const std::span<const int64_t> all = ids.as<int64_t>();
  const std::span<StringElement> elements = words.mutable_as<StringElement>();
  uint64_t missing = 0;
  size_t bytes = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    const bool is_known = all[i] >= 0 && static_cast<uint64_t>(all[i]) < index_.rows();
    found.mutable_as<bool>()[i] = is_known;
    missing += is_known ? 0 : 1;
    if (!is_known) continue;
    const std::string_view word = index_.KeyOf(static_cast<uint32_t>(all[i]));
    elements[i] = {word.data(), word.size()};
    bytes += word.size();
  }
  // A copy: the answer may be sent when the version, and its file, is gone.
  ASSIGN_OR_RETURN(BufferRef copies, memory.Allocate(bytes));
  char* copy = reinterpret_cast<char*>(copies->data());
  for (StringElement& element : elements) {
    if (element.size == 0) continue;
    std::memcpy(copy, element.data, element.size);
    element.data = std::exchange(copy, copy + element.size);
  }
  words.set_string_owner(std::move(copies));
  if (metrics_ != nullptr) metrics_->CountRows(all.size() - missing, missing, false);
  AddOutputs(request, std::move(found), kWords, std::move(words), response);
  return OkStatus();
}

Status VocabularyModel::CheckFiles() {
  if (!words_.is_damaged() && !index_.file().is_damaged()) [[likely]]
    return OkStatus();
  Status status = Error(StatusCode::kUnavailable,
                        "{} or its index cannot be read any more: a file was made shorter, or the "
                        "disk has failed",
                        words_.path());
  core::BrokenCallback callback;
  {
    MutexLock lock(mutex_);
    if (!std::exchange(is_broken_, true)) callback = broken_callback_;
  }
  if (callback) callback(status);
  return status;
}

void VocabularyModel::SetBrokenCallback(core::BrokenCallback callback) {
  MutexLock lock(mutex_);
  broken_callback_ = std::move(callback);
}

}  // namespace penstock::tables
