// SPDX-License-Identifier: Apache-2.0
#include "infer/start_run.h"

#include <atomic>
#include <cstdint>
#include <memory>

namespace penstock {
namespace {

// The runs of one request, one for each signature. Deletes itself with the last part. One thread at
// a time, apart from `arrived_`.
class SignatureRuns final {
 public:
  SignatureRuns(Model& model, const InferRequest& request, ResponseCallback done)
      : model_(model), request_(request), done_(std::move(done)), current_(request) {
    current_.further_signatures.clear();
  }

  // Runs the current signature, and the next ones as long as the answers are there when Run
  // returns. It loops instead of nesting, which bounds the stack.
  void Go() {
    for (;;) {
      arrived_.store(0, std::memory_order_relaxed);
      model_.Run(current_, [this](InferResponse&& part) { OnPart(std::move(part)); });
      if (!Arrive() || !Advance()) return;
    }
  }

 private:
  // Called when Run has returned, and when the last part is there. Returns true for the second
  // call: then nothing else uses this object.
  bool Arrive() { return arrived_.fetch_add(1, std::memory_order_acq_rel) == 1; }

  void OnPart(InferResponse&& part) {
    for (NamedTensor& output : part.outputs) output.signature = position_;
    if (!part.is_last) {
      done_(std::move(part));
      return;
    }
    answer_.status = std::move(part.status);
    for (NamedTensor& output : part.outputs) answer_.outputs.push_back(std::move(output));
    if (Arrive() && Advance()) Go();
  }

  // Turns to the next signature. Returns false if there is none: the request is answered, and this
  // object is gone.
  bool Advance() {
    if (!answer_.status.ok() || position_ == request_.further_signatures.size()) {
      const std::unique_ptr<SignatureRuns> own(this);
      if (!answer_.status.ok()) answer_.outputs.clear();
      current_.inputs.clear();
      // The call may destroy the request and the model, so nothing is used after it.
      ResponseCallback done = std::move(done_);
      done(std::move(answer_));
      return false;
    }
    const FurtherSignature& next = request_.further_signatures[position_++];
    current_.signature_name = next.name;
    current_.output_filter = next.output_filter;
    return true;
  }

  Model& model_;
  const InferRequest& request_;
  ResponseCallback done_;
  InferRequest current_;   // the request for the signature that runs
  uint32_t position_ = 0;  // of that signature in the request
  InferResponse answer_;   // the outputs so far
  std::atomic<int> arrived_{0};
};

}  // namespace

void RunEachSignature(Model& model, const InferRequest& request, ResponseCallback done) {
  (new SignatureRuns(model, request, std::move(done)))->Go();
}

}  // namespace penstock
