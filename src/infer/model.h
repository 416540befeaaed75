// SPDX-License-Identifier: Apache-2.0
// The one interface between the protocols and everything that computes. Backends, built-in models,
// and wrappers that batch, cache or log all implement Model.
#pragma once

#include "core/servable.h"
#include "infer/request.h"
#include "infer/signature.h"

namespace penstock {

// A loaded model. Backends, built-in models and wrappers implement it.
//
//   class Doubler final : public Model {
//    public:
//     const ModelInfo& info() const override { return info_; }
//     void Run(const InferRequest& request, ResponseCallback done) override {
//       InferResponse answer;
//       answer.outputs.push_back({"y", Doubled(request.inputs.front().tensor)});
//       done(std::move(answer));
//     }
//     ...
//   };
//
// A wrapper must forward SetBrokenCallback to the model that it wraps. Thread-safe: several runs
// may be under way at the same time.
class Model : public core::Servable {
 public:
  // Returns the same object for the whole life of the model.
  virtual const ModelInfo& info() const = 0;

  // Starts an inference. `done` gets the parts of the answer; it may be called before Run returns,
  // and on another thread. `request` has been checked against the signature. It lives until `done`
  // has been called with is_last. It has further signatures only if the traits allow several; all
  // others run models through StartRun. If `done` gets the last part after Run has returned, the
  // model must not use its own members after that call, because the call may destroy the model.
  // Never throws. An error is a part with a status: INVALID_ARGUMENT for a fault of the request,
  // DEADLINE_EXCEEDED, CANCELLED, INTERNAL for a fault of the runtime.
  virtual void Run(const InferRequest& request, ResponseCallback done) = 0;
};

}  // namespace penstock
