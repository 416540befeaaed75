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
// thread that calls; if a row may be on disk, a slot reads it. A request that lacks rows becomes a
// CacheRun. Thread-safe.
class RowCache final : public AnswerCache {
 public:
  explicit RowCache(std::shared_ptr<VersionCache> cache) : cache_(std::move(cache)) {}

  void Run(Engine& engine, const ModelHandle& handle, const InferRequest& request, RunPlace place,
           ResponseCallback done) override;
  std::string StateJson() const override { return cache_->StateJson(); }

 private:
  // Answers, or runs what the lookup lacks. `found_in_memory`: of its values.
  void Proceed(Engine& engine, const ModelHandle& handle, const InferRequest& request,
               RunPlace place, Lookup&& lookup, size_t found_in_memory, ResponseCallback&& done);

  const std::shared_ptr<VersionCache> cache_;
};

}  // namespace penstock::cache
