// SPDX-License-Identifier: Apache-2.0
// A round decides for each row that lacks something: this request computes it, or follows another
// one that does. It starts its own run, waits until that has ended, and only then for others. So no
// two requests wait for each other. `pending_` counts what a round waits for, and the thread that
// starts it; whoever counts it down to zero is alone, and answers.
//
// If a run fails, the requests that followed it must not suffer: they run their rows alone. If it
// was only stopped, because its client left, they try once more together.
//
// While the own run is under way, the token of the request belongs to the engine. After that its
// callback is OnCancel, which answers at once; then the flights that end later find that all is
// done, and touch the request no more.
#include "cache/cache_run.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_map>

#include "batch/join.h"

namespace penstock::cache {
namespace {

// After so many rounds each row runs alone.
constexpr int kRoundsMax = 3;

// True if the error says nothing about the rows: the same run may succeed for another request.
bool IsStop(const Status& status) {
  const StatusCode code = status.code();
  return code == StatusCode::kCancelled || code == StatusCode::kDeadlineExceeded ||
         code == StatusCode::kUnavailable || code == StatusCode::kResourceExhausted;
}

// Keeps the characters of a tensor's strings alive. Thread-safe as every Buffer.
class StringOwner final : public Buffer {
 public:
  explicit StringOwner(const Tensor& tensor)
      : Buffer(nullptr, 0), elements_(tensor.elements()), strings_(tensor.string_owner()) {}

