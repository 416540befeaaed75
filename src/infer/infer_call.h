// SPDX-License-Identifier: Apache-2.0
// The steps of one inference, which are the same for every protocol: find the model, decode, run,
// encode, count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/calls/call_record.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "infer/engine.h"
#include "infer/part_receiver.h"
#include "infer/request.h"

namespace penstock::access {
class Caller;
}

namespace penstock {

// The field in which clients say how a request uses the cache of its model, and the server what the
// cache has given to the answer.
inline constexpr std::string_view kCacheField = "x-penstock-cache";

// The field of a request that one server has passed on to another: how many have done so before.
inline constexpr std::string_view kHopsField = "x-penstock-hops";

// The facts about a call that are known before its body is decoded. `cancel` and `parts` must
// outlive the call.
struct CallInfo {
  SteadyTime start;
  SteadyTime deadline = kNoDeadline;
  CancelToken* cancel = nullptr;  // never null
  CallRecord* record = nullptr;   // null: nobody reads it. Must outlive the call
  uint64_t request_id = 0;
  size_t body_bytes = 0;
  PartReceiver* parts = nullptr;  // null: the client takes one answer, which is not in parts
  // Who may use only some models. Null: everybody may use all. Must live until the answer is sent.
  const access::Caller* caller = nullptr;
};

// One inference, from the bytes of its request to the bytes of its answer. A front end derives from
// this class and supplies the steps that depend on its protocol. This class calls them in order,
// and chooses the thread for each one:
//
//   ReadSelector -> check that the caller may use the model -> find it, after it is loaded if
//   necessary -> Decode -> run the model -> Encode -> Send, or SendError after any failure
//   -> Record -> Release
//
// If the client takes the answer in parts (CallInfo::parts), Encode and SendPart follow each other
// for each part, and EndParts or SendError ends the answer. A model that answers once gives one
// part. If the client does not, an answer of several parts is an error.
//
// A small request stays on the event loop until it runs, and so does one that is decoded in place.
// Another request with a large body, or one that becomes large when it is decoded, waits in the
// queue of its model. Then one thread decodes and runs it, in one slot.
//
// The memory of a request counts in the server's budget: decoded tensors are counted before they
// are allocated, and answers until they are sent. A request over the budget is refused.
//
// Each step is called at most once, except Decode, and those of parts. One thread at a time.
class InferCall : private RequestHeaders {
 public:
  InferCall(const InferCall&) = delete;
  InferCall& operator=(const InferCall&) = delete;

 protected:
  InferCall() = default;
  virtual ~InferCall() = default;

  // Starts the steps. Call it on an event loop. The call may have ended before this returns.
  // `engine` must outlive the call.
  void Start(Engine& engine, const CallInfo& info);
  // Prepares the object for another call: releases the model and everything that the request
  // refers to.
  void Reset();

  // The model that was found. Valid from Decode on.
  const ModelHandle& model() const { return *model_; }
  const InferRequest& request() const { return request_; }
  Engine& engine() const { return *engine_; }

