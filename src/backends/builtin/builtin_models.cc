// SPDX-License-Identifier: Apache-2.0
// Models that need no files and no runtime. Tests use them, a new user can try the server with
// them, and benchmarks measure the server alone with them: half_plus_two is the model that
// TensorFlow Serving's own examples use.
#include "backends/builtin/builtin_models.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>

#include "backends/builtin/delay_model.h"
#include "backends/builtin/stream_model.h"
#include "infer/served_model.h"

namespace penstock {
namespace {

constexpr std::string_view kPrefix = "builtin:";
constexpr std::string_view kPredictMethod = "tensorflow/serving/predict";

// Returns its inputs, or those in the output filter. Thread-safe.
class IdentityModel final : public Model {
 public:
  const ModelInfo& info() const override { return info_; }

  void Run(const InferRequest& request, ResponseCallback done) override {
    InferResponse response;
    if (request.output_filter.empty()) {
      // Tensors are views, so this copies no elements.
      response.outputs = request.inputs;
    } else if (Status status = Filter(request, response.outputs); !status.ok()) {
      AnswerError(done, std::move(status));
      return;
    }
    done(std::move(response));
  }

 private:
  static Status Filter(const InferRequest& request, NamedTensors& outputs) {
    for (const std::string_view name : request.output_filter) {
      const auto input =
          std::find_if(request.inputs.begin(), request.inputs.end(),
                       [&](const NamedTensor& tensor) { return tensor.name == name; });
      if (input == request.inputs.end()) {
        return InvalidArgument("output filter: there is no input \"{}\" to give back",
                               name.substr(0, 100));
      }
      outputs.push_back(*input);
    }
    return OkStatus();
  }

  const ModelInfo info_ = {.platform = "builtin",
                           .signatures = {{.name = std::string(kDefaultSignatureName),
                                           .method_name = std::string(kPredictMethod),
                                           .inputs = {},
                                           .outputs = {}}},
                           // The model must work with any client, so it accepts all names, types
                           // and shapes.
                           .traits = {.any_signature = true, .answers_in_run = true}};
};

TensorSpec AnyShape(std::string name) {
  return {.name = name,
          .backend_name = name,
          .dtype = DType::kFloat32,
          .unknown_rank = true,
          .shape = {},
          .optional = false};
}

// `from` need not be aligned, because it points into the received message. The loop works on blocks
// of a constant size, because compilers turn these into vector instructions at -O2.
void HalfPlusTwo(const std::byte* from, float* to, size_t count) {
  constexpr size_t kBlock = 16;
  std::array<float, kBlock> block;
  for (; count >= kBlock; count -= kBlock, from += sizeof(block), to += kBlock) {
    std::memcpy(block.data(), from, sizeof(block));
    for (size_t k = 0; k < kBlock; ++k) to[k] = block[k] * 0.5F + 2.0F;
  }
  if (count == 0) return;
  std::memcpy(block.data(), from, count * sizeof(float));
  for (size_t k = 0; k < count; ++k) to[k] = block[k] * 0.5F + 2.0F;
}

// Computes y = x / 2 + 2. Thread-safe.
class HalfPlusTwoModel final : public Model {
 public:
  const ModelInfo& info() const override { return info_; }

  void Run(const InferRequest& request, ResponseCallback done) override {
    const Tensor& input = request.inputs[0].tensor;
    StatusOr<Tensor> output = Tensor::Allocate(DType::kFloat32, input.shape());
    if (!output.ok()) {
      AnswerError(done, output.status());
      return;
    }
    HalfPlusTwo(input.data(), output->mutable_as<float>().data(),
                static_cast<size_t>(input.element_count()));
    InferResponse response;
    response.outputs.push_back({"y", *std::move(output)});
    done(std::move(response));
  }

 private:
  const ModelInfo info_ = {.platform = "builtin",
                           .signatures = {{.name = std::string(kDefaultSignatureName),
                                           .method_name = std::string(kPredictMethod),
                                           .inputs = {AnyShape("x")},
                                           .outputs = {AnyShape("y")}}},
                           .traits = {.answers_in_run = true}};
};

struct BuiltinRow {
  std::string_view name;
  std::unique_ptr<Model> (*make)();
};

template <typename T>
std::unique_ptr<Model> Make() {
  return std::make_unique<T>();
}

constexpr std::array<BuiltinRow, 4> kBuiltins = {{{"delay", &MakeDelayModel},
                                                  {"half_plus_two", &Make<HalfPlusTwoModel>},
                                                  {"identity", &Make<IdentityModel>},
                                                  {"stream", &MakeStreamModel}}};

// Makes a built-in model. Thread-safe.
class BuiltinLoader final : public core::Loader {
 public:
  BuiltinLoader(core::ServableId id, const BuiltinRow& row, MetricsRegistry& metrics,
                InlineOptions inline_options)
      : id_(std::move(id)), row_(row), metrics_(metrics), inline_options_(inline_options) {}

  StatusOr<std::unique_ptr<core::Servable>> Load() override {
    return MakeServedModel(id_, row_.make(), metrics_, inline_options_);
  }

 private:
  const core::ServableId id_;
  const BuiltinRow& row_;
  MetricsRegistry& metrics_;
  const InlineOptions inline_options_;
};

StatusOr<const BuiltinRow*> FindRow(std::string_view base_path) {
  std::string names;
  for (const BuiltinRow& row : kBuiltins) {
    if (IsBuiltinPath(base_path) && base_path.substr(kPrefix.size()) == row.name) return &row;
    names += fmt::format("{}{}{}", names.empty() ? "" : ", ", kPrefix, row.name);
  }
  return Error(StatusCode::kNotFound, "there is no built-in model \"{}\"; there are {}", base_path,
               names);
}

}  // namespace

bool IsBuiltinPath(std::string_view base_path) { return base_path.starts_with(kPrefix); }

StatusOr<std::unique_ptr<Model>> MakeBuiltinModel(std::string_view base_path) {
  ASSIGN_OR_RETURN(const BuiltinRow* row, FindRow(base_path));
  return row->make();
}

StatusOr<std::unique_ptr<core::Loader>> MakeBuiltinLoader(const core::ServableId& id,
                                                          std::string_view base_path,
                                                          MetricsRegistry& metrics,
                                                          InlineOptions inline_options) {
  ASSIGN_OR_RETURN(const BuiltinRow* row, FindRow(base_path));
  return std::make_unique<BuiltinLoader>(id, *row, metrics, inline_options);
}

}  // namespace penstock