 private:
  const Slice elements_;
  const BufferRef strings_;
};

// Returns these rows of the tensor: as a view if they follow each other, else as a copy.
StatusOr<Tensor> PickRows(const Tensor& tensor, const std::vector<int64_t>& rows,
                          RequestMemory& memory) {
  const auto count = static_cast<int64_t>(rows.size());
  if (rows.back() - rows.front() + 1 == count) return tensor.Rows(rows.front(), count);
  Shape shape = tensor.shape();
  const size_t row_bytes = tensor.bytes() / static_cast<size_t>(shape.dim(0));
  shape.SetDim(0, count);
  ASSIGN_OR_RETURN(Tensor picked, Tensor::Allocate(tensor.dtype(), std::move(shape), memory));
  std::byte* place = picked.mutable_data();
  for (const int64_t row : rows) {
    if (row_bytes > 0)
      std::memcpy(place, tensor.data() + static_cast<size_t>(row) * row_bytes, row_bytes);
    place += row_bytes;
  }
  if (tensor.dtype() == DType::kString) picked.set_string_owner(BufferRef(new StringOwner(tensor)));
  return picked;
}

CacheOutcome OutcomeOf(const Lookup& lookup) {
  return lookup.found == 0 ? CacheOutcome::kMiss : CacheOutcome::kPartial;
}

}  // namespace

CacheRun::CacheRun(Context&& context, const InferRequest& request, Lookup&& lookup,
                   ResponseCallback&& done)
    : context_(std::move(context)),
      request_(request),
      done_(std::move(done)),
      lookup_(std::move(lookup)),
      outcome_(OutcomeOf(lookup_)),
      states_(static_cast<size_t>(lookup_.rows), RowState::kThere) {}

void CacheRun::Start(Context context, const InferRequest& request, RunPlace place, Lookup&& lookup,
                     ResponseCallback&& done) {
  const std::shared_ptr<CacheRun> run(
      new CacheRun(std::move(context), request, std::move(lookup), std::move(done)));
  run->context_.cache->CountRequest(run->outcome_);
  std::unordered_map<uint64_t, std::vector<uint32_t>> seen;
  Lookup& of = run->lookup_;
  if (of.rows > 1) run->twins_.resize(static_cast<size_t>(of.rows));
  for (uint32_t row = 0; row < run->states_.size(); ++row) {
    if (of.Missing(row) == 0) continue;
    run->states_[row] = RowState::kLacks;
    if (of.rows == 1) break;
    std::vector<uint32_t>& equals = seen[of.keys[row].low];
    const auto twin = std::ranges::find_if(
        equals, [&](uint32_t other) { return of.keys[other] == of.keys[row]; });
    if (twin == equals.end()) {
      equals.push_back(row);
    } else {
      run->states_[row] = RowState::kTwin;
      run->twins_[row] = *twin;
    }
  }
  run->Go(place);
}

CacheRun::RowState CacheRun::Claim(int64_t row) {
  // A refresh computes in any case, and so does a request whose rows have failed before.
  if (request_.cache_use == CacheUse::kRefresh || rounds_ > kRoundsMax) return RowState::kAlone;
  const SteadyTime now = context_.engine.clock().Now();
  VersionCache& cache = *context_.cache;
  const auto is_there = [&] { return cache.FindRow(lookup_, row, now); };
  const OutputSet missing = lookup_.Missing(row);
  // A flight may end before Claim has returned, and then writes the values and the state.
  states_[static_cast<size_t>(row)] = RowState::kFollowed;
  switch (cache.flights().Claim(lookup_.keys[static_cast<size_t>(row)], missing, shared_from_this(),
                                static_cast<uint32_t>(row), is_there)) {
    case Flights::Claimed::kOwn:
      return RowState::kOwn;
    case Flights::Claimed::kFollowed:
      cache.joined().Add(std::popcount(missing));
      return RowState::kFollowed;
    case Flights::Claimed::kFound:
      return RowState::kThere;
    case Flights::Claimed::kAlone:
      return RowState::kAlone;
  }
  return RowState::kAlone;
}

void CacheRun::Go(RunPlace place) {
  ++rounds_;
  pending_.store(1, std::memory_order_relaxed);
  own_.clear();
  own_outputs_ = 0;
  for (size_t i = 0; i < states_.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    const RowState before = states_[i];
    if (before != RowState::kLacks && before != RowState::kStopped && before != RowState::kFailed)
      continue;
    const RowState after = before == RowState::kFailed ? RowState::kAlone : Claim(row);
    if (after == RowState::kFollowed) continue;  // its flight may have written the state already
    states_[i] = after;
    if (after == RowState::kThere) continue;
    own_.push_back(row);
    own_outputs_ |= lookup_.Missing(row);
  }
  if (own_.empty()) return WaitForOthers();
  RunOwn(place);
}

void CacheRun::RunOwn(RunPlace place) {
  const std::vector<TensorSpec>& specs =
      context_.cache->info().signatures[lookup_.signature].outputs;
  InferRequest& own = own_request_;
  own = {};
  own.signature_name = request_.signature_name;
  OutputSet wanted = 0;
  for (const uint32_t output : lookup_.outputs) wanted |= OutputSet{1} << output;
  if (own_outputs_ == wanted) {
    own.output_filter = request_.output_filter;
  } else {
    for (const uint32_t output : lookup_.outputs)
      if ((own_outputs_ >> output & 1) != 0) own.output_filter.push_back(specs[output].name);
  }
  own.options = request_.options;
  own.deadline = request_.deadline;
  own.cancel = request_.cancel;
  own.request_id = request_.request_id;
  own.message_bytes = request_.message_bytes / static_cast<uint64_t>(lookup_.rows) *
                      static_cast<uint64_t>(own_.size());
  own.times = request_.times;
  own.names_owner = request_.names_owner;
  if (Status status = GatherInputs(); !status.ok()) return FailOwn(status);
  context_.engine.RunPastCache(
      context_.handle, own, place,
      [self = shared_from_this()](InferResponse&& part) { self->OnOwnPart(std::move(part)); });
}

Status CacheRun::GatherInputs() {
  RequestMemory memory = context_.engine.MemoryOfRequest();
  const bool has_all = own_.size() == states_.size();
  for (const NamedTensor& input : request_.inputs) {
    NamedTensor& own = own_request_.inputs.emplace_back();
    own.name = input.name;
    if (has_all) {
      own.tensor = input.tensor;
    } else {
      ASSIGN_OR_RETURN(own.tensor, PickRows(input.tensor, own_, memory));
    }
  }
  return OkStatus();
}

void CacheRun::OnOwnPart(InferResponse&& part) {
  if (!part.is_last) {
    was_streamed_ = true;
    return;
  }
  if (!part.status.ok()) return FailOwn(part.status);
  const Status taken =
      was_streamed_ ? absl::InternalError("the model answers in parts") : TakeOutputs(part.outputs);
  if (!taken.ok()) {
    if (taken.code() != StatusCode::kInternal) return FailOwn(taken);
    context_.cache->TurnOff(lookup_.signature, taken);
    for (const int64_t row : own_) {
      if (states_[static_cast<size_t>(row)] == RowState::kOwn)
        context_.cache->flights().Fail(lookup_.keys[static_cast<size_t>(row)], false);
    }
    return RunWhole();
  }
  // The usual miss: the answer of the model is that of the request.
  if (own_.size() == states_.size() && lookup_.found == 0 && rounds_ == 1)
    whole_answer_ = std::move(part.outputs);
  WaitForOthers();
}

Status CacheRun::TakeOutputs(const NamedTensors& outputs) {
  VersionCache& cache = *context_.cache;
  const std::vector<TensorSpec>& specs = cache.info().signatures[lookup_.signature].outputs;
  const auto own_rows = static_cast<int64_t>(own_.size());
  // Positions in `outputs`, for each output that was wanted of the run.
  std::vector<std::pair<size_t, const Tensor*>> found;
  for (size_t i = 0; i < lookup_.outputs.size(); ++i) {
    if ((own_outputs_ >> lookup_.outputs[i] & 1) == 0) continue;
    const std::string& name = specs[lookup_.outputs[i]].name;
    const auto output = std::ranges::find(outputs, name, &NamedTensor::name);
    if (output == outputs.end())
      return Error(StatusCode::kInternal, "the model gives no output '{}'", name);
    const Shape& shape = output->tensor.shape();
    if (shape.rank() == 0 || shape.dim(0) != own_rows) {
      return Error(StatusCode::kInternal, "the output '{}' of {} rows has the shape {}", name,
                   own_rows, shape.ToString());
    }
    found.emplace_back(i, &output->tensor);
  }
  std::vector<std::vector<RowRef>> rows(own_.size());
  for (size_t at = 0; at < own_.size(); ++at) {
    rows[at].resize(specs.size());
    for (const auto& [i, tensor] : found) {
      RowRef& copy = rows[at][lookup_.outputs[i]];
      copy = CachedRow::Copy(*tensor, static_cast<int64_t>(at));
      if (!copy) return OutOfMemory("a row for the cache");
    }
  }
  const SteadyTime now = context_.engine.clock().Now();
  for (size_t at = 0; at < own_.size(); ++at) {
    const auto row = static_cast<size_t>(own_[at]);
    for (const auto& [i, tensor] : found) {
      const RowRef& copy = rows[at][lookup_.outputs[i]];
      cache.Keep({lookup_.keys[row], lookup_.outputs[i]}, copy, now);
      lookup_.value(own_[at], i) = copy;
    }
    const bool is_own = states_[row] == RowState::kOwn;
    states_[row] = RowState::kThere;
    if (is_own) cache.flights().Land(lookup_.keys[row], rows[at]);
  }
  return OkStatus();
}

void CacheRun::FailOwn(const Status& status) {
  for (const int64_t row : own_) {
    if (states_[static_cast<size_t>(row)] == RowState::kOwn)
      context_.cache->flights().Fail(lookup_.keys[static_cast<size_t>(row)], IsStop(status));
  }
  if (!TakeDone()) return;
  InferResponse response;
  response.status = status;
  Answer(std::move(response));
}

void CacheRun::OnFlight(uint32_t row, const std::vector<RowRef>* values, bool was_stopped) {
  if (values == nullptr) {
    states_[row] = was_stopped ? RowState::kStopped : RowState::kFailed;
    return Leave();
  }
  for (size_t i = 0; i < lookup_.outputs.size(); ++i) {
    const RowRef& computed = (*values)[lookup_.outputs[i]];
    if (computed) lookup_.value(row, i) = computed;
  }
  states_[row] = RowState::kThere;
  Leave();
}

void CacheRun::WaitForOthers() {
  const std::shared_ptr<CacheRun> self = shared_from_this();
  CancelToken* const token = request_.cancel;
  if (token != nullptr && pending_.load(std::memory_order_acquire) > 1) {
    watch_.store(0, std::memory_order_relaxed);
    is_watching_ = true;
    token->SetCallback([self] { self->OnCancel(); });
    int is_being_set = 0;
    // It was cancelled meanwhile: then OnCancel has left the answer to this thread.
    if (!watch_.compare_exchange_strong(is_being_set, 1, std::memory_order_acq_rel)) OnCancel();
  }
  Leave();
}

void CacheRun::OnCancel() {
  // Within SetCallback the token must not go away.
  if (watch_.exchange(2, std::memory_order_acq_rel) == 0) return;
  if (!TakeDone()) return;
  InferResponse response;
  response.status = context_.engine.CheckStillWanted(request_.cancel, request_.deadline,
                                                     context_.engine.clock().Now());
  Answer(std::move(response));
}

void CacheRun::Leave() {
  if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) Finish();
}

