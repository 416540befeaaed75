// SPDX-License-Identifier: Apache-2.0
// A tensor is copied into a larger one by walking over its dimensions. The innermost ones that have
// the same size in both are one piece of memory, which is copied at once.
#include "batch/pad.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "batch/pad_value.h"

namespace penstock::batch {
namespace {

// The padding of a small batch costs nothing that anybody would notice.
constexpr int64_t kSmallElements = 4096;

bool IsOfAnySize(const TensorSpec& spec, size_t axis) {
  return axis > 0 && (spec.unknown_rank || (axis < spec.shape.rank() && spec.shape.dim(axis) < 0));
}

bool HasAnySize(const TensorSpec& spec) {
  if (spec.unknown_rank) return true;
  for (size_t axis = 1; axis < spec.shape.rank(); ++axis)
    if (IsOfAnySize(spec, axis)) return true;
  return false;
}

const Tensor* Find(const NamedTensors& tensors, std::string_view name) {
  const auto found = std::ranges::find(tensors, name, &NamedTensor::name);
  return found == tensors.end() ? nullptr : &found->tensor;
}

size_t ElementBytes(DType type) {
  return type == DType::kString ? sizeof(StringElement) : DTypeBytes(type);
}

// Copies the elements of a tensor of one shape to that of another one, of the same rank and type:
// what is too much is cut off, what is missing is `filler`. One thread.
class Reshaper final {
 public:
  Reshaper(const Shape& from, const Shape& to, size_t element_bytes, std::string_view filler)
      : from_(from), to_(to), element_bytes_(element_bytes), filler_(filler) {
    same_ = from.rank();
    while (same_ > 1 && from.dim(same_ - 1) == to.dim(same_ - 1)) --same_;
  }

  // `rows`: of both. Returns the end of what was written.
  std::byte* Copy(int64_t rows, const std::byte* from, std::byte* to) {
    read_ = from;
    write_ = to;
    for (int64_t i = 0; i < rows; ++i) CopyFrom(1);
    return write_;
  }

 private:
  // The bytes of an entry of dimension `axis` - 1.
  size_t Bytes(const Shape& shape, size_t axis) const {
    size_t bytes = element_bytes_;
    for (; axis < shape.rank(); ++axis) bytes *= static_cast<size_t>(shape.dim(axis));
    return bytes;
  }

  void CopyFrom(size_t axis) {
    if (axis >= same_) {
      const size_t bytes = Bytes(from_, axis);
      if (bytes > 0) std::memcpy(write_, read_, bytes);
      read_ += bytes;
      write_ += bytes;
      return;
    }
    const int64_t kept = std::min(from_.dim(axis), to_.dim(axis));
    if (axis + 1 >= same_) {
      // The entries are one piece, too.
      const size_t bytes = Bytes(from_, axis + 1) * static_cast<size_t>(kept);
      if (bytes > 0) std::memcpy(write_, read_, bytes);
      read_ += bytes;
      write_ += bytes;
    } else {
      for (int64_t i = 0; i < kept; ++i) CopyFrom(axis + 1);
    }
    read_ += Bytes(from_, axis + 1) * static_cast<size_t>(from_.dim(axis) - kept);
    Fill(Bytes(to_, axis + 1) * static_cast<size_t>(to_.dim(axis) - kept));
  }

  void Fill(size_t bytes) {
    const bool is_zero = std::ranges::all_of(filler_, [](char c) { return c == 0; });
    if (is_zero) {
      if (bytes > 0) std::memset(write_, 0, bytes);
    } else {
      for (size_t i = 0; i < bytes; i += element_bytes_)
        std::memcpy(write_ + i, filler_.data(), element_bytes_);
    }
    write_ += bytes;
  }

