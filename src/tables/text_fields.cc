// SPDX-License-Identifier: Apache-2.0
#include "tables/text_fields.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <type_traits>

namespace penstock::tables {
namespace {

// Takes a field in quotes off `rest`, which begins with a quote.
Status TakeQuoted(std::string_view& rest, std::string& field) {
  for (size_t at = 1;;) {
    const size_t quote = rest.find('"', at);
    if (quote == rest.npos) return InvalidArgument("a quote is not closed in its line");
    field += rest.substr(at, quote - at);
    if (quote + 1 == rest.size() || rest[quote + 1] != '"') {
      rest.remove_prefix(quote + 1);
      return OkStatus();
    }
    field += '"';
    at = quote + 2;
  }
}

template <typename T>
bool AppendParsed(std::string_view text, std::string& row) {
  T number = 0;
  const char* begin = text.data();
  const char* const end = begin + text.size();
  if (text.starts_with('+')) ++begin;
  const auto [stop, error] = std::from_chars(begin, end, number);
  if (error != std::errc{} || stop != end) return false;
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isinf(number)) return false;
  }
  row.append(reinterpret_cast<const char*>(&number), sizeof(T));
  return true;
}

std::string_view Trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

}  // namespace

Status SplitFields(std::string_view line, char delimiter, std::vector<std::string_view>& fields,
                   std::vector<std::string>& unquoted) {
  fields.clear();
  unquoted.clear();
  // Views of its strings must stay valid.
  unquoted.reserve(line.size() / 2 + 1);
  while (delimiter == ' ' && line.ends_with(' ')) line.remove_suffix(1);
  for (std::string_view rest = line;;) {
    if (delimiter != ' ' && rest.starts_with('"')) {
      TRY(TakeQuoted(rest, unquoted.emplace_back()));
      fields.emplace_back(unquoted.back());
      if (!rest.empty() && rest[0] != delimiter)
        return InvalidArgument("a delimiter must follow a field in quotes");
    } else {
      const size_t end = std::min(rest.find(delimiter), rest.size());
      fields.push_back(rest.substr(0, end));
      rest.remove_prefix(end);
    }
    if (rest.empty()) return OkStatus();
    rest.remove_prefix(1);
    while (delimiter == ' ' && rest.starts_with(' ')) rest.remove_prefix(1);
  }
}

bool AppendNumber(std::string_view text, DType dtype, std::string& row) {
  text = Trimmed(text);
  switch (dtype) {
    case DType::kFloat32:
      return AppendParsed<float>(text, row);
    case DType::kFloat64:
      return AppendParsed<double>(text, row);
    case DType::kInt8:
      return AppendParsed<int8_t>(text, row);
    case DType::kUint8:
      return AppendParsed<uint8_t>(text, row);
    case DType::kInt16:
      return AppendParsed<int16_t>(text, row);
    case DType::kUint16:
      return AppendParsed<uint16_t>(text, row);
    case DType::kInt32:
      return AppendParsed<int32_t>(text, row);
    case DType::kUint32:
      return AppendParsed<uint32_t>(text, row);
    case DType::kInt64:
      return AppendParsed<int64_t>(text, row);
    case DType::kUint64:
      return AppendParsed<uint64_t>(text, row);
    default:
      return false;
  }
}

bool IsBuildable(DType dtype) {
  std::string row;
  return AppendNumber("0", dtype, row);
}

}  // namespace penstock::tables
