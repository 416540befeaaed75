// SPDX-License-Identifier: Apache-2.0
// Where the Examples of a request are: the message tensorflow.serving.Input. Reads only the levels
// around the Examples, and copies nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "protocols/tfs/wire_reader.h"
#include "tensor/tensor.h"

namespace penstock::tfs {

// The field `input` of ClassificationRequest, RegressionRequest and MultiInferenceRequest.
inline constexpr uint32_t kInputField = 2;

// The fields of Input, which are alternatives, and of the two lists.
inline constexpr uint32_t kExampleListField = 1;
inline constexpr uint32_t kListWithContextField = 2;
inline constexpr uint32_t kExamplesField = 1;
inline constexpr uint32_t kContextField = 2;

// The Examples of one message, without their content. The views belong to the message, which must
// outlive this object.
//
//   WireError error;
//   ExampleInput input;
//   if (!input.Scan(message, error)) return Malformed(error);
//   input.Visit([&](std::string_view example, bool is_context) { ...; return true; });
//
// Scan and Visit walk the same levels (request, Input, list), so that nothing must be kept for each
// Example. One thread at a time.
class ExampleInput final {
 public:
  // Finds the Examples. `message` is a request, with the Input in its field kInputField. Protobuf's
  // rules hold: the pieces of a list are merged, and of two kinds of list the last one counts.
  // Returns false, with the reason in `error`, if the message is malformed.
  bool Scan(std::string_view message, WireError& error);

  // The results of Scan. count() does not include the context. A context may come in several
  // pieces, which protobuf merges; context_bytes() is the sum of them.
  size_t count() const { return count_; }
  bool has_context() const { return context_pieces_ > 0; }
  size_t context_bytes() const { return context_bytes_; }

  // Calls visit(bytes, is_context) for each Example and each piece of the context, in the order of
  // the message, until it returns false. The context may come behind the Examples. `bytes` is a
  // serialized tensorflow.Example, not checked inside. REQUIRES: Scan has returned true.
  template <typename Visitor>
  void Visit(Visitor visit) const;

 private:
  // Walks over the message. Calls visit.List(kind, at) for each list, whose field number is `kind`,
  // and, if that is true, visit.Example for each field in it. False: malformed, or `visit` has
  // stopped.
  template <typename Visitor>
  bool VisitMessage(WireError& error, Visitor& visit) const;
  template <typename Visitor>
  static bool VisitList(std::string_view list, uint32_t kind, WireError& error, Visitor& visit);

  std::string_view message_;
  const char* start_ = nullptr;  // lists before it are replaced by one of the other kind
  size_t count_ = 0;
  size_t context_pieces_ = 0;
  size_t context_bytes_ = 0;
  size_t example_bytes_ = 0;

  friend StatusOr<Tensor> SerializedExamples(const ExampleInput& input, const BufferRef& owner,
                                             RequestMemory& memory);
};

// Returns a string tensor of the shape [count] with the bytes of each Example, viewed in the
// message that `owner` keeps alive. If there is a context, each string is a copy of it and of the
// Example behind it: protobuf's parser then merges the two. The tensor owns these copies, and
// `memory` counts them. REQUIRES: Scan has returned true. Errors: RESOURCE_EXHAUSTED.
StatusOr<Tensor> SerializedExamples(const ExampleInput& input, const BufferRef& owner,
                                    RequestMemory& memory);

// Implementation below.

// Visits the fields of one list. `visit` returns false to stop.
template <typename Visitor>
bool ExampleInput::VisitList(std::string_view list, uint32_t kind, WireError& error,
                             Visitor& visit) {
  WireReader reader(list, error);
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    const bool is_context =
        kind == kListWithContextField && tag == MakeTag(kContextField, WireType::kLength);
    std::string_view bytes;
    if (is_context || tag == MakeTag(kExamplesField, WireType::kLength)) {
      if (!reader.ReadBytes(bytes) || !visit.Example(bytes, is_context)) return false;
    } else if (!reader.SkipField(tag, kNestingMax - 2)) {
      return false;
    }
  }
  return true;
}

template <typename Visitor>
bool ExampleInput::VisitMessage(WireError& error, Visitor& visit) const {
  WireReader message(message_, error);
  while (!message.AtEnd()) {
    uint32_t tag = 0;
    if (!message.ReadTag(tag)) return false;
    std::string_view input;
    if (tag != MakeTag(kInputField, WireType::kLength)) {
      if (!message.SkipField(tag, kNestingMax)) return false;
      continue;
    }
    if (!message.ReadBytes(input)) return false;
    WireReader reader(input, error);
    while (!reader.AtEnd()) {
      if (!reader.ReadTag(tag)) return false;
      const uint32_t kind = tag >> 3;
      const char* const at = reader.cursor();
      std::string_view list;
      if (tag != MakeTag(kExampleListField, WireType::kLength) &&
          tag != MakeTag(kListWithContextField, WireType::kLength)) {
        if (!reader.SkipField(tag, kNestingMax - 1)) return false;
        continue;
      }
      if (!reader.ReadBytes(list)) return false;
      if (!visit.List(kind, at)) continue;
      if (!VisitList(list, kind, error, visit)) return false;
    }
  }
  return true;
}

template <typename Visitor>
void ExampleInput::Visit(Visitor visit) const {
  // Adapts the function to what VisitMessage calls. One thread at a time.
  struct Adapter {
    bool List(uint32_t, const char* at) const { return at >= start; }
    bool Example(std::string_view bytes, bool is_context) { return visit(bytes, is_context); }
    const char* start;
    Visitor& visit;
  };
  Adapter adapter{start_, visit};
  // Scan has read these bytes without an error, so none can come now.
  WireError error;
  VisitMessage(error, adapter);
}

}  // namespace penstock::tfs
