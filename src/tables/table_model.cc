// SPDX-License-Identifier: Apache-2.0
#include "tables/table_model.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/request_memory.h"
#include "tables/description.h"
#include "tables/pooling.h"

namespace penstock::tables {
namespace {

constexpr std::string_view kKeys = "keys";
constexpr std::string_view kRows = "rows";
constexpr std::string_view kAnswered = "answered";
constexpr std::string_view kFound = "found";
constexpr std::string_view kRowLengths = "row_lengths";
constexpr std::string_view kRowSplits = "row_splits";
constexpr std::string_view kWeights = "weights";
constexpr std::string_view kPooled = "pooled";
constexpr std::string_view kRowsName = "penstock_table_rows_total";
constexpr std::string_view kRowsHelp =
    "Rows that requests wanted of a table: found (hit), not found (miss), or not found and "
    "answered with the table's default row (default; they count as misses, too).";
constexpr std::string_view kSizeHelp = "Rows that a table has.";

MetricLabels LabelsOf(const core::ServableId& id) {
  return {{"model_name", id.name}, {"model_version", std::to_string(id.version.value)}};
}

MetricLabels LabelsOf(const core::ServableId& id, std::string_view result) {
  MetricLabels labels = LabelsOf(id);
  labels.emplace_back("result", result);
  return labels;
}

// What a signature gives for the keys.
enum class Answer { kPlain, kGroups, kSummed, kAveraged };

constexpr std::string_view kRagged = "ragged";
constexpr std::string_view kSum = "sum";
constexpr std::string_view kMean = "mean";

Answer AnswerOf(std::string_view signature) {
  if (signature == kRagged) return Answer::kGroups;
  if (signature == kSum) return Answer::kSummed;
  return signature == kMean ? Answer::kAveraged : Answer::kPlain;
}

TensorSpec AnyShapeOf(std::string_view name, DType dtype, bool is_optional = false) {
  return {.name = std::string(name),
          .backend_name = std::string(name),
          .dtype = dtype,
          .unknown_rank = true,
          .shape = {},
          .optional = is_optional};
}

TensorSpec OfShape(std::string_view name, DType dtype, Shape shape, bool is_optional = false) {
  TensorSpec spec = AnyShapeOf(name, dtype, is_optional);
  spec.unknown_rank = false;
  spec.shape = std::move(shape);
  return spec;
}

Signature NewSignature(std::string_view name) {
  Signature signature;
  signature.name = name;
  signature.method_name = "tensorflow/serving/predict";
  return signature;
}

// The outputs that say something of each key.
std::vector<TensorSpec> OutputsOfKeys(const StoreInfo& info) {
  std::vector<TensorSpec> outputs;
  if (info.may_lack_rows) outputs.push_back(AnyShapeOf(kAnswered, DType::kBool));
  outputs.push_back(AnyShapeOf(kFound, DType::kBool));
  return outputs;
}

std::vector<Signature> SignaturesOf(const StoreInfo& info) {
  const DType keys =
      info.key_type == KeyType::kString ? DType::kString : info.indices.value_or(DType::kInt64);
  std::vector<Signature> signatures;
  Signature& rows = signatures.emplace_back(NewSignature(kDefaultSignatureName));
  rows.inputs = {AnyShapeOf(kKeys, keys)};
  rows.outputs = OutputsOfKeys(info);
  rows.outputs.push_back(AnyShapeOf(kRows, info.dtype));
  if (info.indices) {
    signatures.push_back(DescriptionSignature(info.dtype));
    return signatures;
  }
  Signature& ragged = signatures.emplace_back(NewSignature(kRagged));
  ragged.inputs = {OfShape(kKeys, keys, {-1}), OfShape(kRowLengths, DType::kInt64, {-1})};
  ragged.outputs = OutputsOfKeys(info);
  ragged.outputs.push_back(OfShape(kRowSplits, DType::kInt64, {-1}));
  ragged.outputs.push_back(OfShape(kRows, info.dtype, {-1, static_cast<int64_t>(info.dimension)}));
  signatures.push_back(DescriptionSignature(info.dtype));
  if (!CanPool(info.dtype)) return signatures;
  for (const std::string_view name : {kSum, kMean}) {
    Signature& pooled = signatures.emplace_back(NewSignature(name));
    pooled.inputs = {AnyShapeOf(kKeys, keys),
                     OfShape(kRowLengths, DType::kInt64, {-1}, /*is_optional=*/true),
                     AnyShapeOf(kWeights, DType::kFloat32, /*is_optional=*/true)};
    pooled.outputs = OutputsOfKeys(info);
    pooled.outputs.push_back(AnyShapeOf(kPooled, PooledType(info.dtype)));
  }
  return signatures;
}

ModelInfo Describe(const Store& store) {
  const StoreInfo& info = store.info();
  ModelInfo model;
  model.platform = "table";
  model.traits.answers_in_run = store.answers_in_find();
  model.traits.runs_others = info.asks_servers;
  model.traits.inline_elements_max = store.inline_keys_max();
  model.signatures = SignaturesOf(info);
  model.notes.push_back(
      fmt::format("a table of {} rows of {} {} elements, with {} keys{}", info.rows, info.dimension,
                  DTypeName(info.dtype), KeyTypeName(info.key_type),
                  info.shard.count == 1
                      ? ""
                      : fmt::format("; it is shard {} of {}", info.shard.index, info.shard.count)));
  return model;
}

// Returns null if the request lacks it.
const Tensor* FindInput(const InferRequest& request, std::string_view name) {
  const auto input = std::ranges::find(request.inputs, name, &NamedTensor::name);
  return input == request.inputs.end() ? nullptr : &input->tensor;
}

bool IsWanted(const InferRequest& request, std::string_view output) {
  const OutputFilter& filter = request.output_filter;
  return filter.empty() || std::ranges::find(filter, output) != filter.end();
}

uint64_t ShardOf(const StoreInfo& info, const Tensor& keys, size_t position) {
  const uint64_t hash = info.key_type == KeyType::kString
                            ? ShardHash(keys.strings()[position].view())
                            : ShardHash(info.key_type, keys.as<int64_t>()[position]);
  return hash % info.shard.count;
}

}  // namespace

TableMetrics::TableMetrics(const core::ServableId& id, MetricsRegistry& metrics)
    : series_(metrics),
      hits_(series_.AddCounter(kRowsName, kRowsHelp, LabelsOf(id, "hit"))),
      missing_(series_.AddCounter(kRowsName, kRowsHelp, LabelsOf(id, "miss"))),
      defaults_(series_.AddCounter(kRowsName, kRowsHelp, LabelsOf(id, "default"))),
      rows_(series_.AddGauge("penstock_table_rows", kSizeHelp, LabelsOf(id))) {}

void TableMetrics::CountRows(uint64_t found, uint64_t missing, bool has_default) const {
  if (found > 0) hits_.Add(found);
  if (missing == 0) return;
  missing_.Add(missing);
  if (has_default) defaults_.Add(missing);
}

// One request. Lives until the store has answered. One thread at a time.
class TableModel::LookupRun final {
 public:
  LookupRun(const TableModel& model, const InferRequest& request, ResponseCallback done)
      : model_(model),
        request_(request),
        answer_(AnswerOf(request.signature_name)),
        done_(std::move(done)),
        memory_(model.MemoryOfAnswer()) {}

