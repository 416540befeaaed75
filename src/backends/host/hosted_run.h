// SPDX-License-Identifier: Apache-2.0
// One inference in a backend: translates a request and its answer between the server's types and
// the ABI.
#pragma once

#include <atomic>
#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "backends/host/abi.h"
#include "backends/host/run_queue.h"
#include "backends/host/run_signals.h"
#include "infer/request.h"
#include "penstock/backend.h"

namespace penstock {

// The backend sees it as its PenstockRequest. It owns itself, with two references: one until the
// backend gives the last part, and one for the call that starts it. The request that it translates
// lives until `done` gets the last part. Thread-safe as PenstockRequest says.
class HostedRun final : public PenstockRequest {
 public:
  // `model` describes the model. `queue` has given the run a slot, or has let it wait for one.
  HostedRun(const abi::Description& model, RunQueue& queue, const InferRequest& request,
            ResponseCallback done, DeadlineWatch& watch);

  // Translates the request. INVALID_ARGUMENT for names that the signature does not have.
  Status Prepare();
  // Gives the last part instead of the backend, unless the backend has given it already.
  void Fail(Status status);
  // Returns CANCELLED or DEADLINE_EXCEEDED if the answer is no longer wanted.
  Status StillWanted() const;
  // Drops a reference. The last one destroys the run.
  void Unref();

 private:
  ~HostedRun() = default;

  // The functions of PenstockRequest, as backend.h describes them.
  static int32_t Respond(PenstockRequest* request, const PenstockPart* part);
  static int32_t StopReason(const PenstockRequest* request);
  static void OnStop(PenstockRequest* request, void (*callback)(void*), void* argument);
  static int32_t OnReady(PenstockRequest* request, void (*callback)(void*), void* argument);
  static void* AllocateOutput(PenstockRequest* request, uint32_t index, size_t bytes,
                              PenstockOwner* owner);

  // A signature that the request asks for. Null: the model takes any signature.
  struct Asked {
    const Signature* spec = nullptr;
    const abi::Description::Order* order = nullptr;
  };

  Status AddSignature(std::string_view name);
  Status PrepareInputs();
  Status PrepareOutputs();
  // Adds the outputs of one signature to the list of wanted outputs.
  Status AddOutputs(uint32_t position, const OutputFilter& filter);
  InferResponse ToResponse(const PenstockPart& part);
  Status AppendOutput(const PenstockNamedTensor& output, InferResponse& response) const;
  // Ends the run: `response` is the last part.
  void Finish(InferResponse response);

  const abi::Description& model_;
  RunQueue& queue_;
  const InferRequest& infer_request_;
  ResponseCallback done_;
  RunSignals signals_;
  std::atomic<int> references_{2};
  std::atomic<bool> answered_{false};
  bool any_part_ = false;  // some part was given
  Status stream_status_;   // the error of an earlier part
  absl::InlinedVector<Asked, 1> asked_;
  absl::InlinedVector<PenstockAskedSignature, 1> signature_list_;  // as asked_
  absl::InlinedVector<PenstockNamedTensor, 2> input_list_;
  absl::InlinedVector<PenstockNamedTensor, 2> output_list_;
  absl::InlinedVector<PenstockOption, 1> option_list_;
};

}  // namespace penstock
