// SPDX-License-Identifier: Apache-2.0
// Makes the rows of several requests equal in size, and cuts their answers back. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/request_memory.h"
#include "base/status.h"
#include "batch/batch_settings.h"
#include "infer/request.h"
#include "infer/signature.h"

namespace penstock::batch {

// What is padded in the batches of one signature. Immutable.
class PadPlan final {
 public:
  // Nothing is padded.
  PadPlan() = default;
  // `signature` must outlive it. Rules for inputs that the signature has not are left out. Errors:
  // INVALID_ARGUMENT, if a rule does not fit the signature; the message continues a sentence that
  // starts with its name.
  static StatusOr<PadPlan> Make(const Signature& signature, const PadSettings& settings);

  bool pads() const { return !padded_.empty(); }
  // True if the server fills in inputs, which clients may leave out.
  bool fills() const { return !filled_.empty(); }

  // True if tensors of this input may meet: they have the same type, and rows of the same shape but
  // for dimensions that are padded. Tensors without elements are not padded.
  bool CanJoin(std::string_view input, const Tensor& a, const Tensor& b) const;
  // True if dimensions with the same name have the same size in this request.
  bool IsConsistent(const InferRequest& request) const;
  // The elements of the inputs that may be padded.
  int64_t Elements(const InferRequest& request) const;
  // True if a batch of so many rows may be formed out of inputs with so many elements, of which the
  // longest row has `row_elements`: the padding is not too large a share.
  bool MayPad(int64_t rows, int64_t row_elements, int64_t elements) const;

  // Sets `shape` to the least one into which each of the tensors of an input fits; the number of
  // rows is the sum.
  static void GrowTo(Shape& shape, const Tensor& tensor);
  // Copies the elements of `from` to `to`, which has room for as many rows of `shape`, and pads
  // them. `input` is its name. Returns the end of these rows.
  std::byte* Copy(std::string_view input, const Tensor& from, const Shape& shape,
                  std::byte* to) const;

  // True if `request` has not all the inputs that the server fills in.
  bool MustFill(const InferRequest& request) const;
  // Adds the inputs that the server fills in and that `request` has not, for a run of that request
  // alone. Errors: RESOURCE_EXHAUSTED.
  Status Fill(InferRequest& request) const;
  // As Fill, for a batch of `members`, whose other inputs are in `inputs` already. The first row of
  // the last member comes `extra_rows` times more.
  Status FillBatch(std::span<const InferRequest* const> members, int64_t extra_rows,
                   RequestMemory& memory, NamedTensors& inputs) const;

  // Returns the request with about half the size of the dimensions that are padded: to try whether
  // padding changes answers. Errors: RESOURCE_EXHAUSTED.
  StatusOr<InferRequest> Shorter(const InferRequest& request) const;

  // True if Cut may change anything.
  bool cuts() const { return !cuts_.empty(); }
  // Cuts the outputs of one member of a batch to the size that they would have alone. `inputs` are
  // those of the batch. Errors: INTERNAL, if an output is not as long as the padded input;
  // RESOURCE_EXHAUSTED.
  Status Cut(const InferRequest& member, const NamedTensors& inputs, RequestMemory& memory,
             NamedTensors& outputs) const;

 private:
  // An input that is padded.
  struct Padded {
    const TensorSpec* spec;
    bool uses_first;      // the value is the first element of each tensor
    std::string element;  // the bytes of the value; for strings the text
  };
  // An input that the server fills in, by the size of dimension 1 of another one.
  struct Filled {
    const TensorSpec* spec;
    const TensorSpec* of;
    bool is_mask;  // else it is the length
  };
  // A dimension of an input, or of an output.
  struct Axis {
    const TensorSpec* spec;
    size_t axis;
  };
  // An output that is as long as an input.
  struct CutRule {
    Axis output;
    Axis input;
  };

  const Padded* FindPadded(std::string_view input) const;
  Status AddRule(const Signature& signature, const PadRule& rule);
  Status AddPadded(const TensorSpec& spec, std::string_view value, bool uses_first);
  Status AddFilled(const Signature& signature, const TensorSpec& of, const std::string& name,
                   bool is_mask);
  void FindNames(const Signature& signature);

  double share_max_ = 0;
  std::vector<Padded> padded_;
  std::vector<Filled> filled_;
  std::vector<CutRule> cuts_;
  std::vector<std::pair<Axis, Axis>> equal_;  // dimensions of inputs with the same name
};

}  // namespace penstock::batch