  // Takes `run`, and answers it.
  static void Start(std::unique_ptr<LookupRun> run) {
    if (Status status = run->Prepare(); !status.ok()) return run->Fail(std::move(status));
    if (run->pooler_ && run->model_.store_->answers_in_find()) {
      if (Status status = run->PoolInParts(); !status.ok()) return run->Fail(std::move(status));
      return run->Send();
    }
    // The callback takes the run before the call is made.
    const LookupRun& own = *run;
    own.model_.store_->Find(own.lookup_, [run = std::move(run)](Status status) {
      if (status.ok()) status = run->Complete();
      if (!status.ok()) return run->Fail(std::move(status));
      run->Send();
    });
  }

 private:
  Status Prepare() {
    keys_ = *FindInput(request_, kKeys);
    if (info().indices) TRY(TakeIndices());
    if (answer_ != Answer::kPlain) TRY(PrepareGroups());
    Shape shape = keys_.shape();
    ASSIGN_OR_RETURN(found_, Tensor::Allocate(DType::kBool, shape, memory_));
    shape.Append(static_cast<int64_t>(info().dimension));
    if (answer_ == Answer::kSummed || answer_ == Answer::kAveraged) {
      TRY(PreparePooled());
      // A store that answers at once gives the rows part by part.
      if (model_.store_->answers_in_find())
        shape = {std::min(keys_.element_count(), kPartKeys),
                 static_cast<int64_t>(info().dimension)};
    }
    ASSIGN_OR_RETURN(rows_, Tensor::Allocate(info().dtype, std::move(shape), memory_));
    if (info().may_lack_rows) {
      ASSIGN_OR_RETURN(answered_, Tensor::Allocate(DType::kBool, keys_.shape(), memory_));
      std::ranges::fill(answered_.mutable_as<bool>(), true);
    }
    lookup_.hops = request_.hops;
    lookup_.deadline = request_.deadline;
    lookup_.cancel = request_.cancel;
    Choose(0, static_cast<size_t>(keys_.element_count()));
    return OkStatus();
  }

