// SPDX-License-Identifier: Apache-2.0
#include "calls/answer_log.h"

namespace penstock {

bool AnswerLog::Decide(const RequestLogs& logs, const ModelHandle& model) {
  if (!std::exchange(is_decided_, true)) log_ = logs.Sample(model.id().name);
  return log_ != nullptr;
}

void AnswerLog::Append(const ByteChain& answer) {
  bytes_ += answer.bytes();
  // A stream may be endless, so its parts are not kept beyond the limit for a record.
  if (bytes_ <= log_->record_bytes_max()) {
    answers_.push_back(answer);
    return;
  }
  log_->Drop();
  log_ = nullptr;
  answers_.clear();
}

void AnswerLog::Write(Kind kind, const ModelHandle& model, std::string_view signature,
                      const ByteChain& request) {
  if (log_ == nullptr) return;
  log_->Append({kind, model.id(), signature, request, answers_});
  log_ = nullptr;
}

}  // namespace penstock