void CacheRun::EndWatch() {
  if (std::exchange(is_watching_, false)) request_.cancel->ClearCallback();
}

void CacheRun::Finish() {
  // The flights, whose callbacks call this, keep it only until they return.
  const std::shared_ptr<CacheRun> self = shared_from_this();
  if (is_done_.load(std::memory_order_acquire)) return;
  const bool lacks_rows = std::ranges::any_of(states_, [](RowState state) {
    return state == RowState::kStopped || state == RowState::kFailed;
  });
  if (lacks_rows) {
    EndWatch();
    // It may have been cancelled until a moment ago. From here on the token is the engine's again.
    if (is_done_.load(std::memory_order_acquire)) return;
    return Go({});
  }
  if (!TakeDone()) return;
  EndWatch();
  InferResponse response;
  if (!whole_answer_.empty()) {
    response.outputs = std::move(whole_answer_);
  } else {
    for (size_t row = 0; row < states_.size(); ++row) {
      if (states_[row] != RowState::kTwin) continue;
      for (size_t i = 0; i < lookup_.outputs.size(); ++i)
        lookup_.value(static_cast<int64_t>(row), i) = lookup_.value(twins_[row], i);
    }
    RequestMemory memory = context_.engine.MemoryOfAnswer();
    StatusOr<NamedTensors> outputs = context_.cache->Answer(lookup_, memory);
    if (outputs.status().code() == StatusCode::kFailedPrecondition) {
      is_done_.store(false, std::memory_order_relaxed);
      return RunWhole();
    }
    response.status = outputs.status();
    if (outputs.ok()) response.outputs = *std::move(outputs);
  }
  response.cache = outcome_;
  Answer(std::move(response));
}

void CacheRun::RunWhole() {
  if (!TakeDone()) return;
  own_request_.inputs.clear();
  context_.engine.RunPastCache(context_.handle, request_, {}, std::move(done_));
}

void CacheRun::Answer(InferResponse&& response) {
  own_request_.inputs.clear();
  // The call may destroy the request, and what keeps the version.
  ResponseCallback done = std::move(done_);
  done(std::move(response));
}

}  // namespace penstock::cache
