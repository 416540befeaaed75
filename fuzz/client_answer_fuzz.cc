// SPDX-License-Identifier: Apache-2.0
// Any bytes as an answer to our client in C++. The verifier that flatc generates must agree with
// its reader in this: what it accepts is not malformed for us. What both accept, both must read the
// same.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "answer_reader.h"
#include "graphpipe/graphpipe_generated.h"

namespace penstock_client {
namespace {

constexpr uint64_t kMemoryBytesMax = 1 << 20;

void Require(bool condition) {
  if (!condition) std::abort();
}

Block BlockOf(const uint8_t* data, size_t size) {
  Block block(size);
  if (size != 0) std::memcpy(block.data(), data, size);
  return block;
}

// Servers need not align anything.
template <typename Answer>
bool IsVerified(const uint8_t* data, size_t size) {
  flatbuffers::Verifier verifier(data, size, 64, 1'000'000, /*check_alignment=*/false);
  return verifier.VerifyBuffer<Answer>(nullptr);
}

// What `read` gives; none if it refuses the answer, which may have no other error than those of the
// client.
template <typename Read>
auto Try(bool is_verified, Read read) -> std::optional<decltype(read())> {
  try {
    return read();
  } catch (const ServerError& error) {
    Require(std::string_view(error.what()).size() > 0);
  } catch (const ProtocolError& error) {
    const std::string_view text = error.what();
    // The verifier knows no limit of dimensions, and accepts an offset of 0 in a list.
    Require(!is_verified || !text.starts_with("the message is malformed") ||
            text.find("dimensions") != std::string_view::npos ||
            text.find("leads to itself") != std::string_view::npos);
  }
  return std::nullopt;
}

void CompareOutput(const Output& ours, const ::graphpipe::Tensor& theirs) {
  Require(static_cast<uint8_t>(ours.dtype()) == static_cast<uint8_t>(theirs.type()));
  const uint32_t rank = theirs.shape() == nullptr ? 0 : theirs.shape()->size();
  Require(rank == ours.shape().size());
  for (uint32_t i = 0; i < rank; ++i) Require(theirs.shape()->Get(i) == ours.shape()[i]);
  if (ours.dtype() == DType::kString) {
    for (uint32_t i = 0; i < ours.strings().size(); ++i) {
      const auto* const text = theirs.string_val()->Get(i);
      Require(text->string_view() == ours.strings()[i]);
    }
    return;
  }
  Require(reinterpret_cast<uintptr_t>(ours.bytes().data()) % BytesOf(ours.dtype()) == 0);
  if (!ours.bytes().empty())
    Require(std::memcmp(ours.bytes().data(), theirs.data()->data(), ours.bytes().size()) == 0);
}

// Uses all bytes, so that sanitizers see them.
void Touch(const Output& output) {
  size_t sum = 0;
  for (const std::byte byte : output.bytes()) sum += static_cast<size_t>(byte);
  if (output.dtype() == DType::kString)
    for (const std::string_view text : output.strings())
      for (const char byte : text) sum += static_cast<size_t>(byte);
  static volatile size_t sink;
  sink = sum;
}

void ReadInferResponse(const uint8_t* data, size_t size) {
  const bool is_verified = IsVerified<::graphpipe::InferResponse>(data, size);
  const auto outputs = Try(is_verified, [&] {
    return AnswerReader(BlockOf(data, size), kMemoryBytesMax).InferResponse();
  });
  if (!outputs) return;
  for (const Output& output : *outputs) Touch(output);
  if (!is_verified) return;
  const auto* const tensors =
      flatbuffers::GetRoot<::graphpipe::InferResponse>(data)->output_tensors();
  Require(outputs->size() == (tensors == nullptr ? 0 : tensors->size()));
  for (uint32_t i = 0; i < outputs->size(); ++i) CompareOutput((*outputs)[i], *tensors->Get(i));
}

void ReadMetadataResponse(const uint8_t* data, size_t size) {
  const bool is_verified = IsVerified<::graphpipe::MetadataResponse>(data, size);
  const auto metadata = Try(is_verified, [&] {
    return AnswerReader(BlockOf(data, size), kMemoryBytesMax).MetadataResponse();
  });
  if (!metadata || !is_verified) return;
  const auto& theirs = *flatbuffers::GetRoot<::graphpipe::MetadataResponse>(data);
  Require(metadata->name == (theirs.name() == nullptr ? "" : theirs.name()->string_view()));
  Require(metadata->inputs.size() == (theirs.inputs() == nullptr ? 0 : theirs.inputs()->size()));
}

}  // namespace
}  // namespace penstock_client

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Exactly as large as the answer, so that a read beyond it is found.
  const std::vector<uint8_t> bytes(data, data + size);
  penstock_client::ReadInferResponse(bytes.data(), bytes.size());
  penstock_client::ReadMetadataResponse(bytes.data(), bytes.size());
  return 0;
}
