// SPDX-License-Identifier: Apache-2.0
// Warm-up: a version runs recorded or recent requests before it serves. A runtime does some work
// only at its first requests, and so no client has to wait for that.
#pragma once

#include <cstdint>
#include <string>

#include "base/cancel.h"
#include "base/status.h"
#include "core/servable.h"
#include "infer/recent_requests.h"
#include "infer/served_model.h"
#include "protocols/tfs/predict_reader.h"
#include "protocols/tfs_json/predict_decoder.h"

namespace penstock {

// The options of a warm-up: how often recorded requests run, and the limits for reading them. The
// limits are those for clients' requests. A warm-up must not accept what a client could not send,
// nor refuse what it could.
struct WarmUpOptions {
  bool enabled = true;
  int iterations = 1;  // runs of each request
  tfs::PredictReadLimits predict;
  tfs_json::DecoderOptions json;
};

// The counts of one warm-up. One thread at a time.
struct WarmUpCounts {
  uint64_t requests = 0;  // requests that were run; iterations do not count
};

// Runs the recorded requests in the folder of a version, in this order:
//   assets.extra/tf_serving_warmup_requests  a TFRecord file of PredictionLogs
//   warmup/*.pb, warmup/*.json               a PredictRequest, the body of a REST :predict; by name
// There may be at most 1000 in each of the two. The model name and version in a request are
// ignored. Files and folders may be missing or empty. The requests of a recorded stream are run one
// by one. A session run is run as the signature that has its tensors.
//
// The first request that fails ends the warm-up. The error names the file, the record and the
// reason. Errors: CANCELLED soon after `cancel` fires; DATA_LOSS for damaged files;
// INVALID_ARGUMENT for a file or record that is not a request, or for too many requests;
// UNIMPLEMENTED for session runs that are no run of a signature; otherwise those of the model.
// Blocks.
//
// `recent` gets some of the requests. Null: nobody wants them.
Status RunWarmUp(ServedModel& model, const std::string& version_path, const WarmUpOptions& options,
                 RecentRequests* recent, CancelToken& cancel, WarmUpCounts& counts);

// Runs requests that other versions of the model have answered, each options.iterations times. A
// request that fails is logged and left out, because the versions may differ in what they take.
// Does nothing for a model whose requests must not run again. Errors: CANCELLED soon after `cancel`
// fires. Blocks.
Status RunRecent(ServedModel& model, const RecentRequests& recent, const WarmUpOptions& options,
                 const core::ServableId& id, CancelToken& cancel, WarmUpCounts& counts);

}  // namespace penstock
