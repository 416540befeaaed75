// SPDX-License-Identifier: Apache-2.0
// Stands for the cache of a version that should have one, and cannot.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "infer/answer_cache.h"
#include "infer/signature.h"

namespace penstock::cache {

// Runs all requests, and says why none of the signatures is cached. Takes no memory. Immutable.
class NoCache final : public AnswerCache {
 public:
  // `why_not`: for each signature.
  NoCache(const ModelInfo& info, const std::vector<Status>& why_not);

  void Run(Engine& engine, const ModelHandle& handle, const InferRequest& request, RunPlace place,
           ResponseCallback done) override;
  std::string StateJson() const override { return json_; }

 private:
  std::string json_;
};

// Two fields of a JSON object: the signatures that are cached, and why others are not.
// `why_not`: for each signature.
std::string SignaturesJson(const ModelInfo& info, const std::vector<Status>& why_not);

}  // namespace penstock::cache
