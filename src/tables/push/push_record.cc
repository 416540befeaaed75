// SPDX-License-Identifier: Apache-2.0
#include "tables/push/push_record.h"

#include <simdjson.h>

namespace penstock::tables {
namespace {

// All of its texts have characters that need no quotes.
std::string MembersOf(const Generation& generation) {
  std::string text =
      fmt::format(R"("generation": "{}", "rows": {}, )", generation.name, generation.rows);
  text += generation.block_rows > 0 ? fmt::format(R"("block_rows": {})", generation.block_rows)
                                    : fmt::format(R"("partitions": {})", generation.partitions);
  if (!generation.key_type.empty())
    text += fmt::format(R"(, "key_type": "{}")", generation.key_type);
  if (!generation.dtype.empty()) text += fmt::format(R"(, "dtype": "{}")", generation.dtype);
  if (generation.dimension > 0) text += fmt::format(R"(, "dimension": {})", generation.dimension);
  return text;
}

}  // namespace

std::string GenerationJson(const Generation& generation) {
  return "{" + MembersOf(generation) + "}";
}

std::string PushRecordJson(const PushRecord& record) {
  std::string text =
      fmt::format(R"({{{}, "source": "{}")", MembersOf(record.generation), record.source);
  if (record.before) text += fmt::format(R"(, "before": {})", GenerationJson(*record.before));
  return text + "}";
}

StatusOr<PushRecord> ParsePushRecord(std::string_view json, bool is_dense) {
  PushRecord record;
  ASSIGN_OR_RETURN(record.generation, ParseGeneration(json, is_dense));
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  std::string_view source;
  if (parser.parse(json.data(), json.size()).get(document) != simdjson::SUCCESS ||
      document["source"].get(source) != simdjson::SUCCESS)
    return InvalidArgument("it has no 'source'");
  record.source = source;
  simdjson::dom::element before;
  if (document["before"].get(before) != simdjson::SUCCESS) return record;
  ASSIGN_OR_RETURN(record.before, ParseGeneration(simdjson::to_string(before), is_dense));
  return record;
}

}  // namespace penstock::tables
