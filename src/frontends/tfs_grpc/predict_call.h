// SPDX-License-Identifier: Apache-2.0
// The hot path: one Predict call from its bytes to its answer's bytes, without protobuf objects and
// without memory from the heap but for the answer.
#pragma once

#include <optional>

#include "base/clock.h"
#include "base/metrics.h"
#include "infer/engine.h"
#include "net/call.h"
#include "protocols/tfs/predict_reader.h"
#include "protocols/tfs/predict_writer.h"
#include "protocols/tfs/request_metrics.h"

namespace penstock::tfs {

struct PredictOptions {
  PredictReadLimits limits;
  TensorWriteOptions write;
};

// What all Predict calls share. Thread-safe. `engine`, `metrics` and `clock` outlive it.
struct PredictService {
  PredictService(const PredictOptions& predict_options, Engine& the_engine,
                 MetricsRegistry& registry, const Clock& the_clock)
      : options(predict_options),
        engine(the_engine),
        clock(the_clock),
        metrics(registry, "Predict", "GRPC") {}

  const PredictOptions options;
  Engine& engine;
  const Clock& clock;
  RequestMetrics metrics;
};

// One call's state, reused for other calls by the thread that ended it. One thread at a time.
class PredictCall final {
 public:
  // Reads the request and runs it; the answer is given to `call`, perhaps before this returns,
  // perhaps later on another thread. `service` outlives the call.
  static void Start(PredictService& service, net::GrpcCallRef call);

 private:
  struct Pool;

  static PredictCall* Take();
  static Pool& ThreadPool();

  void Read(PredictService& service, net::GrpcCallRef call);
  void Run(StatusOr<ModelHandle> model, bool is_on_loop);
  void OnPart(InferResponse&& part);
  void Finish(const Status& status);
  Status Answer(const InferResponse& response);
  // Gives the state back; the last thing that is done.
  void Recycle();

  PredictService* service_ = nullptr;
  net::GrpcCallRef call_;
  ReadPredict read_;
  std::optional<ModelHandle> model_;
  bool had_parts_ = false;  // before the last one
};

}  // namespace penstock::tfs
