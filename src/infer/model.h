// SPDX-License-Identifier: Apache-2.0
// The one interface between the protocols and whatever computes. Backends, built-in models, and the
// wrappers that batch, cache or log all are a Model.
#pragma once

#include "core/servable.h"
#include "infer/request.h"
#include "infer/signature.h"

namespace penstock {

// A loaded model. A wrapper passes SetBrokenCallback on to what it wraps. Thread-safe.
class Model : public core::Servable {
 public:
  // The same object for the life of the model.
  virtual const ModelInfo& info() const = 0;

  // Starts an inference; `done` gets the parts of the answer, maybe before Run returns, maybe on
  // another thread. `request` was checked against the signature, and is alive until `done` has been
  // called with is_last. A model that calls `done` after Run has returned must not touch itself
  // after the last call: it may be gone by then. Never throws. Errors come as a part with a status:
  // INVALID_ARGUMENT for what the request did wrong, DEADLINE_EXCEEDED, CANCELLED, INTERNAL for
  // what the runtime did.
  virtual void Run(const InferRequest& request, ResponseCallback done) = 0;
};

}  // namespace penstock
