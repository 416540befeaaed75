// SPDX-License-Identifier: Apache-2.0
// Which requests may share a run, and how their tensors become one and the answers several. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "absl/container/inlined_vector.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "batch/pad.h"
#include "infer/request.h"
#include "infer/signature.h"

namespace penstock::batch {

// Returns the rows of a request: the size of the first dimension, which all inputs share. 0 if it
// must run alone: it has no rows, the inputs differ in them, `signature` does not promise their
// shapes, it asks for several signatures, or its answer may come in parts.
int64_t RowsOf(const Signature& signature, const InferRequest& request);

// True if two requests of a signature, which both have rows, may run together: they have the same
// inputs, with the same types and with rows that have the same size or may be padded. The outputs
// that they ask for may differ: a run of both gives those of both.
bool CanJoin(const InferRequest& a, const InferRequest& b, const PadPlan& pad = {});

// Sets `inputs` to those of all members together: the rows of the first one, then those of the
// second one, and so on; at last the first row of the last one, so often as there are `extra_rows`.
// Rows that are too short are padded, and inputs that the server fills in are added.
// Copies the elements, but of strings only the views; the result keeps their characters alive.
// Names are those of the first member. Errors: RESOURCE_EXHAUSTED. REQUIRES: each two members
// CanJoin.
Status GatherInputs(std::span<const InferRequest* const> members, int64_t extra_rows,
                    RequestMemory& memory, NamedTensors& inputs, const PadPlan& pad = {});

// Gives each member its rows of the outputs of a batch, as views. One thread.
class Scatter final {
 public:
  // Begins with the first member. `rows` are those of the whole batch. `outputs` must outlive the
  // last call of Next. Errors: INTERNAL, if an output is not of the signature, or has another
  // number of rows.
  Status Start(const Signature& signature, const NamedTensors& outputs, int64_t rows);
  // Adds to `part` the outputs of the next member, which has `rows` rows and asks for the outputs
  // of `filter`. Their names are those of the signature.
  void Next(int64_t rows, const OutputFilter& filter, NamedTensors& part);

 private:
  const NamedTensors* outputs_ = nullptr;
  // The name that the model gave may belong to one of the requests.
  absl::InlinedVector<std::string_view, 2> names_;
  int64_t first_ = 0;  // row
};

// Divides the outputs at once, for members that ask for all of them: sets `parts`, which has an
// entry for each of `rows`. Errors: as Scatter::Start, if the outputs have not as many rows as all
// members and `extra_rows` together.
Status ScatterOutputs(const Signature& signature, const NamedTensors& outputs,
                      std::span<const int64_t> rows, int64_t extra_rows,
                      std::span<NamedTensors> parts);

// The outputs that at least one of the members asks for.
OutputFilter UnionOfFilters(std::span<const InferRequest* const> members);

}  // namespace penstock::batch
