// SPDX-License-Identifier: Apache-2.0
#include "tf_model.h"

#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <string>
#include <utility>

#include "wire.h"

namespace penstock::tensorflow {

using plugin::Error;

namespace {

// Fields of RunOptions.
constexpr uint32_t kTimeoutInMs = 2;
constexpr uint32_t kInterOpThreadPool = 3;
constexpr int kCallingThread = -1;

int64_t NowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

plugin::Description Describe(const ModelSignatures& signatures, bool any_shape) {
  plugin::Description description;
  for (const BoundSignature& bound : signatures.bound) {
    description.signatures.push_back(bound.signature);
  }
  description.flags = any_shape ? PENSTOCK_ANY_SHAPE : 0;
  description.alignment = 64;
  description.notes = signatures.notes;
  description.left_out = signatures.left_out;
  description.signature_def_map = signatures.signature_def_map;
  return description;
}

std::string ShapeText(const int64_t* shape, size_t rank) {
  std::string text = "[";
  for (size_t i = 0; i < rank; ++i) text += (i > 0 ? "," : "") + std::to_string(shape[i]);
  return text + "]";
}

bool ShapeFits(const plugin::TensorSpec& spec, const PenstockTensor& tensor) {
  if (spec.unknown_rank) return true;
  if (spec.shape.size() != tensor.rank) return false;
  for (size_t i = 0; i < tensor.rank; ++i) {
    if (spec.shape[i] >= 0 && spec.shape[i] != tensor.shape[i]) return false;
  }
  return true;
}

// For behind TensorFlow's own words: the inputs whose shapes are not those that were declared.
std::string ShapesThatDiffer(const plugin::Signature& signature, const plugin::Request& request) {
  std::string text;
  for (const PenstockNamedTensor& input : request.inputs()) {
    const plugin::TensorSpec& spec = signature.inputs[input.index];
    if (ShapeFits(spec, input.tensor)) continue;
    text += "; the signature declares " + spec.name + ": " +
            ShapeText(spec.shape.data(), spec.shape.size()) + ", the request has " +
            ShapeText(input.tensor.shape, input.tensor.rank);
  }
  return text;
}

}  // namespace

BufferPtr RunOptionsInline(const TfApi& api) {
  std::string options;
  AppendVarintField(options, kInterOpThreadPool, kCallingThread);
  return MakeBuffer(api, options);
}

// One run. One thread at a time.
struct TfModel::Call {
  Call(const TfApi& tf, const BoundSignature& bound, plugin::Request& run)
      : api(tf),
        signature(bound),
        request(run),
        given(bound.feeds.size()),
        feeds(bound.feeds.size()),
        fetched(bound.outputs.size()),
        tensors(bound.outputs.size()),
        values(bound.outputs.size()),
        sizes(bound.outputs.size()),
        results(bound.outputs.size()) {}
  ~Call() {
    for (TF_Tensor* value : values) {
      if (value != nullptr) api.DeleteTensor(value);
    }
    for (const PenstockNamedTensor& result : results) {
      const PenstockOwner& owner = result.tensor.owner;
      if (owner.calls != nullptr) owner.calls->release(owner.object);
    }
  }

