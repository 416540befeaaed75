// SPDX-License-Identifier: Apache-2.0
#include "protocols/tfs/example_input.h"

#include <cstring>

namespace penstock::tfs {
namespace {

// Counts what a message has. One thread at a time.
struct Counter {
  // A list of the other kind replaces all before it.
  bool List(uint32_t list_kind, const char* at) {
    if (list_kind != kind) *this = {.kind = list_kind, .start = at};
    return true;
  }
  bool Example(std::string_view bytes, bool is_context) {
    if (is_context) {
      ++context_pieces;
      context_bytes += bytes.size();
    } else {
      ++count;
      example_bytes += bytes.size();
    }
    return true;
  }

  uint32_t kind = 0;
  const char* start = nullptr;
  size_t count = 0;
  size_t context_pieces = 0;
  size_t context_bytes = 0;
  size_t example_bytes = 0;
};

}  // namespace

bool ExampleInput::Scan(std::string_view message, WireError& error) {
  message_ = message;
  Counter counter;
  if (!VisitMessage(error, counter)) return false;
  start_ = counter.start;
  count_ = counter.count;
  context_pieces_ = counter.context_pieces;
  context_bytes_ = counter.context_bytes;
  example_bytes_ = counter.example_bytes;
  return true;
}

StatusOr<Tensor> SerializedExamples(const ExampleInput& input, const BufferRef& owner,
                                    RequestMemory& memory) {
  ASSIGN_OR_RETURN(
      Tensor tensor,
      Tensor::Allocate(DType::kString, Shape{static_cast<int64_t>(input.count_)}, memory));
  StringElement* element = tensor.mutable_as<StringElement>().data();
  if (!input.has_context()) {
    input.Visit([&](std::string_view bytes, bool) {
      *element++ = {bytes.data(), bytes.size()};
      return true;
    });
    tensor.set_string_owner(owner);
    return tensor;
  }
  // A small request can ask for much memory here: each of many tiny Examples gets a copy of the
  // context. So check before the allocation.
  const uint64_t bytes = uint64_t{input.count_} * input.context_bytes_ + input.example_bytes_;
  if (bytes > memory.bytes_left()) {
    return Error(StatusCode::kResourceExhausted,
                 "the context would be copied to {} Examples, which takes {} bytes: more than the "
                 "limit for the tensors of a request",
                 input.count_, bytes);
  }
  memory.Take(bytes);
  ASSIGN_OR_RETURN(BufferRef buffer, memory.Allocate(bytes));
  char* at = reinterpret_cast<char*>(buffer->data());
  const auto append = [&at](std::string_view piece) {
    if (!piece.empty()) std::memcpy(at, piece.data(), piece.size());
    at += piece.size();
  };
  // The first row joins the pieces of the context, and the others copy it from there.
  const std::string_view context(at, input.context_bytes_);
  input.Visit([&](std::string_view piece, bool is_context) {
    if (is_context) append(piece);
    return true;
  });
  input.Visit([&](std::string_view example, bool is_context) {
    if (is_context) return true;
    if (at != context.data() + context.size()) append(context);
    char* const start = at - context.size();
    append(example);
    *element++ = {start, static_cast<size_t>(at - start)};
    return true;
  });
  tensor.set_string_owner(std::move(buffer));
  return tensor;
}

}  // namespace penstock::tfs
