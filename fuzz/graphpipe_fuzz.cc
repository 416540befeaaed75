// SPDX-License-Identifier: Apache-2.0
// Any bytes as a request of GraphPipe. The verifier that flatc generates must agree with our reader
// in this: what it accepts is not malformed for us; what we accept it accepts, unless a string has
// no zero behind it. Then both must read the same, and an answer with these tensors must pass the
// verifier.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "graphpipe/graphpipe_generated.h"
#include "protocols/graphpipe/request_reader.h"
#include "protocols/graphpipe/response_writer.h"
#include "protocols/graphpipe/types.h"

namespace penstock::graphpipe {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

// Clients need not align anything.
flatbuffers::Verifier VerifierOf(const Slice& bytes) {
  return {reinterpret_cast<const uint8_t*>(bytes.data), bytes.size, 64, 1'000'000,
          /*check_alignment=*/false};
}

std::string_view ViewOf(const flatbuffers::String* text) {
  return text == nullptr ? std::string_view() : text->string_view();
}

using Texts = flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>;

bool EndsInZero(const Slice& message, const flatbuffers::String* text) {
  if (text == nullptr) return true;
  const char* const end = ViewOf(text).data() + text->size();
  return end < message.view().data() + message.size && *end == '\0';
}

bool AllEndInZero(const Slice& message, const Texts* texts) {
  for (uint32_t i = 0; texts != nullptr && i < texts->size(); ++i)
    if (!EndsInZero(message, texts->Get(i))) return false;
  return true;
}

// True if a zero follows each string. REQUIRES: our reader has accepted the message.
bool AllEndInZero(const Slice& message, const ::graphpipe::InferRequest& request) {
  const auto* const tensors = request.input_tensors();
  for (uint32_t i = 0; tensors != nullptr && i < tensors->size(); ++i)
    if (!AllEndInZero(message, tensors->Get(i)->string_val())) return false;
  return EndsInZero(message, request.config()) && AllEndInZero(message, request.input_names()) &&
         AllEndInZero(message, request.output_names());
}

void CompareTensor(const Tensor& ours, const ::graphpipe::Tensor& theirs) {
  Require(DTypeOf(static_cast<uint8_t>(theirs.type())) == ours.dtype());
  const size_t rank = theirs.shape() == nullptr ? 0 : theirs.shape()->size();
  Require(rank == ours.shape().rank());
  for (uint32_t i = 0; i < rank; ++i) Require(theirs.shape()->Get(i) == ours.shape().dim(i));
  if (ours.dtype() == DType::kString) {
    for (uint32_t i = 0; i < ours.strings().size(); ++i)
      Require(ViewOf(theirs.string_val()->Get(i)) == ours.strings()[i].view());
    return;
  }
  for (uint32_t i = 0; i < ours.bytes(); ++i)
    Require(std::byte{theirs.data()->Get(i)} == ours.data()[i]);
}

void Compare(const InferRequest& ours, const ::graphpipe::InferRequest& theirs) {
  const size_t count = theirs.input_tensors() == nullptr ? 0 : theirs.input_tensors()->size();
  Require(count == ours.inputs.size());
  for (uint32_t i = 0; i < count; ++i) {
    const size_t names = theirs.input_names() == nullptr ? 0 : theirs.input_names()->size();
    const std::string_view name =
        i < names ? ViewOf(theirs.input_names()->Get(i)) : std::string_view();
    Require(name.empty() || name == ours.inputs[i].name);
    CompareTensor(ours.inputs[i].tensor, *theirs.input_tensors()->Get(i));
  }
  for (uint32_t i = 0; i < ours.output_filter.size(); ++i)
    Require(ViewOf(theirs.output_names()->Get(i)) == ours.output_filter[i]);
  const std::string_view config = ViewOf(theirs.config());
  Require(config.empty() ? ours.options.empty() : ours.options[0].second == config);
}

void WriteAnswer(const InferRequest& request) {
  RequestMemory memory(1 << 20);
  const StatusOr<ByteChain> answer = WriteInferResponse(
      {request.inputs.data(), request.inputs.size()}, {.gather_bytes_min = 16}, memory);
  if (!answer.ok()) return Require(!MessageOf(answer.status()).empty());
  const Slice bytes = Flatten(*answer);
  const BufferRef aligned = CopyToBuffer(bytes.view());
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t*>(aligned->data()), bytes.size);
  Require(verifier.VerifyBuffer<::graphpipe::InferResponse>(nullptr));
}

}  // namespace
}  // namespace penstock::graphpipe

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock;
  using namespace penstock::graphpipe;
  // Exactly as large as the message, so that a read beyond it is found.
  const std::vector<std::byte> bytes(reinterpret_cast<const std::byte*>(data),
                                     reinterpret_cast<const std::byte*>(data) + size);
  const Slice message{bytes.data(), bytes.size(), {}};
  const size_t landing = RequestLanding(message.span().first(std::min<size_t>(size, 4096)), size);
  Require(landing == 0 || landing < size);

  ModelInfo info;
  info.traits.any_signature = true;
  RequestReader reader;
  RequestMemory memory(1 << 20);
  InferRequest request;
  const Status status = reader.Read(message, info, {}, memory, request);
  auto verifier = VerifierOf(message);
  const bool is_verified = ::graphpipe::VerifyRequestBuffer(verifier);
  if (!status.ok()) {
    const std::string_view text = MessageOf(status);
    Require(!text.empty());
    // The verifier accepts an offset of 0 in a list. Other errors quote names, which may say
    // "malformed", too.
    const bool is_malformed = text.starts_with("the GraphPipe message is malformed") &&
                              text.find("leads to itself") == std::string_view::npos;
    if (is_malformed && is_verified)
      Require(flatbuffers::GetRoot<::graphpipe::Request>(message.data)->req_type() !=
              ::graphpipe::Req::InferRequest);
    return 0;
  }
  const auto& theirs =
      *flatbuffers::GetRoot<::graphpipe::Request>(message.data)->req_as_InferRequest();
  Require(is_verified || !AllEndInZero(message, theirs));
  Compare(request, theirs);
  WriteAnswer(request);
  return 0;
}