  // Makes keys_ the numbers of the rows that the indices mean.
  Status TakeIndices() {
    ASSIGN_OR_RETURN(Tensor numbers, Tensor::Allocate(DType::kInt64, keys_.shape(), memory_));
    TRY(info().indices == DType::kInt32 ? CountFromStart<int32_t>(numbers)
                                        : CountFromStart<int64_t>(numbers));
    keys_ = std::move(numbers);
    return OkStatus();
  }

  template <typename T>
  Status CountFromStart(Tensor& numbers) const {
    const auto rows = static_cast<int64_t>(info().rows);
    const std::span<const T> indices = keys_.as<T>();
    int64_t* const to = numbers.mutable_as<int64_t>().data();
    for (size_t i = 0; i < indices.size(); ++i) {
      const int64_t index = indices[i];
      if (index < -rows || index >= rows)
        return InvalidArgument(
            "the index {} at position {} of 'keys' is outside of the table; its {} rows have the "
            "indices {} to {}",
            index, i, rows, -rows, rows - 1);
      to[i] = index < 0 ? index + rows : index;
    }
    return OkStatus();
  }

  // Makes these keys those of the lookup.
  void Choose(size_t first, size_t count) {
    if (info().key_type == KeyType::kString) {
      lookup_.strings = keys_.strings().subspan(first, count);
    } else {
      lookup_.numbers = keys_.as<int64_t>().subspan(first, count);
    }
    lookup_.rows = rows_.mutable_data();
    lookup_.found = found_.mutable_as<bool>().data() + first;
    if (info().may_lack_rows) lookup_.answered = answered_.mutable_as<bool>().data() + first;
  }

  Status PrepareGroups() {
    ASSIGN_OR_RETURN(groups_, GroupKeys(keys_, FindInput(request_, kRowLengths)));
    const Tensor* const weights = FindInput(request_, kWeights);
    if (weights == nullptr) return OkStatus();
    weights_ = weights->as<float>();
    if (weights->element_count() == keys_.element_count()) return OkStatus();
    return InvalidArgument("the input 'weights' has {} elements, but there are {} keys",
                           weights->element_count(), keys_.element_count());
  }

  Status PreparePooled() {
    Shape shape = groups_.shape;
    shape.Append(static_cast<int64_t>(info().dimension));
    ASSIGN_OR_RETURN(pooled_,
                     Tensor::Allocate(PooledType(info().dtype), std::move(shape), memory_));
    const PoolRules rules = {.dtype = info().dtype,
                             .dimension = info().dimension,
                             .weights = weights_,
                             .is_mean = answer_ == Answer::kAveraged};
    pooler_.emplace(rules, groups_, pooled_);
    return OkStatus();
  }

  // Pools the rows of some keys, and then those of the next ones: so the memory of a request does
  // not grow with all its rows, and they are added while they are in the cache.
  Status PoolInParts() {
    const auto keys = static_cast<size_t>(keys_.element_count());
    for (size_t first = 0; first < keys; first += kPartKeys) {
      const size_t count = std::min<size_t>(kPartKeys, keys - first);
      Choose(first, count);
      Status status;
      model_.store_->Find(lookup_, [&](Status found) { status = std::move(found); });
      TRY(status);
      TRY(FillMissing(first, count));
      AddToPool(first, count);
    }
    return AddOutputs();
  }

  Status Complete() {
    const auto keys = static_cast<size_t>(keys_.element_count());
    TRY(FillMissing(0, keys));
    if (pooler_) AddToPool(0, keys);
    return AddOutputs();
  }

  // The rows are those of these keys.
  void AddToPool(size_t first, size_t count) {
    // A key that is missing has no row that could count, unless the table gives it one.
    const bool all_count = !model_.options_.default_row.empty();
    pooler_->Add(rows_.data(), all_count ? nullptr : found_.as<bool>().data() + first, count);
  }

  Status AddOutputs() {
    if (info().may_lack_rows && IsWanted(request_, kAnswered))
      response_.outputs.push_back({kAnswered, std::move(answered_)});
    if (IsWanted(request_, kFound)) response_.outputs.push_back({kFound, found_});
    if (answer_ == Answer::kGroups) TRY(AddSplits());
    if (!pooler_ && IsWanted(request_, kRows))
      response_.outputs.push_back({kRows, std::move(rows_)});
    if (pooler_ && IsWanted(request_, kPooled))
      response_.outputs.push_back({kPooled, std::move(pooled_)});
    return OkStatus();
  }

