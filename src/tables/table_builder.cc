// SPDX-License-Identifier: Apache-2.0
#include "tables/table_builder.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "base/os/durable_file.h"
#include "tables/key_hash.h"
#include "tables/mapped_file.h"
#include "tables/mmap_store.h"
#include "tables/output_folder.h"
#include "tables/text_fields.h"

namespace penstock::tables {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBytesPerReport = 1 << 20;

StatusOr<char> DelimiterOf(const BuildOptions& options) {
  if (options.delimiter != 0) return options.delimiter;
  if (options.input.ends_with(".csv")) return ',';
  if (options.input.ends_with(".tsv")) return '\t';
  if (options.input.ends_with(".txt")) return ' ';
  return InvalidArgument(
      "{}: what separates its fields? The name ends neither in .csv nor in .tsv or .txt, so say "
      "--delimiter",
      options.input);
}

// Reads the lines of the input. One thread at a time.
class LineReader final {
 public:
  LineReader(const BuildOptions& options, char delimiter, OutputFile& keys, OutputFile& rows)
      : options_(options), delimiter_(delimiter), keys_(keys), rows_(rows) {}

  // `line` has no line break.
  Status Read(std::string_view line) {
    ++lines_;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) return OkStatus();
    if (const Status status = ReadFields(line); !status.ok())
      return InvalidArgument("{}, line {}: {}", options_.input, lines_, MessageOf(status));
    return OkStatus();
  }
  const BuildResult& result() const { return result_; }

 private:
  Status ReadFields(std::string_view line) {
    TRY(SplitFields(line, delimiter_, fields_, unquoted_));
    const size_t first = options_.key_type == KeyType::kDense ? 0 : 1;
    if (fields_.size() <= first)
      return InvalidArgument("there are no numbers behind the key; is the delimiter right?");
    if (lines_ == 1 && IsHeader(std::span(fields_).subspan(first))) return OkStatus();
    const uint64_t dimension = fields_.size() - first;
    if (result_.dimension == 0) result_.dimension = dimension;
    if (dimension != result_.dimension)
      return InvalidArgument("it has {} numbers; the lines before it have {}", dimension,
                             result_.dimension);
    if (dimension > kDimensionMax)
      return InvalidArgument("it has {} numbers; a row has at most {}", dimension, kDimensionMax);
    return ReadRow(first);
  }

  // The first line has names if no field is a number. One that has both is a row with an error.
  bool IsHeader(std::span<const std::string_view> fields) const {
    std::string ignored;
    return options_.has_header.value_or(std::ranges::none_of(fields, [&](std::string_view field) {
      return AppendNumber(field, DType::kFloat64, ignored);
    }));
  }

  Status ReadRow(size_t first) {
    row_.clear();
    for (size_t i = first; i < fields_.size(); ++i) {
      if (!AppendNumber(fields_[i], options_.dtype, row_))
        return InvalidArgument("'{:.40}' in field {} is no {}", fields_[i], i + 1,
                               DTypeName(options_.dtype));
    }
    ASSIGN_OR_RETURN(const uint64_t hash, ReadKey());
    if (hash % options_.shard.count != options_.shard.index) return OkStatus();
    ++result_.rows;
    TRY(keys_.Append(key_));
    return rows_.Append(row_);
  }

  // Sets key_, and returns the hash that decides about the shard.
  StatusOr<uint64_t> ReadKey() {
    key_.clear();
    if (options_.key_type == KeyType::kDense) return dense_++;
    if (options_.key_type == KeyType::kString) {
      key_ = fields_[0];
      if (key_.find('\n') != key_.npos) return InvalidArgument("the key has a line break");
      const uint64_t hash = HashKey(std::string_view(key_));
      key_ += '\n';
      return hash;
    }
    if (!AppendNumber(fields_[0], DType::kInt64, key_))
      return InvalidArgument(
          "the key '{:.40}' is no int64; --key_type=string takes keys of any text", fields_[0]);
    int64_t key = 0;
    std::memcpy(&key, key_.data(), sizeof(key));
    return HashKey(key);
  }

  const BuildOptions& options_;
  const char delimiter_;
  OutputFile& keys_;
  OutputFile& rows_;
  uint64_t lines_ = 0;
  uint64_t dense_ = 0;
  BuildResult result_;
  std::vector<std::string_view> fields_;
  std::vector<std::string> unquoted_;
  std::string row_;
  std::string key_;
};

