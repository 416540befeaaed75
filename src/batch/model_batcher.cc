// SPDX-License-Identifier: Apache-2.0
#include "batch/model_batcher.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <string>
#include <utility>

#include "base/log.h"
#include "batch/join.h"
#include "batch/rows_answer.h"

namespace penstock::batch {
namespace {

// Runs that take less are not worth joining on an event loop.
constexpr Duration kWorthJoining = std::chrono::microseconds(2);
// The mean time of a run takes over this part of each new time.
constexpr int64_t kNewPart = 8;

constexpr double kSizeBounds[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};

MetricLabels Labels(const core::ServableId& id) {
  return {{"model_name", id.name}, {"model_version", std::to_string(id.version.value)}};
}

schedule::Gathering GatheringOf(const ModelInfo& info, const BatchSettings& settings) {
  const auto& preferred = settings.preferred_rows;
  const int64_t rows = preferred.empty() ? settings.rows_max : preferred.front();
  // To wait for more rows than one batch may have would only cost time.
  int64_t fitting = 1;
  for (const Signature& signature : info.signatures) {
    const RowMemory memory(signature, settings.bytes_max);
    fitting = std::max(fitting, memory.is_known() ? memory.rows() : rows);
  }
  return {.delay_max = settings.delay_us_max * 1000, .rows = std::min(rows, fitting)};
}

// One request made of several. One thread at a time.
class GatheredRequest final : public JoinedRequest {
 public:
  // All three must outlive it.
  GatheredRequest(const Signature& signature, const PadPlan& pad, CancelToken& cancel)
      : signature_(signature), pad_(pad) {
    request_.cancel = &cancel;
  }

  Status Gather(std::span<const InferRequest* const> members, int64_t extra_rows,
                RequestMemory& memory) {
    extra_rows_ = extra_rows;
    const InferRequest& first = *members.front();
    request_.signature_name = signature_.name;
    request_.output_filter = UnionOfFilters(members);
    request_.options = first.options;
    request_.request_id = first.request_id;
    request_.deadline = first.deadline;
    for (const InferRequest* member : members) {
      rows_.push_back(member->inputs.front().tensor.shape().dim(0));
      request_.message_bytes += member->message_bytes;
      // The run is of use as long as one of them waits.
      request_.deadline = std::max(request_.deadline, member->deadline);
    }
    request_.times = &times_;
    members_.assign(members.begin(), members.end());
    return GatherInputs(members, extra_rows, memory, request_.inputs, pad_);
  }

  const InferRequest& request() const override { return request_; }
  Status Divide(const NamedTensors& outputs, RequestMemory& memory) override {
    TRY(scatter_.Start(signature_, outputs, std::reduce(rows_.begin(), rows_.end(), extra_rows_)));
    next_ = 0;
    if (!pad_.cuts()) return OkStatus();
    // No member gets its answer before it is sure that all can have theirs.
    cut_parts_.resize(members_.size());
    for (size_t i = 0; i < members_.size(); ++i) {
      scatter_.Next(rows_[i], members_[i]->output_filter, cut_parts_[i]);
      TRY(pad_.Cut(*members_[i], request_.inputs, memory, cut_parts_[i]));
    }
    return OkStatus();
  }
  void NextPart(NamedTensors& part) override {
    const size_t i = next_++;
    if (!cut_parts_.empty()) {
      part = std::move(cut_parts_[i]);
    } else {
      scatter_.Next(rows_[i], members_[i]->output_filter, part);
    }
  }

