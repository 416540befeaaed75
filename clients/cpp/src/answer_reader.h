// SPDX-License-Identifier: Apache-2.0
// Reads the answers of GraphPipe.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "block.h"
#include "flat_reader.h"
#include "penstock_client/client.h"

namespace penstock_client {

// Reads one answer, which it keeps in memory for the outputs. The functions throw ProtocolError if
// the answer is wrong, and ServerError if it has an error. One thread at a time.
class AnswerReader {
 public:
  // `memory_bytes_max`: for what is made of the answer beside the answer itself. Many offsets may
  // lead to the same bytes, so a small answer could ask for much; it gets 64 MiB and 16 times its
  // size at most. `retry_after`: for an error within the answer.
  AnswerReader(Block answer, uint64_t memory_bytes_max,
               std::optional<std::chrono::seconds> retry_after = std::nullopt);

  std::vector<Output> InferResponse();
  ModelMetadata MetadataResponse();

 private:
  void ThrowError(const FlatTable& response) const;
  Output ReadOutput(const FlatTable& table);
  void ReadNumbers(const FlatTable& table, Output& output);
  void ReadStrings(const FlatTable& table, Output& output);
  Shape ReadShape(const FlatTable& table, int slot);
  std::string ReadText(const FlatTable& table, int slot);
  std::vector<IOMetadata> ReadIOMetadata(const FlatTable& table, int slot);
  // Throws if there is no such memory left.
  void TakeMemory(uint64_t bytes);

  const std::shared_ptr<const Block> answer_;
  const FlatReader reader_;
  uint64_t memory_left_;
  const std::optional<std::chrono::seconds> retry_after_;
};

}  // namespace penstock_client
