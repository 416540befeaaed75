// SPDX-License-Identifier: Apache-2.0
// The way of one inference through the server, the same for every protocol: find the model, decode,
// run, encode, count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "infer/engine.h"
#include "infer/request.h"
#include "net/headers.h"

namespace penstock {

// What a call knows before its body is read. The pointers outlive the call.
struct CallInfo {
  SteadyTime start;
  SteadyTime deadline = kNoDeadline;
  CancelToken* cancel = nullptr;           // never null
  const net::RequestHead* head = nullptr;  // never null
  uint64_t request_id = 0;
  size_t body_bytes = 0;
};

// One inference, from the bytes of its request to the bytes of its answer. A front end derives from
// it and supplies the steps that depend on its protocol; this class puts them in order, and decides
// on which thread each one runs:
//
//   ReadSelector -> the model is found, perhaps once it is loaded -> Decode -> the model runs
//   -> Encode -> Send, or SendError instead -> Record -> Release
//
// A small request stays on the event loop up to the run. One with a large body, or that becomes
// large when it is decoded, moves to the compute pool: it is decoded and run there, in one go.
//
// What the request makes the server hold counts in its budget: decoded tensors before they are
// allocated, and answers until they are sent. A request that does not fit is refused.
//
// No step is called twice, but for Decode. One thread at a time.
class InferCall {
 public:
  InferCall(const InferCall&) = delete;
  InferCall& operator=(const InferCall&) = delete;

 protected:
  InferCall() = default;
  virtual ~InferCall() = default;

  // Starts the sequence, on an event loop. It may have ended before this returns. `engine` outlives
  // the call.
  void Start(Engine& engine, const CallInfo& info);
  // Makes the object fit for another call: lets go of the model and of what the request refers to.
  void Reset();

  // The model that was found; not before Decode.
  const ModelHandle& model() const { return *model_; }
  const InferRequest& request() const { return request_; }

 private:
  // Says which model is meant; `selector` may refer to memory of the call. May set parts of
  // `request`. Cheap: it runs before the model is known to exist.
  virtual Status ReadSelector(ModelSelector& selector, InferRequest& request) = 0;
  // Sets the signature's name, the inputs and the output filter of `request`. Takes what it
  // allocates for tensors from `memory`. Called a second time, on the compute pool, if `memory`
  // says that the request is too large for an event loop.
  virtual Status Decode(const ModelInfo& info, RequestMemory& memory, InferRequest& request) = 0;
  // The bytes of the answer. Takes what it allocates for them from `memory`.
  virtual StatusOr<ByteChain> Encode(const NamedTensors& outputs, RequestMemory& memory) = 0;
  virtual void Send(ByteChain&& answer) = 0;
  virtual void SendError(const Status& status) = 0;
  // Counts the outcome. `model` is empty if none was found: clients could make up any name.
  virtual void Record(std::string_view model, StatusCode code, Duration latency) = 0;
  // The call has ended: frees the object, or keeps it for another call.
  virtual void Release() = 0;

  enum class Place { kEventLoop, kPool };
  void FindModel(Place place);
  void DecodeAndRun(Place place);
  // Has the compute pool go on with `step`, unless nobody waits for the answer any more.
  void MoveToPool(void (InferCall::*step)(Place));
  void OnPart(InferResponse&& part);
  Status Answer(const NamedTensors& outputs);
  void Finish(const Status& status);
  StatusCode OutcomeOf(const Status& status) const;

  Engine* engine_ = nullptr;
  CallInfo info_;
  ModelSelector selector_;
  InferRequest request_;
  std::optional<ModelHandle> model_;
  Duration pool_wait_{};
  bool has_parts_ = false;  // before the last one
};

// Call objects that the thread that ended them keeps for its next calls. Each thread has its own.
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
