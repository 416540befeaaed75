// SPDX-License-Identifier: Apache-2.0
// The keys of the body may come in any order, and what the tensors mean depends on
// "signature_name", which often comes last or not at all. To build a tree first would cost a copy
// of everything. So the tensors are read for the default signature as soon as they come, and read
// once more if another name follows.
#include "protocols/tfs_json/predict_decoder.h"

#include <optional>

#include "protocols/tfs_json/input_set.h"
#include "protocols/tfs_json/json_cursor.h"

namespace penstock::tfs_json {
namespace {

// Decodes one body. One thread at a time.
class PredictDecoder {
 public:
  PredictDecoder(const Slice& body, const ModelInfo& info, const DecoderOptions& options,
                 RequestMemory& memory)
      : info_(info),
        options_(options),
        memory_(memory),
        bytes_max_(memory.bytes_left()),
        cursor_(body, options.depth_max) {}

  StatusOr<PredictFormat> Decode(InferRequest& request);

 private:
  bool ReadDocument();
  bool ReadKey();
  bool ReadSignatureName();
  bool ReadTensorsOrSkip(PredictFormat format);
  bool ReadTensors();
  const Signature* FindSignature();

  const ModelInfo& info_;
  const DecoderOptions& options_;
  RequestMemory& memory_;
  const uint64_t bytes_max_;
  JsonCursor cursor_;
  std::optional<std::string_view> signature_name_;
  std::optional<PredictFormat> format_;
  const char* tensors_at_ = nullptr;     // where the value of "instances" or "inputs" starts
  const Signature* read_for_ = nullptr;  // the signature that the tensors were read with
  bool have_read_ = false;
  Status tensors_error_;
  std::optional<InputSet> inputs_;
};

const Signature* PredictDecoder::FindSignature() {
  return info_.FindSignature(signature_name_.value_or(std::string_view()));
}

bool PredictDecoder::ReadSignatureName() {
  if (signature_name_) return cursor_.Fail("the key 'signature_name' comes twice");
  std::string_view name;
  if (cursor_.Peek() != '"') return cursor_.FailSignatureName();
  if (!cursor_.ReadString(name)) return false;
  signature_name_ = name;
  return true;
}

bool PredictDecoder::ReadTensors() {
  cursor_.set_at(tensors_at_);
  inputs_.reset();  // drop an earlier try
  // The memory of the earlier try must not count twice.
  memory_.GiveBack(bytes_max_ - memory_.bytes_left());
  inputs_.emplace(info_.traits.any_signature ? nullptr : read_for_, options_.inputs_max, memory_);
  have_read_ = true;
  return *format_ == PredictFormat::kRow ? inputs_->ReadRows(cursor_)
                                         : inputs_->ReadColumns(cursor_);
}

// Errors of the tensors count only when the signature is known and the rest of the document is
// valid: for another signature the same values may be right. Text that is not JSON is an error at
// once, because no signature accepts it.
bool PredictDecoder::ReadTensorsOrSkip(PredictFormat format) {
  if (format_) {
    return cursor_.Fail(*format_ == format
                            ? fmt::format("the key '{}' comes twice",
                                          format == PredictFormat::kRow ? "instances" : "inputs")
                            : "Not formatted correctly expecting only one of 'inputs' or "
                              "'instances' keys to exist");
  }
  format_ = format;
  cursor_.Peek();
  tensors_at_ = cursor_.at();
  read_for_ = FindSignature();
  // If there is no default signature, the name must still follow. The tensors are read then.
  if (read_for_ != nullptr || info_.traits.any_signature) {
    if (ReadTensors()) return true;
    if (cursor_.has_bad_syntax()) return false;
    tensors_error_ = cursor_.TakeError();
    cursor_.set_at(tensors_at_);
  }
  return cursor_.SkipValue();
}

bool PredictDecoder::ReadKey() {
  std::string_view key;
  if (!cursor_.ReadString(key) || !cursor_.Expect(':', "':'")) return false;
  if (key == "instances") return ReadTensorsOrSkip(PredictFormat::kRow);
  if (key == "inputs") return ReadTensorsOrSkip(PredictFormat::kColumn);
  if (key == "signature_name") return ReadSignatureName();
  return cursor_.SkipValue();
}

bool PredictDecoder::ReadDocument() {
  char first = cursor_.Peek();
  if (first != '{') [[unlikely]] {
    cursor_.SkipByteOrderMark();
    first = cursor_.Peek();
  }
  if (cursor_.AtEnd()) return cursor_.Fail("JSON Parse error: The document is empty");
  if (first != '{') {
    return cursor_.FailValue("Is not object, as the body of a predict request must be");
  }
  cursor_.Advance();
  if (cursor_.Peek() == '}') return true;
  for (;;) {
    if (!ReadKey()) return false;
    // TensorFlow Serving ignores what follows the object. So does this.
    if (cursor_.Peek() == '}') return true;
    if (!cursor_.Expect(',', "',' or '}'")) return false;
  }
}

StatusOr<PredictFormat> PredictDecoder::Decode(InferRequest& request) {
  if (!ReadDocument()) return cursor_.error();
  if (!format_) return absl::InvalidArgumentError("Missing 'inputs' or 'instances' key");
  if (!info_.traits.any_signature) {
    const Signature* const signature = FindSignature();
    if (signature == nullptr) {
      // The name is the client's, and may have any length.
      constexpr size_t kShownMax = 100;
      const std::string_view name = signature_name_.value_or(kDefaultSignatureName);
      return InvalidArgument("Serving signature name: \"{}\" not found in signature def. {}",
                             name.substr(0, kShownMax), WhyNoSignature(info_, name));
    }
    // The errors of a reading with the wrong signature mean nothing.
    if (!have_read_ || signature != read_for_) {
      read_for_ = signature;
      if (!ReadTensors()) return cursor_.error();
      tensors_error_ = OkStatus();
    }
  }
  TRY(tensors_error_);
  request.signature_name = signature_name_.value_or(std::string_view());
  TRY(inputs_->Finish(cursor_.StringOwner(), request.inputs));
  // The names of the inputs may be views of the body.
  request.names_owner = cursor_.StringOwner();
  return *format_;
}

}  // namespace

StatusOr<PredictFormat> DecodePredictRequest(const Slice& body, const ModelInfo& info,
                                             const DecoderOptions& options, RequestMemory& memory,
                                             InferRequest& request) {
  return PredictDecoder(body, info, options, memory).Decode(request);
}

StatusOr<PredictFormat> DecodePredictRequest(const Slice& body, const ModelInfo& info,
                                             const DecoderOptions& options, InferRequest& request) {
  RequestMemory memory(options.tensor_bytes_max);
  return DecodePredictRequest(body, info, options, memory, request);
}

}  // namespace penstock::tfs_json
