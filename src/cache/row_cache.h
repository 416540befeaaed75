// SPDX-License-Identifier: Apache-2.0
// Answers requests of one version from the rows of earlier answers.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "cache/version_cache.h"
#include "infer/answer_cache.h"
#include "infer/engine.h"

namespace penstock::cache {

// The AnswerCache of one version. A hit costs a hash of its bytes and a search in memory, on the
// thread that calls; a request that lacks rows becomes a CacheRun. Thread-safe.
class RowCache final : public AnswerCache {
 public:
  explicit RowCache(std::shared_ptr<VersionCache> cache) : cache_(std::move(cache)) {}

  void Run(Engine& engine, const ModelHandle& handle, const InferRequest& request, RunPlace place,
           ResponseCallback done) override;
  std::string StateJson() const override { return cache_->StateJson(); }

 private:
  const std::shared_ptr<VersionCache> cache_;
};

}  // namespace penstock::cache
