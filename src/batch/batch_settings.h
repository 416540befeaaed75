// SPDX-License-Identifier: Apache-2.0
// How the requests of a model are batched, as it is configured.
#pragma once

#include <cstdint>
#include <vector>

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
  // The numbers of rows that a run may have, ascending; rows are added to reach one of them. The
  // last one is rows_max. Empty: any number.
  std::vector<int64_t> allowed_rows = {};
  // A larger request is split into parts of rows_max rows, or fewer. Else it runs alone as it is.
  bool splits = false;
  int64_t request_rows_max = 0;  // requests with more rows are refused; 0: none are
  uint32_t runs = 0;  // of a model at the same time; 0: as many as the server has room for

  bool operator==(const BatchSettings&) const = default;
};

}  // namespace penstock::batch
