// SPDX-License-Identifier: Apache-2.0
// A TensorFlow model, loaded.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "penstock/backend.hpp"
#include "tf_api.h"
#include "tf_signature.h"
#include "tf_tensor.h"

namespace penstock::tensorflow {

// A graph, the session that runs it, and what is known of both. The caller owns all of it. One
// thread at a time as to its life.
struct LoadedGraph {
  GraphPtr graph;
  SessionPtr session;  // declared after the graph, so it is destroyed first
  ModelSignatures signatures;
  uint32_t flags = 0;  // PENSTOCK_HAS_STATE ...
};

// RunOptions of a run that stays on the thread that asks for it, at that thread's priority.
BufferPtr RunOptionsInline(const TfApi& api);

// Loads the SavedModel or the frozen graph in the folder of `arguments`. Variables are restored,
// and initialisers run, with `run_options`. May take minutes, and blocks the calling thread. Throws
// Error, also if the folder is incomplete.
LoadedGraph LoadGraph(const TfApi& api, const TF_SessionOptions* session_options,
                      const TF_Buffer* run_options, const plugin::LoadArguments& arguments);

// A SavedModel in a session of TensorFlow. Thread-safe.
class TfModel final : public plugin::Model {
 public:
  // `host`, `api` and `inline_options` (see RunOptionsInline) outlive it.
  TfModel(const PenstockHost& host, const TfApi& api, const TF_Buffer* inline_options,
          LoadedGraph loaded);
  ~TfModel() override;

  void Run(plugin::Request&& request) override;

 private:
  // TensorFlow keeps an executor for every set of fetched tensors as long as the session lives. So
  // that clients cannot grow memory, requests for further sets fetch everything, and requests for
  // further combinations of signatures run one signature after the other.
  static constexpr size_t kOutputSetsMax = 16;
  static constexpr size_t kCombinationsMax = 16;
  // After this many runs in a row that took less than kShortRunNs, the next run is expected to be
  // short, too.
  static constexpr uint32_t kShortRunsWanted = 100;
  static constexpr int64_t kShortRunNs = 1'000'000;

  struct Call;

  // Runs the graph for the signatures of a call, and collects the wanted outputs.
  void Compute(Call& call);
  // Answers a request for several signatures.
  void RunSeveral(plugin::Request&& request);
  // True if the request's signatures are a combination that may run as one; remembers new ones
  // while there are fewer than kCombinationsMax.
  bool IsKnownCombination(const plugin::Request& request);
  // Sets all feeds from the request's inputs and the defaults. Throws if an input without a default
  // is missing.
  void Feed(Call& call) const;
  void FeedFurther(Call& call) const;
  // Sets one feed, or throws if another key of the request names the same tensor with other values.
  void FeedInput(Call& call, const PenstockNamedTensor& input) const;
  // Chooses the outputs to fetch. `call.fetched` then holds their indices in `call.outputs`,
  // ascending.
  void ChooseOutputs(Call& call);
  // True if only `outputs` (a bit for each) may be fetched; remembers new sets while there are
  // fewer than kOutputSetsMax.
  bool IsKnownSet(uint32_t signature, uint64_t outputs);
  void RunSession(Call& call);
  // If the client went away during the run: counts the run as abandoned, and throws. TensorFlow's C
  // interface cannot stop one run.
  void CheckStillWanted(const Call& call) const;
  // True if the run should be timed by TensorFlow, which costs a hop to its pool.
  bool NeedsTimer(const Call& call, int64_t now_ns) const;

  const PenstockHost& host_;
  const TfApi& api_;
  LoadedGraph loaded_;
  const TF_Buffer* const inline_options_;
  std::atomic<uint32_t> short_runs_{0};
  std::mutex sets_mutex_;
  std::vector<std::pair<uint32_t, uint64_t>> sets_;  // guarded by sets_mutex_
  std::vector<std::vector<uint32_t>> combinations_;  // of signatures; guarded by sets_mutex_
};

}  // namespace penstock::tensorflow
