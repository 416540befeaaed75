// SPDX-License-Identifier: Apache-2.0
// How the requests of a model are batched, as it is configured.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "batch/batch_limit.h"

namespace penstock::batch {

inline constexpr int64_t kSplitPartsMax = 4096;

// Which signatures of a model are batched.
enum class BatchMode : uint8_t {
  kOff,      // none
  kChecked,  // those of which a check at the load shows that rows do not depend on each other
  kForced,   // all that have rows: the operator knows that it is right
};

// An input whose rows may differ in size between the requests of a batch. Plain data.
struct PadRule {
  std::string input;
  std::string value = {};  // of the elements that are added; empty: 0, or the empty text
  // Inputs that the server fills in if the client has not: 1 for each element along dimension 1
  // that the client has sent, and 0 for each that was added; and how many it has sent. Empty: none.
  std::string mask_input = {};
  std::string length_input = {};
  // Outputs whose dimension 1 is as long as that of the input, and is cut back. Those whose
  // dimensions have the same name are found without.
  std::vector<std::string> cut_outputs = {};

  bool operator==(const PadRule&) const = default;
};

// What is padded in the batches of one model. Plain data.
struct PadSettings {
  std::vector<PadRule> rules = {};
  bool all_inputs = false;  // each with its first element, as TensorFlow Serving does
  double share_max = 0.5;   // of added elements in a batch, unless it is small

  bool operator==(const PadSettings&) const = default;
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
  // A request that would run in more parts is refused, unless request_rows_max says what a request
  // may have. 0: none is.
  int64_t split_parts_max = kSplitPartsMax;
  int64_t request_rows_max = 0;  // requests with more rows are refused; 0: none are
  PadSettings pad = {};
  // The most bytes that the inputs and outputs of a batch should take. 0: no limit.
  uint64_t bytes_max = 0;
  // The longest time that a request waits for others while its model could run, unless rows_max
  // rows wait. 0: none waits.
  int64_t delay_us_max = 0;
  // Batches have the largest of these numbers of rows for which there are requests, and requests do
  // not wait longer once there are as many as the first one says. Ascending; empty: any number.
  std::vector<int64_t> preferred_rows = {};
  uint32_t runs = 0;  // of a model at the same time; 0: as many as the server has room for

  bool operator==(const BatchSettings&) const = default;
};

}  // namespace penstock::batch
