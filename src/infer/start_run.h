// SPDX-License-Identifier: Apache-2.0
// Starts a request on a model, also one that asks for several signatures.
#pragma once

#include <utility>

#include "infer/model.h"

namespace penstock {

// Runs a request with further signatures on a model that answers only one at a time: once for each
// signature, one after the other. The last part has the outputs of the last parts of all runs; all
// other parts are passed on as they come. The first error ends the request.
void RunEachSignature(Model& model, const InferRequest& request, ResponseCallback done);

// As Model::Run, for every request that CheckRequest accepts. `done` keeps the model alive.
inline void StartRun(Model& model, const InferRequest& request, ResponseCallback done) {
  if (request.further_signatures.empty() || model.info().traits.several_signatures) [[likely]] {
    model.Run(request, std::move(done));
  } else {
    RunEachSignature(model, request, std::move(done));
  }
}

}  // namespace penstock