  // Gives the keys that are missing their row, and counts.
  Status FillMissing(size_t first, size_t count) {
    const std::span<const bool> found = found_.as<bool>().subspan(first, count);
    const std::string& default_row = model_.options_.default_row;
    uint64_t missing = 0;
    for (size_t i = 0; i < count; ++i) {
      if (found[i]) continue;
      // Zeros for a row that another shard has would be wrong without a sign.
      if (info().shard.count > 1) TRY(CheckShard(first + i));
      ++missing;
      std::byte* const row = rows_.mutable_data() + i * info().row_bytes;
      if (default_row.empty()) {
        std::memset(row, 0, info().row_bytes);
      } else {
        std::memcpy(row, default_row.data(), info().row_bytes);
      }
    }
    if (model_.metrics_ != nullptr)
      model_.metrics_->CountRows(count - missing, missing, !default_row.empty());
    return OkStatus();
  }

  Status CheckShard(size_t position) const {
    const uint64_t shard = ShardOf(info(), keys_, position);
    if (shard == info().shard.index) return OkStatus();
    return InvalidArgument("the key at position {} belongs to shard {} of the table; this is {}",
                           position, shard, info().shard.index);
  }

  Status AddSplits() {
    if (!IsWanted(request_, kRowSplits)) return OkStatus();
    const auto count = static_cast<int64_t>(groups_.lengths.size());
    ASSIGN_OR_RETURN(Tensor splits, Tensor::Allocate(DType::kInt64, {count + 1}, memory_));
    int64_t* split = splits.mutable_as<int64_t>().data();
    *split = 0;
    for (const int64_t length : groups_.lengths) {
      split[1] = split[0] + length;
      ++split;
    }
    response_.outputs.push_back({kRowSplits, std::move(splits)});
    return OkStatus();
  }

  void Send() {
    // The call may destroy the request and the model.
    ResponseCallback answered = std::move(done_);
    answered(std::move(response_));
  }

  void Fail(Status status) {
    ResponseCallback done = std::move(done_);
    AnswerError(done, std::move(status));
  }

  const StoreInfo& info() const { return model_.store_->info(); }

  static constexpr int64_t kPartKeys = 1024;

  const TableModel& model_;
  const InferRequest& request_;
  const Answer answer_;
  ResponseCallback done_;
  RequestMemory memory_;
  Tensor keys_;
  KeyGroups groups_;
  std::span<const float> weights_;  // empty: all are 1
  Tensor found_;
  Tensor answered_;  // if the store may lack rows
  Tensor rows_;
  Tensor pooled_;
  std::optional<Pooler> pooler_;  // none: the answer has all rows
  Lookup lookup_;
  InferResponse response_;
};

TableModel::TableModel(std::unique_ptr<Store> store, TableModelOptions options)
    : store_(std::move(store)),
      options_(std::move(options)),
      metrics_(options_.metrics == nullptr
                   ? nullptr
                   : std::make_unique<TableMetrics>(options_.id, *options_.metrics)),
      info_(Describe(*store_)) {
  if (metrics_ != nullptr) metrics_->SetRows(store_->info().rows);
}

void TableModel::Run(const InferRequest& request, ResponseCallback done) {
  if (request.signature_name == kTableSignature) return AnswerDescription(request, done);
  LookupRun::Start(std::make_unique<LookupRun>(*this, request, std::move(done)));
}

void TableModel::AnswerDescription(const InferRequest& request, ResponseCallback& done) const {
  const StoreInfo& info = store_->info();
  StatusOr<NamedTensors> outputs = WriteDescription({.key_type = info.key_type,
                                                     .dtype = info.dtype,
                                                     .dimension = info.dimension,
                                                     .rows = info.rows,
                                                     .shard = info.shard,
                                                     .default_row = options_.default_row});
  if (!outputs.ok()) return AnswerError(done, std::move(outputs).status());
  InferResponse response;
  for (NamedTensor& output : *outputs) {
    if (IsWanted(request, output.name)) response.outputs.push_back(std::move(output));
  }
  done(std::move(response));
}

RequestMemory TableModel::MemoryOfAnswer() const {
  return options_.engine == nullptr ? RequestMemory(UINT64_MAX) : options_.engine->MemoryOfAnswer();
}

}  // namespace penstock::tables
