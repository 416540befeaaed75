// SPDX-License-Identifier: Apache-2.0
// An ONNX model, loaded.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "external_data.h"
#include "onnx_file.h"
#include "ort_api.h"
#include "penstock/backend.hpp"

namespace penstock::onnxruntime {

// The parts of the runtime that all models share. Immutable; outlives them.
struct Runtime {
  OrtApi api;
  EnvPtr env;
  MemoryInfoPtr memory;               // the CPU's
  OrtAllocator* allocator = nullptr;  // ONNX Runtime's; lives as long as the process
};

// Where the sizes of an output come from. With them, the host can give the runtime memory for the
// output before the run. Immutable.
struct DimSource {
  int64_t size = -1;  // fixed, or -1:
  int input = -1;     // as dimension `axis` of this input, which has the same symbol; or -1
  uint32_t axis = 0;
};
// How to compute the shape of one output from the shapes of the inputs. Immutable.
struct ShapeRule {
  bool known = false;  // every dimension has a source
  std::vector<DimSource> dims;
};

// A model in a session of ONNX Runtime. Runs use the calling thread and the runtime's global pool.
// Inputs are views of the request's memory. Outputs are written into the host's memory if their
// shapes are known before the run (ShapeRule), and else are the runtime's own buffers; only strings
// are copied. `runtime` outlives it. Thread-safe.
class OrtModel final : public plugin::Model {
 public:
  OrtModel(const Runtime& runtime, SessionPtr session, plugin::Description description,
           std::vector<ShapeRule> rules, SharedTables tables);

  void Run(plugin::Request&& request) override;

 private:
  struct Call;

  // Sets the names and the input values. The values are views of the request's memory, which
  // outlives the run.
  void Bind(Call& call);
  ValuePtr MakeInput(const PenstockTensor& tensor) const;
  ValuePtr MakeStringInput(const PenstockTensor& tensor) const;
  // Gives output `position` memory of the host if its shape follows from the inputs. Otherwise does
  // nothing, and the runtime makes the output.
  void PlaceOutput(Call& call, size_t position) const;
  OrtStatus* RunSession(Call& call) const;
  // Runs, and asks the runtime to end when the request stops (RunOptionsSetTerminate).
  void RunStoppable(Call& call) const;
  // Runs with placed outputs if the rules have been proved, and falls back to a run without them.
  void RunPlaced(Call& call);
  // Turns output `position` into a result, without a copy except for strings.
  void Collect(Call& call, size_t position);
  void CollectStrings(Call& call, size_t position) const;
  // While the rules are unproved: compares the rule of an output with the shape that the runtime
  // made.
  void Learn(Call& call, size_t position);

  const Runtime& runtime_;
  const SharedTables tables_;  // used by the session
  const SessionPtr session_;
  const std::vector<ShapeRule> rules_;  // as the outputs of the signature
  // One output that fits its rule lets later runs use all rules. One that does not fit ends their
  // use.
  enum class Trust { kUnproved, kProved, kRefuted };
  std::atomic<Trust> trust_{Trust::kUnproved};
};

// Reads the signature of `session`, which was made of `file`, and makes the model. `tables`:
// what the session uses. Throws Error.
std::unique_ptr<OrtModel> MakeModel(const Runtime& runtime, SessionPtr session,
                                    const OnnxFile& file, SharedTables tables);

}  // namespace penstock::onnxruntime
