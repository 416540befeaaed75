// SPDX-License-Identifier: Apache-2.0
// One inference on its way through a backend.
#pragma once

#include <atomic>
#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "backends/host/border.h"
#include "backends/host/stop_signal.h"
#include "infer/request.h"
#include "penstock/backend.h"

namespace penstock {

class HostedModel;

// What the backend sees as its PenstockRequest. Counted: one reference for the last part that the
// backend owes, one for the call that starts it. Thread-safe as PenstockRequest says.
class HostedRun final : public PenstockRequest {
 public:
  HostedRun(HostedModel& model, const InferRequest& request, ResponseCallback done,
            DeadlineWatch& watch);

  // Translates the request. INVALID_ARGUMENT for what the signature does not have.
  Status Prepare();
  // Gives the last part in the backend's place, if it has not done so.
  void Fail(Status status);
  // CANCELLED or DEADLINE_EXCEEDED if nobody wants the answer any more.
  Status StillWanted() const;
  void Unref();
  HostedModel& model() const { return model_; }

 private:
  ~HostedRun() = default;

  static int32_t Respond(PenstockRequest* request, const PenstockPart* part);
  static int32_t StopReason(const PenstockRequest* request);
  static void OnStop(PenstockRequest* request, void (*callback)(void*), void* argument);
  static void OnReady(PenstockRequest* request, void (*callback)(void*), void* argument);
  static void* AllocateOutput(PenstockRequest* request, uint32_t index, size_t bytes,
                              PenstockOwner* owner);

  Status PrepareInputs(const Signature* spec, const border::Description::Order* order);
  Status PrepareOutputs(const Signature* spec, const border::Description::Order* order);
  InferResponse ToResponse(const PenstockPart& part);
  Status AppendOutput(const PenstockNamedTensor& output, InferResponse& response) const;
  // Ends the run: `response` is the last part.
  void Finish(InferResponse response);

  HostedModel& model_;
  const InferRequest& infer_request_;
  ResponseCallback done_;
  StopSignal stop_;
  std::atomic<int> references_{2};
  std::atomic<bool> answered_{false};
  bool any_part_ = false;  // a part was given
  Status stream_status_;   // what was wrong with an earlier part
  const Signature* signature_entry_ = nullptr;
  const border::Description::Order* order_ = nullptr;
  absl::InlinedVector<PenstockNamedTensor, 2> input_list_;
  absl::InlinedVector<PenstockNamedTensor, 2> output_list_;
  absl::InlinedVector<PenstockOption, 1> option_list_;
};

}  // namespace penstock
