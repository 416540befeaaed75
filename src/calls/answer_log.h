// SPDX-License-Identifier: Apache-2.0
// The entry of one call in the log of its model.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "infer/engine.h"
#include "request_log/request_logs.h"

namespace penstock {

// Collects the answer of a call that is sampled, and logs it.
//
//   if (log_.IsSampled(logs, model)) log_.Append(answer);         // for each part
//   ...
//   if (log_.has_answer()) log_.Write(kind, model, signature, request);
//   log_.Clear();
//
// It keeps references to the answer's buffers, and no copies, until Clear. An answer over
// the log's limit for one record is dropped and counted. One thread at a time.
class AnswerLog final {
 public:
  using Kind = AnsweredRequest::Kind;

  // Decides, at the first call, whether the answer of `model` is logged. `logs` may be null. Costs
  // one load if no model has a log.
  bool IsSampled(const RequestLogs* logs, const ModelHandle& model) {
    if (logs == nullptr || !logs->any()) [[likely]]
      return false;
    return Decide(*logs, model);
  }

  // These may be called after IsSampled has returned true. Append adds the answer, or a part of it.
  // Write logs it with the request.
  void Append(const ByteChain& answer);
  bool has_answer() const { return !answers_.empty(); }
  void Write(Kind kind, const ModelHandle& model, std::string_view signature,
             const ByteChain& request);
  void Clear() {
    log_ = nullptr;
    answers_.clear();
    bytes_ = 0;
    is_decided_ = false;
  }

 private:
  bool Decide(const RequestLogs& logs, const ModelHandle& model);

  RequestLogRef log_;  // null: the answer is not logged
  std::vector<ByteChain> answers_;
  uint64_t bytes_ = 0;
  bool is_decided_ = false;
};

}  // namespace penstock
