// SPDX-License-Identifier: Apache-2.0
#include "infer/experiments/shadow_pool.h"

#include "base/os/machine.h"

namespace penstock {
namespace {

constexpr int kShadowNice = 10;
// Each shadow limits its own copies in flight. This limit is for configurations with very many
// shadows.
constexpr size_t kQueuedShadowsMax = 10'000;

}  // namespace

ShadowPool::~ShadowPool() { delete pool_.load(); }

void ShadowPool::Start() {
  if (pool_.load() != nullptr) return;
  pool_ = new ThreadPool({.name = "shadow",
                          .threads = UsableCpus(),
                          .queue_tasks_max = kQueuedShadowsMax,
                          .nice = kShadowNice});
}

}  // namespace penstock
