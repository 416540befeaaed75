// SPDX-License-Identifier: Apache-2.0
// An ONNX model, loaded.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "onnx_file.h"
#include "ort_api.h"
#include "penstock/backend.hpp"

namespace penstock::onnxruntime {

// What all models share. Immutable; outlives them.
struct Runtime {
  OrtApi api;
  EnvPtr env;
  MemoryInfoPtr memory;               // the CPU's
  OrtAllocator* allocator = nullptr;  // ONNX Runtime's; lives as long as the process
};

// Where the sizes of an output come from, so that its memory can be given to the runtime before the
// run. Immutable.
struct DimSource {
  int64_t size = -1;  // fixed, or -1:
  int input = -1;     // the size of dimension `axis` of this input, which bears the same symbol
  uint32_t axis = 0;
};
struct ShapeRule {
  bool known = false;  // every dimension has a source
  std::vector<DimSource> dims;
};

// A model in a session of ONNX Runtime. Thread-safe.
class OrtModel final : public plugin::Model {
 public:
  OrtModel(const Runtime& runtime, SessionPtr session, plugin::Description description,
           std::vector<ShapeRule> rules);

  void Run(plugin::Request&& request) override;

 private:
  struct Call;

  void Bind(Call& call);
  ValuePtr MakeInput(const PenstockTensor& tensor) const;
  ValuePtr MakeStringInput(const PenstockTensor& tensor) const;
  // Gives output `position` memory of the host if its shape can be told from the inputs.
  void PlaceOutput(Call& call, size_t position) const;
  OrtStatus* RunSession(Call& call) const;
  void RunStoppable(Call& call) const;
  void RunPlaced(Call& call);
  void Collect(Call& call, size_t position);
  void CollectStrings(Call& call, size_t position) const;
  // Compares the rule of an output with what the runtime made.
  void Learn(Call& call, size_t position);

  const Runtime& runtime_;
  const SessionPtr session_;
  const std::vector<ShapeRule> rules_;  // as the outputs of the signature
  // The first run compares the rules with what the runtime says; one miss ends their use.
  enum class Trust { kUnproved, kProved, kRefuted };
  std::atomic<Trust> trust_{Trust::kUnproved};
};

// Reads the signature of `session`, which was made of `file`, and makes the model. Throws Error.
std::unique_ptr<OrtModel> MakeModel(const Runtime& runtime, SessionPtr session,
                                    const OnnxFile& file);

}  // namespace penstock::onnxruntime
