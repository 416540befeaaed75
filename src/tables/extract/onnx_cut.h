// SPDX-License-Identifier: Apache-2.0
// Writes an ONNX model without the tables that were taken out of it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tables/extract/onnx_graph.h"

namespace penstock::tables {

// Bytes that were made, and views of a file between them. So a large message can be put together
// without a copy. One thread at a time.
class Rope final {
 public:
  // Copies the text.
  void Append(std::string_view text);
  // Views it. It must outlive the rope.
  void AppendView(std::string_view view);
  // Appends a field that is a message.
  void AppendMessage(uint32_t field, Rope message);

  struct Piece {
    std::string text;
    std::string_view view;  // instead of `text`, if it is not empty
    std::string_view bytes() const { return view.empty() ? std::string_view(text) : view; }
  };
  const std::vector<Piece>& pieces() const { return pieces_; }
  uint64_t size() const { return size_; }

 private:
  std::vector<Piece> pieces_;
  uint64_t size_ = 0;
};

// What is different in the new model.
struct OnnxCut {
  struct NewInput {
    std::string name;
    std::string_view output;  // of the Gather that it replaces
    int type = 0;
    const OnnxInput* indices = nullptr;  // has the shape, but for the last dimension
    uint64_t dimension = 0;
  };
  std::set<std::string_view> initializers;         // are left out, also as inputs
  std::map<const char*, const NewInput*> gathers;  // by where the NodeProto begins
};

// Data that is copied from a file beside the model into the new one.
struct CopiedData {
  std::string location;
  uint64_t offset = 0;  // in that file
  uint64_t length = 0;
  uint64_t new_offset = 0;  // in the new file
};

// Makes the model with the cuts. Gathers become Identities of new inputs. `data_file`: the name of
// the new file for the data that lies beside the model; `data` says what is copied to it.
// `bytes_of` returns the length of a file that is named in the model. Errors: those of `bytes_of`,
// and INVALID_ARGUMENT for data that is longer than its file. One thread at a time.
class OnnxCutter final {
 public:
  using BytesOfFile = std::function<StatusOr<uint64_t>(const std::string& location)>;

  OnnxCutter(const OnnxCut& cut, std::string_view data_file, BytesOfFile bytes_of)
      : cut_(cut), data_file_(data_file), bytes_of_(std::move(bytes_of)) {}

  StatusOr<Rope> Cut(std::string_view model);
  const std::vector<CopiedData>& data() const { return data_; }
  uint64_t data_bytes() const { return data_bytes_; }

 private:
  enum class Kind : uint8_t {
    kModel,
    kGraph,
    kInnerGraph,
    kFunction,
    kNode,
    kAttribute,
    kSparse,
    kTensor
  };

  // The kind of a field that may have data in it. False: copy it as it is.
  static bool KindOf(Kind outer, uint32_t field, Kind& inner);
  bool Copy(Kind kind, std::string_view message, Rope& to);
  bool CopyTensor(std::string_view message, Rope& to);
  bool AppendExternal(const OnnxTensor& tensor, std::string_view message, Rope& to);
  bool IsLeftOut(Kind kind, const OnnxField& field) const;
  void AppendNewInputs(Rope& to) const;

  const OnnxCut& cut_;
  const std::string data_file_;
  const BytesOfFile bytes_of_;
  std::vector<CopiedData> data_;
  uint64_t data_bytes_ = 0;
  Status problem_;
};

}  // namespace penstock::tables
