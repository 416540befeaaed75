// SPDX-License-Identifier: Apache-2.0
// How the requests of a model are batched, as it is configured.
#pragma once

#include <cstdint>

#include "batch/batch_limit.h"

namespace penstock::batch {

// Which signatures of a model are batched.
enum class BatchMode : uint8_t {
  kOff,      // none
  kChecked,  // those of which a check at the load shows that rows do not depend on each other
  kForced,   // all that have rows: the operator knows that it is right
};

// The settings of one model. Plain data.
struct BatchSettings {
  BatchMode mode = BatchMode::kOff;
  int64_t rows_max = kBatchRowsMax;  // the most rows of a batch
};

}  // namespace penstock::batch
