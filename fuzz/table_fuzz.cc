// SPDX-License-Identifier: Apache-2.0
// A table's folder: table.json up to the first NUL; then the length of its file of keys and that
// file; the rest overwrites the index that was made of them, behind its header, and is the file of
// rows, too. What is refused must have a reason. What is served must find no row that is not there.
#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tables/key_index.h"
#include "tables/table_loader.h"

namespace penstock::tables {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

std::string MakeFolder() {
  std::string path = std::filesystem::temp_directory_path() / "penstock_table_fuzz_XXXXXX";
  Require(mkdtemp(path.data()) != nullptr);
  return path;
}

const std::string& Folder() {
  // A file system in memory is quick. What the last input leaves behind is small.
  static const std::string folder = MakeFolder();
  return folder;
}

std::string Write(std::string_view name, std::string_view bytes) {
  std::string path = Folder() + "/" + std::string(name);
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

void TryIndex(KeyType type, std::string_view keys, std::string_view damage) {
  const std::atomic<bool> stop = false;
  const std::string path = Write("index_keys", keys);
  StatusOr<MappedFile> file = MappedFile::Open(path);
  Require(file.ok());
  KeyFile key_file{.type = type, .text = file->text(), .file = &*file};
  key_file.numbers = {reinterpret_cast<const int64_t*>(file->data()), keys.size() / 8};
  std::filesystem::remove(path + ".index");
  {
    const StatusOr<KeyIndex> made = KeyIndex::OpenOrBuild(key_file, path + ".index", stop);
    if (!made.ok()) return Require(MessageOf(made.status()).size() > 4);
    // Every key finds its own row.
    for (uint32_t row = 0; row < made->rows(); ++row) {
      uint32_t found = kNoRow;
      if (type == KeyType::kString) {
        const std::string_view key = made->KeyOf(row);
        const StringElement element{key.data(), key.size()};
        made->Find(std::span(&element, 1), &found);
      } else {
        made->Find(key_file.numbers.subspan(row, 1), &found);
      }
      Require(found == row);
    }
  }
  std::fstream index(path + ".index", std::ios::binary | std::ios::in | std::ios::out);
  const auto body = std::filesystem::file_size(path + ".index") - sizeof(IndexHeader);
  index.seekp(sizeof(IndexHeader));
  index.write(damage.data(), static_cast<std::streamsize>(std::min<size_t>(body, damage.size())));
  index.close();
  const StatusOr<KeyIndex> opened = KeyIndex::Open(key_file, path + ".index");
  Require(opened.ok());
  const std::vector<int64_t> numbers = {0, 1, 7, 8, 9, -1};
  const std::vector<StringElement> strings = {{"red", 3}, {"", 0}, {"blue", 4}};
  std::vector<uint32_t> rows(numbers.size(), kNoRow);
  std::vector<uint32_t> on_disk(numbers.size(), kNoRow);
  if (type == KeyType::kString) {
    opened->Find(strings, rows.data());
    opened->FindOnDisk(strings, on_disk.data());
  } else {
    opened->Find(numbers, rows.data());
    opened->FindOnDisk(numbers, on_disk.data());
  }
  Require(rows == on_disk);
  for (const uint32_t row : rows) Require(row == kNoRow || row < opened->rows());
}

void TryTable(std::string_view keys, std::string_view rows) {
  const std::atomic<bool> stop = false;
  for (const std::string_view name : {"key", "keys.txt", "keys.npy"}) Write(name, keys);
  for (const std::string_view name : {"emb_vector", "rows.npy"}) Write(name, rows);
  const StatusOr<std::unique_ptr<Model>> model = OpenTable(Folder(), {}, stop);
  if (!model.ok()) return Require(MessageOf(model.status()).size() > 4);
  InferRequest request;
  const bool is_string = (*model)->info().signatures[0].inputs[0].dtype == DType::kString;
  request.inputs.push_back(
      {"keys", *Tensor::Allocate(is_string ? DType::kString : DType::kInt64, {3})});
  if (!is_string)
    std::ranges::copy(std::vector<int64_t>{7, 8, 1},
                      request.inputs[0].tensor.mutable_as<int64_t>().begin());
  bool is_answered = false;
  (*model)->Run(request, [&](InferResponse&& part) { is_answered = part.is_last; });
  Require(is_answered);
}

}  // namespace
}  // namespace penstock::tables

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock::tables;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string_view json = input.substr(0, input.find('\0'));
  input.remove_prefix(std::min(json.size() + 1, input.size()));
  const size_t key_bytes = input.empty() ? 0 : static_cast<unsigned char>(input[0]);
  input.remove_prefix(std::min<size_t>(1, input.size()));
  const std::string_view keys = input.substr(0, key_bytes);
  input.remove_prefix(keys.size());
  Write("table.json", json);
  const auto manifest = ParseManifest(json);
  const bool is_string = manifest.ok() && manifest->key_type == KeyType::kString;
  TryIndex(is_string ? KeyType::kString : KeyType::kInt64, keys, input);
  if (manifest.ok()) TryTable(keys, input);
  return 0;
}