 private:
  // Sets `selector`, which may point into memory of the call. May also set parts of `request`. Must
  // be cheap, because it runs before the model is known to exist.
  virtual Status ReadSelector(ModelSelector& selector, InferRequest& request) = 0;
  // Sets `selector` if the model is known without reading the whole message, which may be large. It
  // decides only in whose queue the request waits. Returns false if it is not known.
  virtual bool PeekSelector(ModelSelector& selector) const;
  // Sets the signature name, the inputs and the output filter of `request`. Takes the memory for
  // tensors from `memory`. Called a second time, in a slot, if `memory` reports that the
  // request is too large for an event loop.
  virtual Status Decode(const ModelInfo& info, RequestMemory& memory, InferRequest& request) = 0;
  // True if the time of Decode does not grow with the tensors, because they are views of the
  // message. Then a large request need not leave the event loop to be decoded.
  virtual bool DecodesInPlace() const { return false; }
  // Returns the bytes of the answer. Takes the memory for them from `memory`.
  virtual StatusOr<ByteChain> Encode(const NamedTensors& outputs, RequestMemory& memory) = 0;
  // Sends the whole answer. It is the last step but Record and Release; the client may be gone
  // already, which is no error.
  virtual void Send(ByteChain&& answer) = 0;
  // Only for calls with CallInfo::parts. SendPart calls PartReceiver::OnSend, and has OnAccepted
  // called later.
  virtual void SendPart(ByteChain&& part);
  virtual void EndParts();
  // May come after parts.
  virtual void SendError(const Status& status) = 0;
  // Cancels the token of the call, because nobody needs more parts. The model may be giving a part
  // on this thread, so the token's callback must run later. But the model must see at once that the
  // token is cancelled: nothing else stops it, and it may hold the last thread that computes.
  virtual void StopRun() = 0;
  // Counts the outcome. `model` is empty if no model was found, so that clients cannot create
  // metrics with invented names.
  virtual void Record(std::string_view model, StatusCode code, Duration latency) = 0;
  // Called at the end of the call. Frees the object, or keeps it for another call.
  virtual void Release() = 0;

  // A step of the call. `lease` is the slot in which it runs; null: on the event loop.
  using Step = void (InferCall::*)(schedule::Lease* lease);

  // The call while it waits for a slot. Belongs to the call. One thread at a time.
  class QueuedStep final : public schedule::Job {
   public:
    explicit QueuedStep(InferCall& call) : call_(call) {}
    void Start(schedule::Lease& lease) override;
    void Drop() override;

    Step step = nullptr;
    SteadyTime queued;

   private:
    InferCall& call_;
  };

  // The steps, in this order. Each one goes on to the next, or ends the call with Finish.
  void FindModel(schedule::Lease* lease);
  void DecodeAndRun(schedule::Lease* lease);
  // Continues with `step` in a slot of the model, or of the common queue if the model is not known
  // yet; unless nobody waits for the answer any more.
  void MoveToSlot(Step step);
  // Reads from the header fields how the request uses the cache of its model.
  Status ReadCacheUse();
  // Reads how many servers have passed the request on.
  Status ReadHops();
  void OnPart(InferResponse&& part);
  void OnOneOfParts(InferResponse&& part);
  Status Answer(const NamedTensors& outputs);
  void Finish(const Status& status);
  StatusCode OutcomeOf(const Status& status) const;
  // Adds the details of this call to its record, if somebody reads them.
  void NoteDetails(const Status& status, StatusCode outcome);

  Engine* engine_ = nullptr;
  CallInfo info_;
  ModelSelector selector_;
  InferRequest request_;
  std::optional<ModelHandle> model_;
  StageTimes times_;
  std::vector<StepTimes> steps_;  // of an ensemble, if the call is traced
  QueuedStep queued_step_{*this};
  bool has_parts_ = false;  // a part has been sent
  Status failure_;          // the error that was sent before the model has ended its run
};

// Keeps ended call objects, so that later calls need no allocation. The thread that ends a call
// keeps the object for its own next calls. Thread-safe, because each thread has its own pool.
template <typename Call>
class CallPool final {
 public:
  static std::unique_ptr<Call> Take() {
    auto& free = Free();
    if (free.empty()) return std::make_unique<Call>();
    std::unique_ptr<Call> taken = std::move(free.back());
    free.pop_back();
    return taken;
  }
  static void Give(std::unique_ptr<Call> call) {
    if (Free().size() < kKeptMax) Free().push_back(std::move(call));
  }

 private:
  static constexpr size_t kKeptMax = 64;
  static std::vector<std::unique_ptr<Call>>& Free() {
    thread_local std::vector<std::unique_ptr<Call>> free;
    return free;
  }
};

}  // namespace penstock
