// SPDX-License-Identifier: Apache-2.0
// Differential: our reader of Examples against protobuf's parser and the plain rules, on the same
// bytes, which are a ClassificationRequest. The same bytes as a MultiInferenceRequest.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "protocols/tfs/example_reference.h"
#include "protocols/tfs/example_request.h"

namespace {

using namespace penstock;
using namespace penstock::tfs;

// Any bytes may be refused, but not without a reason.
void TryApi(std::string_view bytes, ExampleApi api, const ExamplePlans& plans) {
  ExampleRequest request;
  Status status = request.Scan(WholeSlice(CopyToBuffer(bytes)), api, /*tasks_max=*/4);
  if (status.ok()) {
    RequestMemory memory(1 << 22);
    InferRequest infer;
    status = request.ReadInputs(plans, memory, infer);
  }
  if (!status.ok() && MessageOf(status).empty()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string difference = example_reference::CompareExamples(bytes);
  if (!difference.empty()) {
    std::fprintf(stderr, "the readers differ: %s\n", difference.c_str());
    std::abort();
  }
  static const ModelInfo info = example_reference::ExampleModel();
  static const ExamplePlans plans = example_reference::PlansOf(info);
  for (const ExampleApi api :
       {ExampleApi::kClassify, ExampleApi::kRegress, ExampleApi::kMultiInference}) {
    TryApi(bytes, api, plans);
  }
  return 0;
}