  const TfApi& api;
  const BoundSignature& signature;
  plugin::Request& request;
  plugin::SmallArray<TensorPtr> given;       // by feed; null: its default is fed
  plugin::SmallArray<TF_Tensor*> feeds;      // by feed
  plugin::SmallArray<uint32_t> fetched;      // by position: index of the output
  plugin::SmallArray<TF_Output> tensors;     // by position
  plugin::SmallArray<TF_Tensor*> values;     // by position
  plugin::SmallArray<OutputSizes, 4> sizes;  // by position
  plugin::SmallArray<PenstockNamedTensor, 4> results;
  size_t fetch_count = 0;
};

TfModel::TfModel(const PenstockHost& host, const TfApi& api, const TF_Buffer* inline_options,
                 LoadedGraph loaded)
    : Model(Describe(loaded.signatures, loaded.any_shape)),
      host_(host),
      api_(api),
      loaded_(std::move(loaded)),
      inline_options_(inline_options) {}

TfModel::~TfModel() {
  loaded_.session.reset();
  malloc_trim(0);  // the C library would keep most of the weights' memory
}

void TfModel::Run(plugin::Request&& request) {
  Call call(api_, loaded_.signatures.bound[request.signature_index()], request);
  Feed(call);
  ChooseOutputs(call);
  RunSession(call);
  size_t given = 0;
  for (size_t i = 0; i < call.fetch_count; ++i) {
    const auto wanted = request.outputs();
    const bool is_wanted = std::any_of(wanted.begin(), wanted.end(), [&](const auto& output) {
      return output.index == call.fetched[i];
    });
    if (!is_wanted) continue;
    PenstockNamedTensor& result = call.results[given++];
    result.index = call.fetched[i];
    result.tensor = FromTensorFlow(api_, TensorPtr(std::exchange(call.values[i], nullptr), {&api_}),
                                   call.sizes[i]);
  }
  request.Finish({call.results.data(), given});
  for (PenstockNamedTensor& result : call.results) result.tensor.owner = {};
}

void TfModel::Feed(Call& call) const {
  const BoundSignature& signature = call.signature;
  for (const PenstockNamedTensor& input : call.request.inputs()) FeedInput(call, input);
  for (size_t i = 0; i < signature.feed_of.size(); ++i) {
    TF_Tensor*& feed = call.feeds[signature.feed_of[i]];
    if (feed == nullptr) feed = signature.defaults[i].get();
    if (feed == nullptr) {
      throw Error(PENSTOCK_INVALID_ARGUMENT,
                  "the input '" + signature.signature.inputs[i].name + "' is missing");
    }
  }
}

void TfModel::FeedInput(Call& call, const PenstockNamedTensor& input) const {
  const std::vector<uint32_t>& feed_of = call.signature.feed_of;
  const uint32_t feed = feed_of[input.index];
  if (call.feeds[feed] == nullptr) [[likely]] {
    call.given[feed] = ToTensorFlow(api_, input.tensor);
    call.feeds[feed] = call.given[feed].get();
    return;
  }
  for (const PenstockNamedTensor& other : call.request.inputs()) {
    if (feed_of[other.index] != feed || SameValues(other.tensor, input.tensor)) continue;
    const std::vector<plugin::TensorSpec>& specs = call.signature.signature.inputs;
    throw Error(PENSTOCK_INVALID_ARGUMENT,
                "the inputs '" + specs[other.index].name + "' and '" + specs[input.index].name +
                    "' are one tensor of the graph, " + specs[input.index].backend_name +
                    ": they must have the same values");
  }
}

bool TfModel::IsKnownSet(uint32_t signature, uint64_t outputs) {
  const std::lock_guard lock(sets_mutex_);
  const std::pair wanted(signature, outputs);
  if (std::find(sets_.begin(), sets_.end(), wanted) != sets_.end()) return true;
  if (sets_.size() >= kOutputSetsMax) return false;
  sets_.push_back(wanted);
  return true;
}

void TfModel::ChooseOutputs(Call& call) {
  constexpr size_t kBits = 64;
  const size_t count = call.signature.outputs.size();
  const auto wanted = call.request.outputs();
  uint64_t bits = ~uint64_t{0};
  if (wanted.size() < count && count <= kBits) {
    uint64_t some = 0;
    for (const PenstockNamedTensor& output : wanted) some |= uint64_t{1} << output.index;
    if (IsKnownSet(call.request.signature_index(), some)) bits = some;
  }
  for (uint32_t i = 0; i < count; ++i) {
    if (count <= kBits && (bits >> i & 1) == 0) continue;
    call.fetched[call.fetch_count] = i;
    call.tensors[call.fetch_count] = call.signature.outputs[i];
    ++call.fetch_count;
  }
}

bool TfModel::NeedsTimer(const Call& call, int64_t now_ns) const {
  if (!call.request.has_deadline()) return false;
  // A run that always was short cannot overrun its deadline by much.
  constexpr int64_t kEnough = 10 * kShortRunNs;
  return short_runs_.load(std::memory_order_relaxed) < kShortRunsWanted ||
         call.request.raw()->deadline_ns - now_ns < kEnough;
}

void TfModel::RunSession(Call& call) {
  const int64_t started = NowNs();
  BufferPtr timed_options;
  if (NeedsTimer(call, started)) {
    std::string options;
    constexpr int64_t kNsPerMs = 1'000'000;
    const int64_t left = call.request.raw()->deadline_ns - started;
    AppendVarintField(options, kTimeoutInMs, std::max<int64_t>(1, left / kNsPerMs));
    timed_options = MakeBuffer(api_, options);
  }
  CallStatus status(api_);
  api_.SessionRun(loaded_.session.get(),
                  timed_options != nullptr ? timed_options.get() : inline_options_,
                  call.signature.feeds.data(), call.feeds.data(),
                  static_cast<int>(call.feeds.size()), call.tensors.data(), call.values.data(),
                  static_cast<int>(call.fetch_count), nullptr, 0, nullptr, status.get());
  const uint32_t runs = short_runs_.load(std::memory_order_relaxed);
  if (NowNs() - started > kShortRunNs) {
    if (runs > 0) short_runs_.store(0, std::memory_order_relaxed);
    CheckStillWanted(call);
  } else if (runs < kShortRunsWanted) {
    short_runs_.store(runs + 1, std::memory_order_relaxed);
  }
  if (!status.ok()) status.Check({}, ShapesThatDiffer(call.signature.signature, call.request));
}

void TfModel::CheckStillWanted(const Call& call) const {
  if (call.request.stop_reason() != PENSTOCK_CANCELLED) return;
  host_.metric(&host_, PENSTOCK_METRIC_COUNT, plugin::ToC("abandoned_runs_total"), 1);
  throw Error(PENSTOCK_CANCELLED, "cancelled during the run, which went on to its end");
}

}  // namespace penstock::tensorflow