std::string ManifestText(const BuildOptions& options, const BuildResult& result,
                         std::string_view keys_file, const OutputFile& keys,
                         const OutputFile& rows) {
  const bool is_dense = options.key_type == KeyType::kDense;
  std::string text =
      fmt::format(R"({{"format": 1, "key_type": "{}", "dtype": "{}", "dimension": {})",
                  KeyTypeName(options.key_type), DTypeName(options.dtype), result.dimension);
  if (options.default_value) text += fmt::format(R"(, "default_row": {})", *options.default_value);
  if (options.shard.count > 1)
    text += fmt::format(R"(, "shard": {{"index": {}, "count": {}, "hash": "{}"}})",
                        options.shard.index, options.shard.count, is_dense ? "modulo" : "mix64");
  text += fmt::format(R"(, "checksums": {{"emb_vector": "crc32c:{:08x}")", rows.checksum());
  if (!is_dense) text += fmt::format(R"(, "{}": "crc32c:{:08x}")", keys_file, keys.checksum());
  return text + "}}\n";
}

// Returns the error with the name of the file that the user knows in place of `path`, which will be
// gone.
Status WithNameOfInput(const Status& status, const std::string& path, const BuildOptions& options) {
  std::string text(MessageOf(status));
  const size_t at = text.find(path);
  if (status.ok() || at == text.npos) return status;
  text.replace(at, path.size(), options.input);
  return Error(status.code(), "{} (rows are counted from 0, without the header{})", text,
               options.shard.count > 1 ? " and the keys of other shards" : "");
}

// Reads all lines.
Status ReadLines(std::string_view text, LineReader& reader,
                 const std::function<void(const BuildProgress&)>& progress) {
  uint64_t reported = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    TRY(reader.Read(text.substr(begin, end - begin)));
    begin = end + 1;
    if (begin - reported < kBytesPerReport) continue;
    reported = begin;
    progress({.bytes = begin, .bytes_all = text.size(), .rows = reader.result().rows});
  }
  return OkStatus();
}

}  // namespace

StatusOr<BuildResult> BuildTable(const BuildOptions& options,
                                 const std::function<void(const BuildProgress&)>& progress) {
  if (!IsBuildable(options.dtype))
    return InvalidArgument("rows of {} cannot be made from text", DTypeName(options.dtype));
  ASSIGN_OR_RETURN(const char delimiter, DelimiterOf(options));
  ASSIGN_OR_RETURN(const MappedFile input, MappedFile::Open(options.input));
  std::error_code ignored;
  const fs::path output = fs::absolute(options.output, ignored).lexically_normal();
  if (fs::exists(output, ignored))
    return Error(StatusCode::kFailedPrecondition,
                 "{} exists; the output must be the new folder of a version", options.output);
  UnfinishedFolder folder(output.has_filename() ? output : output.parent_path());
  TRY(folder.Make());
  const std::string_view keys_file = options.key_type == KeyType::kString ? "keys.txt" : "key";
  BuildResult result;
  {
    OutputFile keys(folder / keys_file);
    OutputFile rows(folder / "emb_vector");
    LineReader reader(options, delimiter, keys, rows);
    TRY(ReadLines(input.text(), reader, progress));
    TRY(keys.Finish());
    TRY(rows.Finish());
    result = reader.result();
    if (result.dimension == 0) return InvalidArgument("{} has no rows", options.input);
    TRY(ReplaceFileDurably(folder / kManifestName,
                           ManifestText(options, result, keys_file, keys, rows)));
  }
  if (options.key_type == KeyType::kDense) fs::remove(folder / keys_file, ignored);
  progress(
      {.bytes = input.size(), .bytes_all = input.size(), .rows = result.rows, .makes_index = true});
  // This makes the index, and checks that the table can be served.
  const std::atomic<bool> stop = false;
  ASSIGN_OR_RETURN(const Manifest manifest, ReadManifest(folder.path()));
  TRY(WithNameOfInput(MmapStore::Open(folder.path(), manifest, stop).status(), folder / keys_file,
                      options));
  TRY(folder.Keep());
  return result;
}

}  // namespace penstock::tables
