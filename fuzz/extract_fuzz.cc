// SPDX-License-Identifier: Apache-2.0
// An ONNX file of which `penstock table extract` takes the tables. What is refused must have a
// reason. What is taken out must be complete, and the rest must have nothing more to take.
#include <stdlib.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tables/extract/extract.h"

namespace penstock::tables {
namespace {

namespace fs = std::filesystem;

void Require(bool condition) {
  if (!condition) std::abort();
}

fs::path MakeFolder() {
  std::string path = fs::temp_directory_path() / "penstock_extract_fuzz_XXXXXX";
  Require(mkdtemp(path.data()) != nullptr);
  return path;
}

void TryExtract(const fs::path& folder) {
  ExtractOptions options{.model = folder / "m.onnx", .output = folder / "parts", .bytes_min = 1};
  const auto result = ExtractTables(options, [](const ExtractProgress&) {});
  if (!result.ok()) return Require(MessageOf(result.status()).size() > 4);
  Require(!result->tables.empty() && fs::exists(result->config_file));
  uint64_t bytes = 0;
  fs::path rest;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(options.output)) {
    if (entry.path().filename() == "emb_vector") bytes += entry.file_size();
    if (entry.path().extension() == ".onnx") rest = entry.path();
  }
  for (const ExtractedTable& table : result->tables) bytes -= table.bytes;
  Require(bytes == 0);
  options.model = rest;
  options.output = folder / "again";
  Require(!ExtractTables(options, [](const ExtractProgress&) {}).ok());
}

}  // namespace
}  // namespace penstock::tables

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::filesystem::path folder = penstock::tables::MakeFolder();
  std::ofstream(folder / "m.onnx", std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  penstock::tables::TryExtract(folder);
  for (const char* name : {"parts", "again"}) std::filesystem::remove_all(folder / name);
  return 0;
}
