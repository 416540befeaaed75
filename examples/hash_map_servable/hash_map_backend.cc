// SPDX-License-Identifier: Apache-2.0
// A table as a model: each version is a file table.csv with lines "key,value"; requests look keys
// up. A key with a comma stands in double quotes. The value of the empty key is what keys get that
// are not there. Builds against Penstock's public header alone.
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "penstock/backend.hpp"

namespace {

using namespace penstock::plugin;

// With this and std::equal_to<> the table finds a view without making a string of it.
struct Hash : std::hash<std::string_view> {
  using is_transparent = void;
};
using Table = std::unordered_map<std::string, std::string, Hash, std::equal_to<>>;

enum : uint32_t { kFound = 0, kValue = 1 };  // positions among the outputs

Description Describe() {
  Signature look_up;
  look_up.inputs = {{.name = "key", .dtype = PENSTOCK_STRING, .shape = {-1}, .batch_axis = 0}};
  look_up.outputs = {{.name = "found", .dtype = PENSTOCK_BOOL, .shape = {-1}, .batch_axis = 0},
                     {.name = "value", .dtype = PENSTOCK_STRING, .shape = {-1}, .batch_axis = 0}};
  Description description;
  description.signatures = {std::move(look_up)};
  return description;
}

// Adds the line "key,value"; false if it is none, or the key is there already.
bool AddLine(std::string_view line, Table& table) {
  const bool is_quoted = line.starts_with('"');
  const size_t end = is_quoted ? line.find("\",", 1) : line.find(',');
  if (end == std::string_view::npos) return false;
  const std::string_view key = line.substr(is_quoted, end - is_quoted);
  return table.emplace(key, line.substr(end + (is_quoted ? 2 : 1))).second;
}

// Answers keys with the values of a table. Immutable, so thread-safe.
class TableModel final : public Model {
 public:
  explicit TableModel(Table table) : Model(Describe()), table_(std::move(table)) {
    const auto otherwise = table_.find(std::string_view());
    if (otherwise != table_.end()) default_ = otherwise->second;
  }

  void Run(Request&& request) override {
    const PenstockTensor& key = request.inputs()[0].tensor;
    const auto* keys = static_cast<const PenstockString*>(key.data);
    const int64_t count = key.shape[0];
    Outputs outputs;
    for (const PenstockNamedTensor& wanted : request.outputs()) {
      if (wanted.index == kFound) {
        bool* found = outputs.Add<bool>(request, kFound, PENSTOCK_BOOL, {count});
        for (int64_t i = 0; i < count; ++i) found[i] = Find(keys[i]) != table_.end();
      } else {
        std::vector<std::string> values;
        for (int64_t i = 0; i < count; ++i) {
          const auto at = Find(keys[i]);
          values.push_back(at == table_.end() ? default_ : at->second);
        }
        outputs.AddStrings(kValue, {count}, std::move(values));
      }
    }
    request.Finish(outputs);
  }

 private:
  Table::const_iterator Find(PenstockString key) const {
    // The entry of the empty key is the default, not a key that clients can find.
    return key.size == 0 ? table_.end() : table_.find(View(key));
  }

  const Table table_;
  std::string default_;  // fixed after construction
};

// Loads the tables. Thread-safe.
class TableBackend final : public Backend {
 public:
  explicit TableBackend(const PenstockHost&) {}

  std::unique_ptr<Model> Load(const LoadArguments& arguments) override {
    const std::string path = std::string(arguments.folder) + "/table.csv";
    std::ifstream file(path);
    if (!file) throw Error(PENSTOCK_NOT_FOUND, "cannot read " + path);
    Table table;
    size_t number = 1;
    for (std::string line; std::getline(file, line); ++number) {
      // Files from Windows end their lines with \r\n.
      if (line.ends_with('\r')) line.pop_back();
      if (line.empty() || AddLine(line, table)) continue;
      throw Error(PENSTOCK_INVALID_ARGUMENT, path + ", line " + std::to_string(number) +
                                                 ": not a key, a comma and a value, or a key that "
                                                 "stood there before");
    }
    return std::make_unique<TableModel>(std::move(table));
  }
};

}  // namespace

PENSTOCK_BACKEND(TableBackend, "hash_map", "1.0")
