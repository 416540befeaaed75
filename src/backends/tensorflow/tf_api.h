// SPDX-License-Identifier: Apache-2.0
// TensorFlow's C interface, found at run time: the plugin links nothing of TensorFlow.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "tensorflow/c/c_api.h"

namespace penstock::tensorflow {

// The formatter never settles on this list.
// clang-format off
#define PENSTOCK_TF_FUNCTIONS(X)                                                                 \
  X(Version)                                                                                     \
  X(NewStatus)                                                                                   \
  X(DeleteStatus)                                                                                \
  X(GetCode) X(Message) X(NewBuffer) X(NewBufferFromString) X(DeleteBuffer) X(NewTensor)         \
      X(AllocateTensor) X(DeleteTensor) X(TensorType) X(NumDims) X(Dim) X(TensorByteSize)        \
          X(TensorData) X(TensorElementCount) X(TensorFromProto) X(NewGraph) X(DeleteGraph)      \
              X(GraphOperationByName) X(GraphNextOperation) X(GraphGetTensorNumDims)             \
                  X(GraphGetTensorShape) X(GraphImportGraphDef) X(NewImportGraphDefOptions)      \
                      X(DeleteImportGraphDefOptions) X(NewOperation) X(FinishOperation)          \
                          X(OperationName) X(OperationOpType) X(OperationNumOutputs)             \
                              X(OperationOutputType) X(OperationOutputNumConsumers)              \
                                  X(NewSessionOptions) X(DeleteSessionOptions) X(SetConfig)      \
                                      X(NewSession) X(LoadSessionFromSavedModel) X(CloseSession) \
                                          X(DeleteSession) X(SessionRun)         \
                                              X(LoadLibrary) X(AddInput) X(RegisterLogListener)
// clang-format on

// The functions, without their prefix TF_. Immutable after Open.
struct TfApi {
#define PENSTOCK_TF_MEMBER(name) decltype(&TF_##name) name = nullptr;
  PENSTOCK_TF_FUNCTIONS(PENSTOCK_TF_MEMBER)
#undef PENSTOCK_TF_MEMBER

  // Opens the library at `path`, for good. Throws Error. FAILED_PRECONDITION if it is no
  // TensorFlow, or lacks one of the functions.
  static TfApi Open(const std::string& path);
};

// Deletes an object of TensorFlow through `api`, which must outlive the object. One thread at a
// time.
template <typename T, void (*TfApi::*kDelete)(T*)>
struct Deleter {
  const TfApi* api = nullptr;
  void operator()(T* object) const { (api->*kDelete)(object); }
};
using BufferPtr = std::unique_ptr<TF_Buffer, Deleter<TF_Buffer, &TfApi::DeleteBuffer>>;
using TensorPtr = std::unique_ptr<TF_Tensor, Deleter<TF_Tensor, &TfApi::DeleteTensor>>;
using GraphPtr = std::unique_ptr<TF_Graph, Deleter<TF_Graph, &TfApi::DeleteGraph>>;
using SessionOptionsPtr =
    std::unique_ptr<TF_SessionOptions, Deleter<TF_SessionOptions, &TfApi::DeleteSessionOptions>>;

// The status argument that most functions of TensorFlow want. It can serve several calls, one after
// the other. One thread at a time.
class CallStatus final {
 public:
  explicit CallStatus(const TfApi& api) : api_(api), status_(api.NewStatus()) {}
  CallStatus(const CallStatus&) = delete;
  CallStatus& operator=(const CallStatus&) = delete;
  ~CallStatus() { api_.DeleteStatus(status_); }

  TF_Status* get() const { return status_; }
  bool ok() const { return api_.GetCode(status_) == TF_OK; }
  // Throws Error unless it is OK: `context`, TensorFlow's text without the trace of graph nodes,
  // and `after`.
  void Check(std::string_view context = {}, std::string_view after = {}) const;

 private:
  const TfApi& api_;
  TF_Status* const status_;
};

// A session; closes it. One thread at a time as to its life.
struct SessionDeleter {
  const TfApi* api = nullptr;
  void operator()(TF_Session* session) const;
};
using SessionPtr = std::unique_ptr<TF_Session, SessionDeleter>;

// A buffer with a copy of `bytes`.
BufferPtr MakeBuffer(const TfApi& api, std::string_view bytes);

}  // namespace penstock::tensorflow
