// SPDX-License-Identifier: Apache-2.0
// Warm-up: a version answers recorded requests before it serves, so that its first client does not
// pay for what a runtime does only once.
#pragma once

#include <cstdint>
#include <string>

#include "base/cancel.h"
#include "base/status.h"
#include "frontends/tfs_rest/predict_decoder.h"
#include "infer/model.h"
#include "protocols/tfs/predict_reader.h"

namespace penstock {

struct WarmUpOptions {
  bool enabled = true;
  int iterations = 1;  // runs of each request
  tfs::PredictReadLimits predict;
  tfs_rest::DecoderOptions json;
};

// What was done. One thread at a time.
struct WarmUpCounts {
  uint64_t requests = 0;  // that were run, however often
  uint64_t skipped = 0;   // of kinds that are not served
};

// Runs the requests that lie in the folder of a version, in this order:
//   assets.extra/tf_serving_warmup_requests  a TFRecord file of PredictionLogs
//   warmup/*.pb, warmup/*.json               a PredictRequest, the body of a REST :predict; by name
// at most 1000 of each. The model's name and version in a request are not looked at. Missing and
// empty files and folders are fine. Recorded classify, regress and multi_inference requests are
// skipped with a warning.
//
// The first request that fails ends it; the error names file, record and reason. CANCELLED soon
// after `cancel` fires; DATA_LOSS for damaged files; INVALID_ARGUMENT for what is no request, or
// too many; UNIMPLEMENTED for recorded session runs and streams; else the model's own. Blocks.
Status RunWarmUp(Model& model, const std::string& version_path, const WarmUpOptions& options,
                 CancelToken& cancel, WarmUpCounts& counts);

}  // namespace penstock
