// SPDX-License-Identifier: Apache-2.0
// How a version answers requests from earlier answers. The engine asks this interface before a
// request waits or runs; src/cache implements it.
#pragma once

#include <string>

#include "infer/request.h"
#include "schedule/job.h"

namespace penstock {

class Engine;
class ModelHandle;

// Where a request is when it comes to a cache, or leaves it to run.
struct RunPlace {
  bool may_run_inline = false;       // on an event loop, which may run cheap models
  schedule::Lease* lease = nullptr;  // the slot of the model in which it runs; null: none
};

// A cache of the answers of one version. Thread-safe.
class AnswerCache {
 public:
  virtual ~AnswerCache() = default;

  // Answers the request, which has been checked. Runs what the cache lacks by Engine::RunPastCache.
  // `request` and `done` are as in Engine::Run. The lease in `place` is valid until this returns.
  virtual void Run(Engine& engine, const ModelHandle& handle, const InferRequest& request,
                   RunPlace place, ResponseCallback done) = 0;

  // What operators should know of it now, as a JSON object.
  virtual std::string StateJson() const = 0;
};

}  // namespace penstock
