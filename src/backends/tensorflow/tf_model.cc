// SPDX-License-Identifier: Apache-2.0
// How a request runs. TensorFlow wants three arrays for a run: the feeds (tensors of the graph that
// get values), the values, and the tensors to fetch. A Call holds these arrays. Feed fills in the
// values, ChooseOutputs selects the tensors to fetch, RunSession calls TensorFlow, and Compute
// turns the fetched values into results without a copy: a result owns the TF_Tensor that holds its
// elements.
//
// TensorFlow builds an executor for each set of feeds and fetched tensors, and keeps it as long as
// the session lives. Clients choose the outputs, so they could grow the server's memory. Therefore
// a model remembers the sets that it has seen, and after kOutputSetsMax of them it fetches all
// outputs and drops those that the request does not want.
//
// A run normally stays on the calling thread, because a change of threads costs more than a small
// model. TensorFlow can stop a run at its deadline only if the run is in TensorFlow's own pool.
// NeedsTimer decides which of the two a run gets.
#include "tf_model.h"

#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <deque>
#include <span>
#include <string>
#include <utility>

#include "flush_denormals.h"
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

plugin::Description Describe(const ModelSignatures& signatures, uint32_t flags) {
  plugin::Description description;
  for (const BoundSignature& bound : signatures.bound) {
    description.signatures.push_back(bound.signature);
  }
  description.flags = flags;
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

// Returns text to put behind TensorFlow's message: it names the inputs whose shapes differ from the
// declared ones. TensorFlow's message names the operation that failed, and clients do not know the
// graph.
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

// One run of the session, for one signature of the request or for all of them. Its arrays have
// their largest size from the start, and short ones lie inside the object, so a small model needs
// no allocation for them. One thread at a time.
struct TfModel::Call {
  // The feeds and outputs of several signatures, each tensor once. One thread at a time.
  struct Joined {
    Joined(const ModelSignatures& all, const plugin::Request& run) {
      for (uint32_t i = 0; i < run.signatures().size(); ++i) order.push_back(i);
      // Sorted, so that requests that name the same signatures in another order are the same to
      // TensorFlow: its cache of executors has an entry for each order of the tensors.
      std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
        return run.signatures()[a].index < run.signatures()[b].index;
      });
      for (const uint32_t position : order) {
        const BoundSignature& bound = all.bound[run.signatures()[position].index];
        signatures.push_back(&bound);
        for (uint32_t i = 0; i < bound.outputs.size(); ++i) origins.push_back({position, i});
        outputs.insert(outputs.end(), bound.outputs.begin(), bound.outputs.end());
        for (uint32_t i = 0; i < bound.feed_of.size(); ++i) {
          const TF_Output& feed = bound.feeds[bound.feed_of[i]];
          const bool is_there = std::any_of(feeds.begin(), feeds.end(), [&](const TF_Output& f) {
            return f.oper == feed.oper && f.index == feed.index;
          });
          if (is_there) continue;
          feeds.push_back(feed);
          sources.push_back({&bound, i});
        }
      }
    }

    struct Origin {
      uint32_t position;  // of the signature in the request
      uint32_t index;     // of the output in the signature
    };
    struct Source {
      const BoundSignature* bound;
      uint32_t
          input;  // index; the same in all signatures, because their inputs have the same names
    };
    std::vector<uint32_t> order;
    std::vector<const BoundSignature*> signatures;  // in that order
    std::vector<TF_Output> outputs;
    std::vector<Origin> origins;  // as outputs
    std::vector<TF_Output> feeds;
    std::vector<Source> sources;  // as feeds
  };

  // For the signature at `first` in the request.
  Call(const TfApi& tf, const BoundSignature& bound, plugin::Request& run, uint32_t first)
      : Call(tf, bound, run, first, bound.feeds, bound.outputs) {}
  // For all signatures.
  Call(const TfApi& tf, plugin::Request& run, std::unique_ptr<Joined> all)
      : Call(tf, *all->signatures.front(), run, 0, all->feeds, all->outputs) {
    joined = std::move(all);
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() {
    // After an error, the values that no result owns yet, and the results that the host has not
    // taken, are still here.
    for (TF_Tensor* value : values) {
      if (value != nullptr) api.DeleteTensor(value);
    }
    for (const PenstockNamedTensor& result : results) {
      const PenstockOwner& owner = result.tensor.owner;
      if (owner.calls != nullptr) owner.calls->release(owner.object);
    }
  }

  // The position of the signature, and the index in it, of output `i` of the call.
  Joined::Origin OriginOf(uint32_t i) const {
    return joined == nullptr ? Joined::Origin{position, i} : joined->origins[i];
  }
  bool IsWanted(uint32_t i) const {
    const Joined::Origin origin = OriginOf(i);
    const auto wanted = request.outputs();
    return std::any_of(wanted.begin(), wanted.end(), [&](const PenstockNamedTensor& output) {
      return output.index == origin.index && output.signature == origin.position;
    });
  }
  std::span<const PenstockNamedTensor> given() { return {results.data(), given_count}; }
  // To be called after Finish: the host has taken over the owners of the results, so the destructor
  // must not release them.
  void ForgetResults() {
    for (PenstockNamedTensor& result : results) result.tensor.owner = {};
  }

  const TfApi& api;
  const BoundSignature& signature;  // the only one, or the first
  plugin::Request& request;
  const uint32_t position;         // of `signature` in the request, if there is no `joined`
  std::unique_ptr<Joined> joined;  // null: the call is for one signature
  const std::span<const TF_Output> feed_tensors;
  const std::span<const TF_Output> outputs;
  plugin::SmallArray<TensorPtr> given_inputs;  // by feed; null: its default is fed
  plugin::SmallArray<TF_Tensor*> feeds;        // by feed
  plugin::SmallArray<uint32_t> fetched;        // by position: index in `outputs`
  plugin::SmallArray<TF_Output> tensors;       // by position
  plugin::SmallArray<TF_Tensor*> values;       // by position
  plugin::SmallArray<OutputSizes, 4> sizes;    // by position
  plugin::SmallArray<PenstockNamedTensor, 4> results;
  size_t fetch_count = 0;
  size_t given_count = 0;

 private:
  Call(const TfApi& tf, const BoundSignature& bound, plugin::Request& run, uint32_t first,
       std::span<const TF_Output> all_feeds, std::span<const TF_Output> all_outputs)
      : api(tf),
        signature(bound),
        request(run),
        position(first),
        feed_tensors(all_feeds),
        outputs(all_outputs),
        given_inputs(all_feeds.size()),
        feeds(all_feeds.size()),
        fetched(all_outputs.size()),
        tensors(all_outputs.size()),
        values(all_outputs.size()),
        sizes(all_outputs.size()),
        results(all_outputs.size()) {}
};

