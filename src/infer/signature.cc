// SPDX-License-Identifier: Apache-2.0
#include "infer/signature.h"

#include <algorithm>

namespace penstock {
namespace {

constexpr size_t kListedNamesMax = 20;
constexpr size_t kListedNameBytesMax = 100;

// A client's names may be many and long: an error message shows the first ones, and of each the
// beginning.
std::string Quoted(std::string_view name) {
  return fmt::format("\"{}{}\"", name.substr(0, kListedNameBytesMax),
                     name.size() > kListedNameBytesMax ? "..." : "");
}

// As {"a", "b"}.
template <typename Items>
std::string ListNames(const Items& items) {
  std::string text = "{";
  size_t count = 0;
  for (const auto& item : items) {
    if (count++ > 0) text += ", ";
    if (count > kListedNamesMax) {
      text += "...";
      break;
    }
    if constexpr (requires { item.name; }) {
      text += Quoted(item.name);
    } else {
      text += Quoted(item);
    }
  }
  return text + "}";
}

const TensorSpec* FindByName(const std::vector<TensorSpec>& specs, std::string_view name) {
  const auto found = std::lower_bound(
      specs.begin(), specs.end(), name,
      [](const TensorSpec& spec, std::string_view wanted) { return spec.name < wanted; });
  return found != specs.end() && found->name == name ? &*found : nullptr;
}

// Which specs were met, by index. One thread at a time.
class Seen {
 public:
  explicit Seen(size_t count) : seen_(count, false) {}
  // False if it was met before.
  bool Add(size_t index) { return !std::exchange(seen_[index], true); }
  bool Has(size_t index) const { return seen_[index]; }

 private:
  absl::InlinedVector<bool, 16> seen_;
};

bool ShapeFits(const TensorSpec& spec, const Shape& shape) {
  if (spec.unknown_rank) return true;
  if (shape.rank() != spec.shape.rank()) return false;
  for (size_t axis = 0; axis < shape.rank(); ++axis) {
    if (spec.shape.dim(axis) >= 0 && spec.shape.dim(axis) != shape.dim(axis)) return false;
  }
  return true;
}

bool HasAnySize(const Shape& shape) {
  for (size_t axis = 0; axis < shape.rank(); ++axis) {
    if (shape.dim(axis) < 0) return true;
  }
  return false;
}

Status CheckTensor(const TensorSpec& spec, bool any_shape, const Tensor& tensor) {
  if (tensor.dtype() != spec.dtype) [[unlikely]] {
    return InvalidArgument("input {}: got type {}, expected {}", Quoted(spec.name),
                           DTypeName(tensor.dtype()), DTypeName(spec.dtype));
  }
  if (!any_shape && !ShapeFits(spec, tensor.shape())) [[unlikely]] {
    return InvalidArgument("input {}: got shape {}, expected {}{}", Quoted(spec.name),
                           tensor.shape().ToString(), spec.shape.ToString(),
                           HasAnySize(spec.shape) ? " (-1 stands for any size)" : "");
  }
  return OkStatus();
}

// For when the names sent are not those of the signature.
Status NamesDiffer(const Signature& signature, const InferRequest& request) {
  std::vector<std::string_view> extra;
  for (const NamedTensor& input : request.inputs) {
    if (signature.FindInput(input.name) == nullptr) extra.push_back(input.name);
  }
  std::vector<std::string_view> missing;
  for (const TensorSpec& spec : signature.inputs) {
    const bool is_sent =
        std::any_of(request.inputs.begin(), request.inputs.end(),
                    [&](const NamedTensor& input) { return input.name == spec.name; });
    if (!is_sent && !spec.optional) missing.push_back(spec.name);
  }
  return InvalidArgument(
      "inputs do not match signature {}: it takes {}, sent were {}. Sent extra: {}. Missing but "
      "required: {}.",
      Quoted(signature.name), ListNames(signature.inputs), ListNames(request.inputs),
      ListNames(extra), ListNames(missing));
}

Status CheckOutputFilter(const Signature& signature, const InferRequest& request) {
  if (request.output_filter.empty()) return OkStatus();
  Seen seen(signature.outputs.size());
  for (const std::string_view name : request.output_filter) {
    const TensorSpec* spec = signature.FindOutput(name);
    if (spec == nullptr) {
      return InvalidArgument("output filter: signature {} has no output {}, but {}",
                             Quoted(signature.name), Quoted(name), ListNames(signature.outputs));
    }
    if (!seen.Add(static_cast<size_t>(spec - signature.outputs.data()))) {
      return InvalidArgument("output filter: output {} is named twice", Quoted(name));
    }
  }
  return OkStatus();
}

}  // namespace

const TensorSpec* Signature::FindInput(std::string_view input) const {
  return FindByName(inputs, input);
}

const TensorSpec* Signature::FindOutput(std::string_view output) const {
  return FindByName(outputs, output);
}

const Signature* ModelInfo::FindSignature(std::string_view name) const {
  if (name.empty()) name = kDefaultSignatureName;
  for (const Signature& signature : signatures) {
    if (signature.name == name) return &signature;
  }
  return nullptr;
}

std::string ListSignatures(const ModelInfo& info) { return ListNames(info.signatures); }

Status CheckInputs(const Signature& signature, const ModelTraits& traits,
                   const InferRequest& request) {
  Seen seen(signature.inputs.size());
  for (const NamedTensor& input : request.inputs) {
    const TensorSpec* spec = signature.FindInput(input.name);
    if (spec == nullptr) [[unlikely]]
      return NamesDiffer(signature, request);
    if (!seen.Add(static_cast<size_t>(spec - signature.inputs.data()))) [[unlikely]] {
      return InvalidArgument("input {} was sent twice", Quoted(input.name));
    }
    TRY(CheckTensor(*spec, traits.any_shape, input.tensor));
  }
  for (size_t i = 0; i < signature.inputs.size(); ++i) {
    if (!seen.Has(i) && !signature.inputs[i].optional) [[unlikely]]
      return NamesDiffer(signature, request);
  }
  return CheckOutputFilter(signature, request);
}

Status CheckRequest(const ModelInfo& info, const InferRequest& request) {
  if (info.traits.any_signature) return OkStatus();
  const Signature* signature = info.FindSignature(request.signature_name);
  if (signature == nullptr) [[unlikely]] {
    const std::string_view name =
        request.signature_name.empty() ? kDefaultSignatureName : request.signature_name;
    return Error(StatusCode::kFailedPrecondition,
                 "Serving signature key {} not found. The model has {}.", Quoted(name),
                 ListSignatures(info));
  }
  return CheckInputs(*signature, info.traits, request);
}

}  // namespace penstock