  const Shape& from_;
  const Shape& to_;
  const size_t element_bytes_;
  const std::string_view filler_;  // one element
  size_t same_;                    // from this dimension on, both have the same sizes
  const std::byte* read_ = nullptr;
  std::byte* write_ = nullptr;
};

// Returns the tensor with so many entries in dimension `axis`: as a view, if these are one piece.
StatusOr<Tensor> CutAxis(const Tensor& tensor, size_t axis, int64_t size, RequestMemory& memory) {
  Shape shape = tensor.shape();
  shape.SetDim(axis, size);
  const auto outer = shape.dims().first(axis);
  const bool is_one_piece = std::ranges::all_of(outer, [](int64_t dim) { return dim == 1; });
  if (is_one_piece && tensor.shape().dim(axis) > 0 && tensor.dtype() != DType::kString) {
    const auto bytes =
        tensor.bytes() / static_cast<size_t>(tensor.shape().dim(axis)) * static_cast<size_t>(size);
    return Tensor::FromBytes(tensor.dtype(), std::move(shape),
                             {tensor.data(), bytes, tensor.elements().owner});
  }
  ASSIGN_OR_RETURN(Tensor cut, Tensor::Allocate(tensor.dtype(), shape, memory));
  Reshaper reshaper(tensor.shape(), cut.shape(), ElementBytes(tensor.dtype()), {});
  reshaper.Copy(shape.dim(0), tensor.data(), cut.mutable_data());
  if (cut.dtype() == DType::kString) {
    cut.set_string_owner(tensor.string_owner() ? tensor.string_owner() : tensor.elements().owner);
  }
  return cut;
}

// Writes a row of a mask or a length for each row of `of`.
std::byte* WriteRows(bool is_mask, DType type, int64_t rows, int64_t own, int64_t all,
                     std::byte* to) {
  const size_t bytes = DTypeBytes(type);
  const auto write = [&](const std::string& element, int64_t count) {
    for (int64_t i = 0; i < count; ++i, to += bytes) std::memcpy(to, element.data(), bytes);
  };
  if (!is_mask) {
    // A length that the type does not have was refused by no rule: the last one that it has counts.
    write(EncodeNumber(type, static_cast<double>(own)).value_or(std::string(bytes, '\x7f')), rows);
    return to;
  }
  const std::string one = EncodeNumber(type, 1).value_or(std::string(bytes, '\1'));
  const std::string zero(bytes, '\0');
  for (int64_t row = 0; row < rows; ++row) {
    write(one, own);
    write(zero, all - own);
  }
  return to;
}

Shape ShapeOfFilled(const TensorSpec& spec, bool is_mask, int64_t rows, int64_t all) {
  if (is_mask) return {rows, all};
  return spec.shape.rank() == 2 ? Shape{rows, 1} : Shape{rows};
}

}  // namespace

StatusOr<PadPlan> PadPlan::Make(const Signature& signature, const PadSettings& settings) {
  PadPlan plan;
  plan.share_max_ = settings.share_max;
  for (const PadRule& rule : settings.rules) TRY(plan.AddRule(signature, rule));
  if (settings.all_inputs) {
    for (const TensorSpec& spec : signature.inputs)
      if (HasAnySize(spec)) TRY(plan.AddPadded(spec, "", /*uses_first=*/true));
  }
  plan.FindNames(signature);
  return plan;
}

Status PadPlan::AddRule(const Signature& signature, const PadRule& rule) {
  const TensorSpec* const spec = signature.FindInput(rule.input);
  if (spec == nullptr) return OkStatus();
  if (!HasAnySize(*spec)) {
    return InvalidArgument("pads the input '{}' of the shape {}, whose rows have a fixed size",
                           rule.input, spec->shape.ToString());
  }
  TRY(AddPadded(*spec, rule.value, /*uses_first=*/false));
  if (!rule.mask_input.empty()) TRY(AddFilled(signature, *spec, rule.mask_input, true));
  if (!rule.length_input.empty()) TRY(AddFilled(signature, *spec, rule.length_input, false));
  for (const std::string& name : rule.cut_outputs) {
    const TensorSpec* const output = signature.FindOutput(name);
    if (output == nullptr || (!output->unknown_rank && output->shape.rank() < 2))
      return InvalidArgument("has no output '{}' with a dimension 1, which is to be cut", name);
    cuts_.push_back({{output, 1}, {spec, 1}});
  }
  return OkStatus();
}

Status PadPlan::AddPadded(const TensorSpec& spec, std::string_view value, bool uses_first) {
  if (FindPadded(spec.name) != nullptr) return OkStatus();
  StatusOr<std::string> element = EncodeValue(spec.dtype, value);
  if (!element.ok()) {
    return InvalidArgument("cannot pad the input '{}': {}", spec.name, MessageOf(element.status()));
  }
  padded_.push_back({&spec, uses_first, *std::move(element)});
  return OkStatus();
}

Status PadPlan::AddFilled(const Signature& signature, const TensorSpec& of, const std::string& name,
                          bool is_mask) {
  const TensorSpec* const spec = signature.FindInput(name);
  const std::string_view kind = is_mask ? "mask" : "length";
  if (spec == nullptr) return InvalidArgument("has no input '{}' for the {}", name, kind);
  const size_t rank = spec->shape.rank();
  const bool fits = spec->unknown_rank || (is_mask ? rank == 2 : rank == 1 || rank == 2);
  if (!fits || !EncodeNumber(spec->dtype, 1).ok() || !IsOfAnySize(of, 1)) {
    return InvalidArgument(
        "has the input '{}', {} of the shape {}, which cannot be the {} of the input '{}' of the "
        "shape {}",
        name, DTypeName(spec->dtype), spec->shape.ToString(), kind, of.name, of.shape.ToString());
  }
  filled_.push_back({spec, &of, is_mask});
  // Clients may send it, too.
  return is_mask ? AddPadded(*spec, "", /*uses_first=*/false) : OkStatus();
}

void PadPlan::FindNames(const Signature& signature) {
  std::vector<std::pair<std::string_view, Axis>> named;  // the first dimension with each name
  const auto names = [](const TensorSpec& spec, auto use) {
    for (size_t axis = 1; axis < spec.dimension_names.size(); ++axis) {
      if (!spec.dimension_names[axis].empty() && IsOfAnySize(spec, axis))
        use(std::string_view(spec.dimension_names[axis]), Axis{&spec, axis});
    }
  };
  for (const Padded& each : padded_) {
    names(*each.spec, [&](std::string_view name, Axis axis) {
      const auto found = std::ranges::find(named, name, &std::pair<std::string_view, Axis>::first);
      if (found == named.end()) {
        named.emplace_back(name, axis);
      } else {
        equal_.emplace_back(found->second, axis);
      }
    });
  }
  // Inputs that are not padded, too: or padding could make equal what was not.
  for (const TensorSpec& input : signature.inputs) {
    if (FindPadded(input.name) != nullptr) continue;
    names(input, [&](std::string_view name, Axis axis) {
      const auto found = std::ranges::find(named, name, &std::pair<std::string_view, Axis>::first);
      if (found != named.end()) equal_.emplace_back(found->second, axis);
    });
  }
  for (const TensorSpec& output : signature.outputs) {
    names(output, [&](std::string_view name, Axis axis) {
      const auto found = std::ranges::find(named, name, &std::pair<std::string_view, Axis>::first);
      const bool is_known = std::ranges::any_of(cuts_, [&](const CutRule& rule) {
        return rule.output.spec == axis.spec && rule.output.axis == axis.axis;
      });
      if (found != named.end() && !is_known) cuts_.push_back({axis, found->second});
    });
  }
}

const PadPlan::Padded* PadPlan::FindPadded(std::string_view input) const {
  const auto found =
      std::ranges::find_if(padded_, [&](const Padded& each) { return each.spec->name == input; });
  return found == padded_.end() ? nullptr : &*found;
}

bool PadPlan::CanJoin(std::string_view input, const Tensor& a, const Tensor& b) const {
  const size_t rank = a.shape().rank();
  if (a.dtype() != b.dtype() || rank != b.shape().rank()) return false;
  const Padded* padded = nullptr;
  for (size_t axis = 1; axis < rank; ++axis) {
    if (a.shape().dim(axis) == b.shape().dim(axis)) continue;
    if (padded == nullptr) padded = FindPadded(input);
    if (padded == nullptr || !IsOfAnySize(*padded->spec, axis)) return false;
    if (a.element_count() == 0 || b.element_count() == 0) return false;
  }
  return true;
}

bool PadPlan::IsConsistent(const InferRequest& request) const {
  return std::ranges::all_of(equal_, [&](const std::pair<Axis, Axis>& pair) {
    const Tensor* const a = Find(request.inputs, pair.first.spec->name);
    const Tensor* const b = Find(request.inputs, pair.second.spec->name);
    return a == nullptr || b == nullptr ||
           a->shape().dim(pair.first.axis) == b->shape().dim(pair.second.axis);
  });
}

int64_t PadPlan::Elements(const InferRequest& request) const {
  int64_t elements = 0;
  for (const NamedTensor& input : request.inputs)
    if (FindPadded(input.name) != nullptr) elements += input.tensor.element_count();
  return elements;
}

bool PadPlan::MayPad(int64_t rows, int64_t row_elements, int64_t elements) const {
  // In floating point, because sizes of clients could overflow.
  const double all = static_cast<double>(rows) * static_cast<double>(row_elements);
  return all <= static_cast<double>(kSmallElements) ||
         all * (1 - share_max_) <= static_cast<double>(elements);
}

void PadPlan::GrowTo(Shape& shape, const Tensor& tensor) {
  shape.SetDim(0, shape.dim(0) + tensor.shape().dim(0));
  for (size_t axis = 1; axis < shape.rank(); ++axis)
    shape.SetDim(axis, std::max(shape.dim(axis), tensor.shape().dim(axis)));
}

std::byte* PadPlan::Copy(std::string_view input, const Tensor& from, const Shape& shape,
                         std::byte* to) const {
  const Padded* const padded = FindPadded(input);
  PENSTOCK_CHECK(padded != nullptr, "an input of different sizes is not padded");
  const size_t bytes = ElementBytes(from.dtype());
  std::string_view filler(padded->element);
  const StringElement text{padded->element.data(), padded->element.size()};
  if (padded->uses_first) {
    filler = {reinterpret_cast<const char*>(from.data()), bytes};
  } else if (from.dtype() == DType::kString) {
    filler = {reinterpret_cast<const char*>(&text), bytes};
  }
  return Reshaper(from.shape(), shape, bytes, filler).Copy(from.shape().dim(0), from.data(), to);
}

bool PadPlan::MustFill(const InferRequest& request) const {
  return std::ranges::any_of(filled_, [&](const Filled& filled) {
    return Find(request.inputs, filled.spec->name) == nullptr;
  });
}

StatusOr<InferRequest> PadPlan::Shorter(const InferRequest& request) const {
  InferRequest shorter = request;
  RequestMemory memory;
  for (NamedTensor& input : shorter.inputs) {
    const Padded* const padded = FindPadded(input.name);
    for (size_t axis = 1; padded != nullptr && axis < input.tensor.shape().rank(); ++axis) {
      if (!IsOfAnySize(*padded->spec, axis)) continue;
      const int64_t size = (input.tensor.shape().dim(axis) + 1) / 2;
      ASSIGN_OR_RETURN(input.tensor, CutAxis(input.tensor, axis, size, memory));
    }
  }
  return shorter;
}

Status PadPlan::Fill(InferRequest& request) const {
  const InferRequest* const members[] = {&request};
  RequestMemory memory;
  NamedTensors inputs = request.inputs;
  TRY(FillBatch(members, /*extra_rows=*/0, memory, inputs));
  request.inputs = std::move(inputs);
  return OkStatus();
}

Status PadPlan::FillBatch(std::span<const InferRequest* const> members, int64_t extra_rows,
                          RequestMemory& memory, NamedTensors& inputs) const {
  for (const Filled& filled : filled_) {
    const Tensor* const all = Find(inputs, filled.of->name);
    if (all == nullptr || all->shape().rank() < 2 || Find(inputs, filled.spec->name) != nullptr)
      continue;
    const int64_t size = all->shape().dim(1);
    ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(filled.spec->dtype,
                                                     ShapeOfFilled(*filled.spec, filled.is_mask,
                                                                   all->shape().dim(0), size),
                                                     memory));
    std::byte* place = tensor.mutable_data();
    int64_t own = 0;
    for (const InferRequest* member : members) {
      const Shape& shape = Find(member->inputs, filled.of->name)->shape();
      own = shape.dim(1);
      place = WriteRows(filled.is_mask, tensor.dtype(), shape.dim(0), own, size, place);
    }
    WriteRows(filled.is_mask, tensor.dtype(), extra_rows, own, size, place);
    inputs.push_back({filled.spec->name, std::move(tensor)});
  }
  return OkStatus();
}

Status PadPlan::Cut(const InferRequest& member, const NamedTensors& inputs, RequestMemory& memory,
                    NamedTensors& outputs) const {
  for (const CutRule& rule : cuts_) {
    const auto output =
        std::ranges::find(outputs, std::string_view(rule.output.spec->name), &NamedTensor::name);
    const Tensor* const own = Find(member.inputs, rule.input.spec->name);
    if (output == outputs.end() || own == nullptr) continue;
    const int64_t size = own->shape().dim(rule.input.axis);
    const int64_t padded = Find(inputs, rule.input.spec->name)->shape().dim(rule.input.axis);
    const Shape& shape = output->tensor.shape();
    if (size == padded) continue;
    if (rule.output.axis >= shape.rank() || shape.dim(rule.output.axis) != padded) {
      return Error(StatusCode::kInternal,
                   "the output '{}' has the shape {}; its dimension {} must be {} as that of the "
                   "input '{}'",
                   output->name, shape.ToString(), rule.output.axis, padded, rule.input.spec->name);
    }
    ASSIGN_OR_RETURN(output->tensor, CutAxis(output->tensor, rule.output.axis, size, memory));
  }
  return OkStatus();
}

}  // namespace penstock::batch