 private:
  const Signature& signature_;
  const PadPlan& pad_;
  InferRequest request_;
  std::vector<const InferRequest*> members_;
  StageTimes times_;  // nobody reads them: each member has its own
  std::vector<int64_t> rows_;
  int64_t extra_rows_ = 0;
  Scatter scatter_;
  size_t next_ = 0;  // the member whose part comes next
  std::vector<NamedTensors> cut_parts_;
};

}  // namespace

ModelBatcher::ModelBatcher(const ModelInfo& info, BatcherOptions options, MetricsRegistry& metrics)
    : Batcher(options.settings.splits || options.settings.request_rows_max > 0,
              GatheringOf(info, options.settings)),
      info_(info),
      id_(std::move(options.id)),
      settings_(std::move(options.settings)),
      series_(metrics),
      rows_(series_.AddHistogram("penstock_batch_rows", "Rows that ran together.", kSizeBounds,
                                 Labels(id_))),
      requests_(
          series_.AddHistogram("penstock_batch_requests",
                               "Requests that ran together. Each part of a split request counts as "
                               "one, and a request without rows not at all.",
                               kSizeBounds, Labels(id_))),
      shared_runs_(series_.AddHistogram(kSharedRunsMetric,
                                        "Times of runs that requests shared, microseconds: one for "
                                        "each request of a run but the first.",
                                        {}, Labels(id_))),
      padding_(series_.AddCounter("penstock_batch_padding_rows_total",
                                  "Rows that were added to reach an allowed size.", Labels(id_))),
      retries_(series_.AddCounter("penstock_batch_retried_requests_total",
                                  "Requests that ran again because a run with others failed. "
                                  "The failed run is in no other metric of batches.",
                                  Labels(id_))),
      split_(series_.AddCounter("penstock_batch_split_requests_total",
                                "Requests that were too large for one run, and ran in parts.",
                                Labels(id_))),
      elements_(series_.AddCounter("penstock_batch_elements_total",
                                   "Elements of inputs that may be padded, in runs of several "
                                   "requests, with those that were added.",
                                   Labels(id_))),
      padding_elements_(series_.AddCounter("penstock_batch_padding_elements_total",
                                           "Elements that were added to make rows equal in size.",
                                           Labels(id_))) {
  for (const Signature& signature : info_.signatures) {
    MetricLabels labels = Labels(id_);
    labels.emplace_back("signature", signature.name);
    Gauge& gauge =
        series_.AddGauge("penstock_batch_rows_limit",
                         "Rows that may run together now, by the measured times of runs. "
                         "0: the signature is not batched.",
                         labels);
    states_.push_back(std::make_unique<SignatureState>(signature, settings_, gauge));
  }
}

void ModelBatcher::TurnOn(uint32_t signature, PadPlan pad) {
  states_[signature]->pad = std::move(pad);
  states_[signature]->is_on.store(true, std::memory_order_relaxed);
  states_[signature]->limit_gauge.Set(RowsMax(signature));
}

BatchForm ModelBatcher::FormOf(const InferRequest& request) const {
  const Signature* const signature = info_.FindSignature(request.signature_name);
  if (signature == nullptr) return {};
  const auto position = static_cast<uint32_t>(signature - info_.signatures.data());
  if (!IsOn(position)) return {};
  const PadPlan& pad = states_[position]->pad;
  const int64_t rows = RowsOf(*signature, request);
  if (!pad.pads() || rows == 0) return {.signature = position, .rows = rows};
  if (!pad.IsConsistent(request)) return {.signature = position};
  const int64_t elements = pad.Elements(request);
  return {position, rows, elements, elements / rows};
}

bool ModelBatcher::MayJoin(const InferRequest& first, const BatchForm& batch,
                           const InferRequest& other, const BatchForm& other_form) const {
  if (batch.signature != other_form.signature) return false;
  const PadPlan& pad = states_[batch.signature]->pad;
  if (!CanJoin(first, other, pad)) return false;
  if (!pad.pads()) return true;
  BatchForm all = batch;
  all.Add(other_form);
  return pad.MayPad(all.rows, all.row_elements, all.elements);
}

int64_t ModelBatcher::RowsToTake(uint32_t signature, int64_t rows) const {
  const auto& preferred = settings_.preferred_rows;
  const auto larger =
      std::ranges::upper_bound(preferred, std::min(rows, states_[signature]->memory.rows()));
  return larger == preferred.begin() ? RowsMax(signature) : *std::prev(larger);
}

int64_t ModelBatcher::RowsToRun(int64_t rows) const {
  const auto next = std::ranges::lower_bound(settings_.allowed_rows, rows);
  return next == settings_.allowed_rows.end() ? rows : *next;
}

int64_t ModelBatcher::RowsBelow(int64_t rows) const {
  const auto& allowed = settings_.allowed_rows;
  if (allowed.empty()) return rows;
  const auto larger = std::ranges::upper_bound(allowed, rows);
  return larger == allowed.begin() ? *larger : *std::prev(larger);
}

StatusOr<std::unique_ptr<JoinedRequest>> ModelBatcher::Join(
    std::span<const InferRequest* const> members, CancelToken& cancel,
    RequestMemory& memory) const {
  const Signature* const signature = info_.FindSignature(members.front()->signature_name);
  const PadPlan& pad = states_[static_cast<size_t>(signature - info_.signatures.data())]->pad;
  auto joined = std::make_unique<GatheredRequest>(*signature, pad, cancel);
  int64_t rows = 0;
  for (const InferRequest* member : members) rows += member->inputs.front().tensor.shape().dim(0);
  TRY(joined->Gather(members, RowsToRun(rows) - rows, memory));
  if (!pad.pads() || members.size() == 1) return joined;
  const int64_t all = pad.Elements(joined->request()) / RowsToRun(rows) * rows;
  int64_t own = 0;
  for (const InferRequest* member : members) own += pad.Elements(*member);
  elements_.Add(static_cast<uint64_t>(all));
  padding_elements_.Add(static_cast<uint64_t>(std::max<int64_t>(all - own, 0)));
  return joined;
}

StatusOr<int64_t> ModelBatcher::PartRows(const BatchForm& form) const {
  const int64_t most = settings_.request_rows_max;
  // The text of TensorFlow Serving, because clients compare it.
  if (most > 0 && form.rows > most)
    return InvalidArgument("Task size {} is larger than maximum input batch size {}", form.rows,
                           most);
  if (!settings_.splits || form.rows <= settings_.rows_max) return 0;
  const int64_t parts = (form.rows - 1) / settings_.rows_max + 1;
  // An operator who limits the rows of requests has decided about the parts, too.
  if (most == 0 && settings_.split_parts_max > 0 && parts > settings_.split_parts_max) {
    return InvalidArgument(
        "the request has {} rows, and would run in {} parts of {} rows; no more than {} parts, "
        "which "
        "are {} rows, may be in one request (split_parts_max)",
        form.rows, parts, settings_.rows_max, settings_.split_parts_max,
        settings_.split_parts_max * settings_.rows_max);
  }
  split_.Add();
  return settings_.rows_max;
}

std::unique_ptr<PartedAnswer> ModelBatcher::BeginAnswer(const BatchForm& form) const {
  return std::make_unique<RowsAnswer>(info_.signatures[form.signature], form.rows);
}

// A request waits for the end of the turn, and its rows are copied twice. That takes about as long
// as the run of a model that only adds a few numbers, so such a model must not pay for it.
void ModelBatcher::NoteRunTime(SignatureState& state, Duration time) {
  const int64_t before = state.run_ns.load(std::memory_order_relaxed);
  const int64_t mean = before == 0 ? time.count() : before + (time.count() - before) / kNewPart;
  state.run_ns.store(mean, std::memory_order_relaxed);
  // A model that runs only some numbers of rows always goes this way.
  SetJoinsInTurns(!settings_.allowed_rows.empty() ||
                  std::ranges::any_of(states_, [](const auto& each) {
                    return each->run_ns.load(std::memory_order_relaxed) >= kWorthJoining.count();
                  }));
}

void ModelBatcher::Record(const BatchForm& form, const EndedRun& run) {
  SignatureState& state = *states_[form.signature];
  NoteRunTime(state, run.time);
  state.limit.Record(form.rows, run.time);
  state.memory.Record(form.rows, run.tensor_bytes);
  state.limit_gauge.Set(RowsMax(form.signature));
  rows_.Record(static_cast<double>(form.rows));
  requests_.Record(static_cast<double>(run.requests));
  const double time_us = std::chrono::duration<double, std::micro>(run.time).count();
  for (size_t i = 1; i < run.requests; ++i) shared_runs_.Record(time_us);
  if (const int64_t extra = RowsToRun(form.rows) - form.rows; extra > 0)
    padding_.Add(static_cast<uint64_t>(extra));
}

void ModelBatcher::RecordRetries(size_t requests) { retries_.Add(requests); }

void ModelBatcher::TurnOff(uint32_t signature, const Status& why) {
  if (!states_[signature]->is_on.exchange(false, std::memory_order_relaxed)) return;
  states_[signature]->limit_gauge.Set(0);
  PENSTOCK_LOG(kWarning, "{}: the signature '{}' is no longer batched: {}", id_.ToString(),
               info_.signatures[signature].name, MessageOf(why));
}

}  // namespace penstock::batch
