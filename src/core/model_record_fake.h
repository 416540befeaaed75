// SPDX-License-Identifier: Apache-2.0
// Loads a version of a model record in tests, without a manager.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "core/loader_fake.h"
#include "core/model_record.h"

namespace penstock::core {

// Makes an aspired version ready.
inline void LoadFakeVersion(ModelRecord& model, int64_t version, std::shared_ptr<FakePlan> plan) {
  const auto job = model.versions.StartLoad({version}, 1);
  model.versions.FinishLoad(
      *job,
      std::make_unique<VersionEntry>(job->id, std::make_unique<FakeServable>(std::move(plan))),
      SteadyTime());
}

}  // namespace penstock::core