TfModel::TfModel(const PenstockHost& host, const TfApi& api, const TF_Buffer* inline_options,
                 LoadedGraph loaded)
    : Model(Describe(loaded.signatures, loaded.flags)),
      host_(host),
      api_(api),
      loaded_(std::move(loaded)),
      inline_options_(inline_options) {}

TfModel::~TfModel() {
  loaded_.session.reset();
  malloc_trim(0);  // the C library would keep most of the weights' memory
}

void TfModel::Run(plugin::Request&& request) {
  if (request.signatures().size() > 1) [[unlikely]]
    return RunSeveral(std::move(request));
  Call call(api_, loaded_.signatures.bound[request.signature_index()], request, 0);
  Compute(call);
  request.Finish(call.given());
  call.ForgetResults();
}

void TfModel::RunSeveral(plugin::Request&& request) {
  std::deque<Call> calls;
  if (IsKnownCombination(request)) {
    calls.emplace_back(api_, request, std::make_unique<Call::Joined>(loaded_.signatures, request));
  } else {
    for (uint32_t i = 0; i < request.signatures().size(); ++i) {
      calls.emplace_back(api_, loaded_.signatures.bound[request.signatures()[i].index], request, i);
    }
  }
  std::vector<PenstockNamedTensor> results;
  for (Call& call : calls) {
    Compute(call);
    results.insert(results.end(), call.given().begin(), call.given().end());
  }
  // All signatures have been computed. The request is answered only now, because one answer carries
  // the outputs of all: if a later signature fails, the whole request fails.
  request.Finish(results);
  for (Call& call : calls) call.ForgetResults();
}

void TfModel::Compute(Call& call) {
  Feed(call);
  ChooseOutputs(call);
  RunSession(call);
  for (size_t i = 0; i < call.fetch_count; ++i) {
    if (!call.IsWanted(call.fetched[i])) continue;
    const Call::Joined::Origin origin = call.OriginOf(call.fetched[i]);
    PenstockNamedTensor& result = call.results[call.given_count++];
    result.index = origin.index;
    result.signature = origin.position;
    result.tensor = FromTensorFlow(api_, TensorPtr(std::exchange(call.values[i], nullptr), {&api_}),
                                   call.sizes[i]);
  }
}

void TfModel::Feed(Call& call) const {
  const BoundSignature& signature = call.signature;
  for (const PenstockNamedTensor& input : call.request.inputs()) FeedInput(call, input);
  for (size_t i = 0; i < signature.feed_of.size(); ++i) {
    TF_Tensor*& feed = call.feeds[signature.feed_of[i]];
    // TensorFlow does not know the defaults of a signature, so they are fed like values of the
    // request.
    if (feed == nullptr) feed = signature.defaults[i].get();
    if (feed == nullptr) {
      throw Error(PENSTOCK_INVALID_ARGUMENT,
                  "the input '" + signature.signature.inputs[i].name + "' is missing");
    }
  }
  if (call.joined != nullptr) FeedFurther(call);
}

