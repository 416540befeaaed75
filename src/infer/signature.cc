// SPDX-License-Identifier: Apache-2.0
// The check runs for each request, so the usual case must be cheap: it walks over the inputs once
// and allocates nothing for up to 16 of them. Only when something is wrong, the texts are built,
// with the sets of names that were sent and expected. Clients compare these texts with TensorFlow
// Serving's, so they have its words and its order. Names come from clients and may be long or many,
// so each text is cut.
#include "infer/signature.h"

#include <algorithm>
#include <cctype>

#include "absl/container/flat_hash_set.h"
#include "base/string_map.h"

namespace penstock {
namespace {

constexpr size_t kListedNamesMax = 20;
constexpr size_t kListedNameBytesMax = 100;

// Quotes a name for an error message. Clients may send very long names, so only the beginning is
// shown.
std::string Quoted(std::string_view name) {
  return fmt::format("\"{}{}\"", name.substr(0, kListedNameBytesMax),
                     name.size() > kListedNameBytesMax ? "..." : "");
}

// Returns {a,b}: sorted, each name once. TensorFlow Serving uses this form, and clients compare it.
// Clients may send very many names, so only the first ones are shown.
std::string NameSet(std::vector<std::string_view> names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::string text = "{";
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += ',';
    if (i == kListedNamesMax) {
      text += "...";
      break;
    }
    text += names[i].substr(0, kListedNameBytesMax);
    if (names[i].size() > kListedNameBytesMax) text += "...";
  }
  return text + "}";
}

// The name of a type in TensorFlow's messages: "float", "half", "int64".
std::string TypeText(DType type) {
  std::string text(TensorFlowTypeName(type).substr(std::string_view("DT_").size()));
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// In lists of so many a search one by one is faster.
constexpr size_t kFewSpecs = 4;

const TensorSpec* FindByName(const std::vector<TensorSpec>& specs, std::string_view name) {
  if (specs.size() <= kFewSpecs) {
    // Names of different lengths need no look at their characters.
    const auto found = std::ranges::find(specs, name, &TensorSpec::name);
    return found != specs.end() ? &*found : nullptr;
  }
  // Backends give inputs and outputs sorted by name.
  const auto found = std::lower_bound(
      specs.begin(), specs.end(), name,
      [](const TensorSpec& spec, std::string_view wanted) { return spec.name < wanted; });
  return found != specs.end() && found->name == name ? &*found : nullptr;
}

// Remembers which specs a request has named, by index. One thread at a time.
class Seen {
 public:
  explicit Seen(size_t count) : seen_(count, false) {}
  // Returns false if it was added before.
  bool Add(size_t index) { return !std::exchange(seen_[index], true); }
  bool Has(size_t index) const { return seen_[index]; }

 private:
  absl::InlinedVector<bool, 16> seen_;
};

bool ShapeFits(const TensorSpec& spec, const Shape& shape) {
  if (spec.unknown_rank) return true;
  if (shape.rank() != spec.shape.rank()) return false;
  for (size_t axis = 0; axis < shape.rank(); ++axis) {
    // A negative size in the signature stands for any size.
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
    return InvalidArgument("Expects input {} to be {} but {} is provided", Quoted(spec.name),
                           TypeText(spec.dtype), TypeText(tensor.dtype()));
  }
  if (!any_shape && !ShapeFits(spec, tensor.shape())) [[unlikely]] {
    return InvalidArgument("input {}: got shape {}, expected {}{}", Quoted(spec.name),
                           tensor.shape().ToString(), spec.shape.ToString(),
                           HasAnySize(spec.shape) ? " (-1 stands for any size)" : "");
  }
  return OkStatus();
}

// Returns `separator` and `text`, or nothing if `text` is empty.
std::string Behind(std::string_view separator, const std::string& text) {
  return text.empty() ? text : std::string(separator) + text;
}

// The error for a request whose input names differ from those of the signature. The sentences are
// those of TensorFlow Serving, because clients compare them. It has one text for a wrong count, and
// others for wrong names; its versions differ in the latter.
Status NamesDiffer(const Signature& signature, const InferRequest& request) {
  std::vector<std::string_view> known, sent, extra, missing;
  std::string reason;
  for (const NamedTensor& input : request.inputs) {
    sent.push_back(input.name);
    if (signature.FindInput(input.name) != nullptr) continue;
    extra.push_back(input.name);
    if (reason.empty()) reason = signature.WhyLeftOut(input.name);
  }
  const TensorSpec* first_missing = nullptr;
  bool has_optional = false;
  for (const TensorSpec& spec : signature.inputs) {
    known.push_back(spec.name);
    has_optional |= spec.optional;
    if (spec.optional || std::find(sent.begin(), sent.end(), spec.name) != sent.end()) continue;
    missing.push_back(spec.name);
    if (first_missing == nullptr) first_missing = &spec;
  }
  std::string text;
  // With optional inputs a smaller number may be right, so the number alone is no error.
  if (sent.size() > known.size() || (sent.size() < known.size() && !has_optional)) {
    text = fmt::format("input size does not match signature: {}!={} len({}) != len({}). ",
                       sent.size(), known.size(), NameSet(sent), NameSet(known));
  } else {
    if (!extra.empty()) {
      text = fmt::format(
          "input tensor alias not found in signature: {:.100}. Inputs expected to be in the set "
          "{}. ",
          extra.front(), NameSet(known));
    }
    if (first_missing != nullptr) {
      text += fmt::format(
          "Signature input alias: {}(feed name: {}) not found in request and no default value "
          "provided. ",
          first_missing->name,
          first_missing->backend_name.empty() ? first_missing->name : first_missing->backend_name);
    }
  }
  return InvalidArgument("{}Sent extra: {}. Missing but required: {}. The signature is {}.{}", text,
                         NameSet(std::move(extra)), NameSet(std::move(missing)),
                         Quoted(signature.name), Behind(" ", reason));
}

// Checks names, types and shapes of the inputs, and that none is missing.
Status CheckTensors(const Signature& signature, const ModelTraits& traits,
                    const InferRequest& request) {
  Seen seen(signature.inputs.size());
  for (const NamedTensor& input : request.inputs) {
    const TensorSpec* spec = signature.FindInput(input.name);
    // Only now build the lists of names that the error needs: a good request must not pay for them.
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
  return OkStatus();
}

Status CheckOutputFilter(const Signature& signature, const OutputFilter& filter) {
  if (filter.empty()) return OkStatus();
  Seen seen(signature.outputs.size());
  for (const std::string_view name : filter) {
    const TensorSpec* spec = signature.FindOutput(name);
    if (spec == nullptr) {
      std::vector<std::string_view> known;
      for (const TensorSpec& output : signature.outputs) known.push_back(output.name);
      return InvalidArgument(
          "output tensor alias not found in signature: {:.100} Outputs expected to be in the set "
          "{}. The signature is {}.{}",
          name, NameSet(std::move(known)), Quoted(signature.name),
          Behind(" ", signature.WhyLeftOut(name)));
    }
    if (!seen.Add(static_cast<size_t>(spec - signature.outputs.data()))) {
      return InvalidArgument("duplicate output tensor alias: {:.100} in output_filter", name);
    }
  }
  return OkStatus();
}

// Checks the output filter for a model without fixed outputs. A name must not come twice, or the
// same output would be sent twice.
Status CheckNamedOnce(const InferRequest& request) {
  if (request.output_filter.size() < 2) [[likely]]
    return OkStatus();
  absl::flat_hash_set<std::string_view, StringViewHash> seen;
  for (const std::string_view name : request.output_filter) {
    if (seen.insert(name).second) continue;
    return InvalidArgument("output filter: output {} is named twice", Quoted(name));
  }
  return OkStatus();
}

Status NoSignaturesToChoose() {
  return absl::InvalidArgumentError(
      "the model takes any tensors and has no signatures, so a request cannot ask for several");
}

// Lists the names of the signatures, as {"a", "b"}.
std::string ListSignatures(const ModelInfo& info) {
  std::string text = "{";
  for (size_t i = 0; i < info.signatures.size(); ++i) {
    if (i > 0) text += ", ";
    if (i == kListedNamesMax) {
      text += "...";
      break;
    }
    text += Quoted(info.signatures[i].name);
  }
  return text + "}";
}

// Errors: FAILED_PRECONDITION, with TensorFlow Serving's text.
StatusOr<const Signature*> NamedSignature(const ModelInfo& info, std::string_view name) {
  const Signature* signature = info.FindSignature(name);
  if (signature != nullptr) [[likely]]
    return signature;
  if (name.empty()) name = kDefaultSignatureName;
  return Error(StatusCode::kFailedPrecondition, "Serving signature key {} not found. {}",
               Quoted(name), WhyNoSignature(info, name));
}

std::string InputNames(const Signature& signature) {
  std::vector<std::string_view> names;
  for (const TensorSpec& input : signature.inputs) names.push_back(input.name);
  return NameSet(std::move(names));
}

// Checks the signatures of a request beyond `first`. The inputs have been checked against that one.
Status CheckFurther(const ModelInfo& info, const Signature& first, const InferRequest& request) {
  Seen seen(info.signatures.size());
  seen.Add(static_cast<size_t>(&first - info.signatures.data()));
  for (const FurtherSignature& further : request.further_signatures) {
    ASSIGN_OR_RETURN(const Signature* const signature, NamedSignature(info, further.name));
    if (!seen.Add(static_cast<size_t>(signature - info.signatures.data()))) {
      return InvalidArgument("the signature {} is asked for twice", Quoted(signature->name));
    }
    const bool same_inputs = std::equal(
        first.inputs.begin(), first.inputs.end(), signature->inputs.begin(),
        signature->inputs.end(), [](const auto& a, const auto& b) { return a.name == b.name; });
    if (!same_inputs) {
      return InvalidArgument(
          "the signatures {} and {} have different inputs, {} and {}, so one request cannot ask "
          "for both",
          Quoted(first.name), Quoted(signature->name), InputNames(first), InputNames(*signature));
    }
    TRY(CheckTensors(*signature, info.traits, request));
    TRY(CheckOutputFilter(*signature, further.output_filter));
  }
  return OkStatus();
}

}  // namespace

const TensorSpec& AtPlace(std::span<const TensorSpec> specs, size_t place) {
  if (specs[place].place == place) return specs[place];
  const auto found = std::ranges::find(specs, place, &TensorSpec::place);
  return found != specs.end() ? *found : specs[place];
}

const TensorSpec* Signature::FindInput(std::string_view input) const {
  return FindByName(inputs, input);
}

const TensorSpec* Signature::FindOutput(std::string_view output) const {
  return FindByName(outputs, output);
}

std::string Signature::WhyLeftOut(std::string_view tensor) const {
  for (const LeftOut& each : left_out) {
    if (each.name == tensor) return fmt::format("{} is left out: {}", Quoted(tensor), each.reason);
  }
  return {};
}

const Signature* ModelInfo::FindSignature(std::string_view name) const {
  if (name.empty()) name = kDefaultSignatureName;
  for (const Signature& signature : signatures) {
    if (signature.name == name) return &signature;
  }
  return nullptr;
}

std::string DescribeShape(const TensorSpec& spec) {
  if (spec.unknown_rank) return "any shape";
  if (spec.dimension_names.empty()) return spec.shape.ToString();
  std::string text = "[";
  for (size_t axis = 0; axis < spec.shape.rank(); ++axis) {
    const std::string& name = spec.dimension_names[axis];
    text += axis > 0 ? "," : "";
    text += name.empty() ? std::to_string(spec.shape.dim(axis)) : name;
  }
  return text + "]";
}

std::string WhyNoSignature(const ModelInfo& info, std::string_view name) {
  constexpr size_t kNotesBytesMax = 2000;
  const std::string has = fmt::format("The model has {}.", ListSignatures(info));
  for (const LeftOut& each : info.left_out) {
    if (each.name == name) return fmt::format("It is left out: {}. {}", each.reason, has);
  }
  if (!info.signatures.empty()) return has;
  // Without signatures every request fails. The notes show the client the cause without the log.
  std::string notes;
  for (const std::string& note : info.notes) {
    if (notes.size() + note.size() > kNotesBytesMax) {
      notes += " ...";
      break;
    }
    notes += fmt::format(" Note: {}.", note);
  }
  return has + notes;
}

Status CheckInputs(const Signature& signature, const ModelTraits& traits,
                   const InferRequest& request) {
  TRY(CheckTensors(signature, traits, request));
  return CheckOutputFilter(signature, request.output_filter);
}

Status CheckRequest(const ModelInfo& info, const InferRequest& request) {
  if (info.traits.any_signature) {
    if (!request.further_signatures.empty()) return NoSignaturesToChoose();
    return CheckNamedOnce(request);
  }
  ASSIGN_OR_RETURN(const Signature* const signature, NamedSignature(info, request.signature_name));
  TRY(CheckInputs(*signature, info.traits, request));
  if (request.further_signatures.empty()) [[likely]]
    return OkStatus();
  return CheckFurther(info, *signature, request);
}

}  // namespace penstock
