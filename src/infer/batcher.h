// SPDX-License-Identifier: Apache-2.0
// How several requests of one version run together. The engine asks these interfaces when requests
// of the version wait; src/batch implements them.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "infer/request.h"
#include "infer/signature.h"
#include "schedule/fair_queue.h"

namespace penstock {

// The group (schedule::Job) of requests that are not decoded yet.
inline constexpr char kUndecoded = 0;

// What counts of a request when it is joined with others, or of several that are joined. Plain
// data.
struct BatchForm {
  uint32_t signature = 0;  // its position in ModelInfo::signatures
  int64_t rows = 0;        // 0: the request must run alone
  // Of the inputs that may be padded: all elements, and those of the longest row.
  int64_t elements = 0;
  int64_t row_elements = 0;

  // Adds another request of the signature.
  void Add(const BatchForm& other) {
    rows += other.rows;
    elements += other.elements;
    row_elements = std::max(row_elements, other.row_elements);
  }
};

// Several requests that run as one. The members must outlive it. One thread at a time.
class JoinedRequest {
 public:
  virtual ~JoinedRequest() = default;

  virtual const InferRequest& request() const = 0;
  // Takes the outputs of the run, so that NextPart can divide them. `outputs` must live until the
  // last part is taken. Errors: INTERNAL if an output has another number of rows than the members
  // together, or another size than their padded inputs; RESOURCE_EXHAUSTED. Then their requests
  // must run alone.
  virtual Status Divide(const NamedTensors& outputs, RequestMemory& memory) = 0;
  // Adds the part of the next member to `part`: of the first one at first. It shares the memory of
  // the outputs, unless it had to be cut to another size. The member must still be there.
  virtual void NextPart(NamedTensors& part) = 0;
};

// The answer to a request that runs in parts: each part writes its rows to their place. So it takes
// the memory of the answer, whatever the number of parts is. Thread-safe.
class PartedAnswer {
 public:
  virtual ~PartedAnswer() = default;

  // Copies the outputs of the part that has `rows` rows from row `first` of the request on. The
  // part that comes first decides about types and shapes; `memory` counts the answer. Errors:
  // INTERNAL if the outputs have another number of rows, or do not fit those of the other parts;
  // RESOURCE_EXHAUSTED.
  virtual Status Add(int64_t first, int64_t rows, const NamedTensors& outputs,
                     RequestMemory& memory) = 0;
  // Returns the outputs of the request. Call it at most once, after all parts were added.
  virtual NamedTensors Take() = 0;
};

// A run of a batch that has ended. Plain data.
struct EndedRun {
  size_t requests = 1;
  uint64_t tensor_bytes = 0;  // of its inputs and outputs
  Duration time = {};
};

// A point of the curve that a Batcher has measured.
struct BatchTime {
  int64_t rows_max = 0;    // of the runs with more than half as many rows, up to this number
  double row_time_ns = 0;  // the mean time for one row
};

// Joins the requests of one version, and says which are too large for one run. Thread-safe.
class Batcher {
 public:
  virtual ~Batcher() = default;

  // True if requests of a cheap model, which runs on event loops, are worth joining. Each of them
  // asks.
  bool JoinsInTurns() const { return joins_in_turns_.load(std::memory_order_relaxed); }

  // How long requests wait for others although their model could run.
  const schedule::Gathering& gathering() const { return gathering_; }

  // True if PartRows does anything at all. Each request asks.
  bool LimitsRequests() const { return limits_requests_; }

  // `request` has passed CheckRequest.
  virtual BatchForm FormOf(const InferRequest& request) const = 0;
  // True if `other` may run together with `first`, and with those that were joined with it
  // already: all together have the form `batch`. Does not look at the number of rows. REQUIRES:
  // neither must run alone.
  virtual bool MayJoin(const InferRequest& first, const BatchForm& batch, const InferRequest& other,
                       const BatchForm& other_form) const = 0;
  // The most rows of this signature that should run together now.
  virtual int64_t RowsMax(uint32_t signature) const = 0;
  // As RowsMax, when requests of so many rows are there, if sizes below that are preferred.
  virtual int64_t RowsToTake(uint32_t signature, int64_t rows) const = 0;
  // False: RowsToTake is always RowsMax.
  virtual bool PrefersSizes() const = 0;

  // The rows with which so many rows run: as many, or more if the model takes only some numbers.
  virtual int64_t RowsToRun(int64_t rows) const = 0;
  // Copies the inputs of the members, of which each two MayJoin, into one request. `cancel` is its
  // token. `memory` counts the copies. Errors: RESOURCE_EXHAUSTED.
  virtual StatusOr<std::unique_ptr<JoinedRequest>> Join(
      std::span<const InferRequest* const> members, CancelToken& cancel,
      RequestMemory& memory) const = 0;

  // The rows of each part in which a request of this form runs. 0: it runs whole. Errors:
  // INVALID_ARGUMENT, if it has more rows, or would have more parts, than a request may have.
  virtual StatusOr<int64_t> PartRows(const BatchForm& form) const = 0;
  // The answer to a request of this form that runs in parts. The batcher must outlive it.
  virtual std::unique_ptr<PartedAnswer> BeginAnswer(const BatchForm& form) const = 0;
  // False: requests of this signature run alone.
  virtual bool IsOn(uint32_t signature) const = 0;
  // The sizes of batches of this signature that were measured, ascending.
  virtual std::vector<BatchTime> Curve(uint32_t signature) const = 0;

  // A run of this form has given an answer.
  virtual void Record(const BatchForm& form, const EndedRun& run) = 0;
  // A run of several requests failed: so many of them run again, each alone.
  virtual void RecordRetries(size_t requests) = 0;
  // The answers of a joined request could not be divided, or those of a split one not joined. No
  // more requests of the signature join or are split.
  virtual void TurnOff(uint32_t signature, const Status& why) = 0;

 protected:
  explicit Batcher(bool limits_requests = false, const schedule::Gathering& gathering = {})
      : limits_requests_(limits_requests), gathering_(gathering) {}

  void SetJoinsInTurns(bool joins) {
    if (joins != JoinsInTurns()) joins_in_turns_.store(joins, std::memory_order_relaxed);
  }

 private:
  const bool limits_requests_;
  const schedule::Gathering gathering_;
  std::atomic<bool> joins_in_turns_{false};
};

}  // namespace penstock