// Feeds the tensors that only the later signatures have. The inputs of all signatures have the same
// names, so the values are those that Feed set for the first signature. An omitted input gets the
// default of the signature that the tensor belongs to.
void TfModel::FeedFurther(Call& call) const {
  const BoundSignature& first = call.signature;
  for (size_t i = first.feeds.size(); i < call.feeds.size(); ++i) {
    const Call::Joined::Source& source = call.joined->sources[i];
    const uint32_t same_input = first.feed_of[source.input];
    const bool is_given = call.given_inputs[same_input] != nullptr;
    call.feeds[i] = is_given ? call.feeds[same_input] : source.bound->defaults[source.input].get();
    if (call.feeds[i] == nullptr) {
      throw Error(
          PENSTOCK_INVALID_ARGUMENT,
          "the input '" + source.bound->signature.inputs[source.input].name + "' is missing");
    }
  }
}

void TfModel::FeedInput(Call& call, const PenstockNamedTensor& input) const {
  const std::vector<uint32_t>& feed_of = call.signature.feed_of;
  const uint32_t feed = feed_of[input.index];
  if (call.feeds[feed] == nullptr) [[likely]] {
    call.given_inputs[feed] = ToTensorFlow(api_, input.tensor);
    call.feeds[feed] = call.given_inputs[feed].get();
    return;
  }
  // Two inputs of the signature are the same tensor of the graph, and TensorFlow accepts one value
  // for it. To take one of two different values would silently ignore what the client sent.
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

bool TfModel::IsKnownCombination(const plugin::Request& request) {
  std::vector<uint32_t> wanted;
  for (const PenstockAskedSignature& each : request.signatures()) wanted.push_back(each.index);
  std::sort(wanted.begin(), wanted.end());
  const std::lock_guard lock(sets_mutex_);
  if (std::find(combinations_.begin(), combinations_.end(), wanted) != combinations_.end()) {
    return true;
  }
  if (combinations_.size() >= kCombinationsMax) return false;
  combinations_.push_back(std::move(wanted));
  return true;
}

void TfModel::ChooseOutputs(Call& call) {
  // A set of outputs is a bit mask. A signature with more outputs than bits always fetches all of
  // them.
  constexpr size_t kBits = 64;
  const size_t count = call.outputs.size();
  const auto wanted = call.request.outputs();
  uint64_t bits = ~uint64_t{0};
  // A request for several signatures fetches all outputs of each: the combinations of signatures
  // are limited already, and subsets of their outputs would multiply them.
  const bool is_alone = call.request.signatures().size() == 1;
  if (is_alone && wanted.size() < count && count <= kBits) {
    uint64_t some = 0;
    for (const PenstockNamedTensor& output : wanted) some |= uint64_t{1} << output.index;
    if (IsKnownSet(call.request.signature_index(), some)) bits = some;
  }
  for (uint32_t i = 0; i < count; ++i) {
    if (count <= kBits && (bits >> i & 1) == 0) continue;
    call.fetched[call.fetch_count] = i;
    call.tensors[call.fetch_count] = call.outputs[i];
    ++call.fetch_count;
  }
}

bool TfModel::NeedsTimer(const Call& call, int64_t now_ns) const {
  if (!call.request.has_deadline()) return false;
  // A model whose last runs were all short will end long before a deadline that is ten times as far
  // away, so the timer is not worth its cost.
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
    // At least 1: TensorFlow takes 0 as "no limit".
    AppendVarintField(options, kTimeoutInMs, std::max<int64_t>(1, left / kNsPerMs));
    timed_options = MakeBuffer(api_, options);
  }
  CallStatus status(api_);
  const FlushDenormals as_in_pools;  // a short run stays on this thread
  api_.SessionRun(loaded_.session.get(),
                  timed_options != nullptr ? timed_options.get() : inline_options_,
                  call.feed_tensors.data(), call.feeds.data(), static_cast<int>(call.feeds.size()),
                  call.tensors.data(), call.values.data(), static_cast<int>(call.fetch_count),
                  nullptr, 0, nullptr, status.get());
  const uint32_t runs = short_runs_.load(std::memory_order_relaxed);
  if (NowNs() - started > kShortRunNs) {
    // Stores only changes, so that threads that run the model at the same time do not fight for the
    // cache line. A lost update does not matter: the count is only a guess.
    if (runs > 0) short_runs_.store(0, std::memory_order_relaxed);
    CheckStillWanted(call);
  } else if (runs < kShortRunsWanted) {
    short_runs_.store(runs + 1, std::memory_order_relaxed);
  }
  if (!status.ok()) status.Check({}, ShapesThatDiffer(call.signature.signature, call.request));
}

void TfModel::CheckStillWanted(const Call& call) const {
  const int32_t reason = call.request.stop_reason();
  if (reason == PENSTOCK_OK) return;
  host_.metric(&host_, PENSTOCK_METRIC_COUNT, plugin::ToC("abandoned_runs_total"), 1);
  throw Error(reason, reason == PENSTOCK_CANCELLED
                          ? "cancelled during the run, which went on to its end"
                          : "the deadline passed during the run, which went on to its end");
}

}  // namespace penstock::tensorflow
