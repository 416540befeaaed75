// SPDX-License-Identifier: Apache-2.0
// The files are written for Python's configparser, which AWS's own tools use, and people expect the
// same here: comments, continued lines, nested settings. All lines are parsed, not only those of
// the profile, so that a mistake anywhere is reported, with its line. No message quotes a line,
// because it may hold a secret.
#include "s3/aws_profile.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "absl/strings/ascii.h"

namespace penstock {
namespace {

constexpr size_t kFileBytesMax = 1 << 20;
constexpr std::string_view kBlanks = " \t\r\f\v";
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr std::string_view kProfile = "profile";

std::string_view Trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool IsComment(std::string_view text) { return text.starts_with('#') || text.starts_with(';'); }

// Cuts off a comment: it starts with a "#" or ";" after a space or tab.
std::string_view WithoutComment(std::string_view text) {
  for (size_t i = 1; i < text.size(); ++i) {
    if (IsComment(text.substr(i)) && kBlanks.find(text[i - 1]) != std::string_view::npos) {
      return text.substr(0, i);
    }
  }
  return text;
}

// Parses the lines of one file in order. One thread.
class Parser final {
 public:
  Parser(const std::string& file, AwsFileKind kind, std::string_view profile)
      : file_(file), kind_(kind), profile_(profile) {}

  Status Take(std::string_view line) {
    ++line_;
    const std::string_view text = Trimmed(line);
    if (text.empty() || IsComment(text)) return OkStatus();
    const size_t indent = line.find_first_not_of(kBlanks);
    // The format is that of Python's configparser, which the AWS command line uses: a line with a
    // deeper indent continues the one above.
    if (has_value_ && indent > indent_) {  // continues the value above, or is a nested setting
      if (value_ != nullptr) value_->text += "\n" + std::string(text);
      return OkStatus();
    }
    return text.starts_with('[') ? TakeSection(text) : TakeValue(text, indent);
  }

  std::optional<AwsProfile> Take() { return std::move(prefixed_ ? prefixed_ : plain_); }

 private:
  Status TakeSection(std::string_view text) {
    has_section_ = true;
    has_value_ = false;
    const size_t end = text.find(']');
    const std::string_view rest =
        end == std::string_view::npos ? "odd" : Trimmed(text.substr(end + 1));
    if (!rest.empty() && !IsComment(rest)) {
      return InvalidArgument("{}:{}: should be '[profile]'", file_, line_);
    }
    std::string_view name = Trimmed(text.substr(1, end - 1));
    const std::string_view behind = name.substr(std::min(name.size(), kProfile.size()));
    // Only the config file has this prefix. In the credentials file "profile x" is a name.
    const bool is_prefixed = kind_ == AwsFileKind::kConfig && name.starts_with(kProfile) &&
                             behind.find_first_of(kBlanks) == 0;
    if (is_prefixed) name = Trimmed(behind);
    const bool may_be_plain = kind_ == AwsFileKind::kCredentials || name == "default";
    section_ = nullptr;
    if (name == profile_ && (is_prefixed || may_be_plain)) {
      section_ = is_prefixed ? &prefixed_ : &plain_;
      if (!*section_) section_->emplace();
    }
    return OkStatus();
  }

  Status TakeValue(std::string_view text, size_t indent) {
    const size_t equals = text.find('=');
    const std::string_view name = Trimmed(text.substr(0, equals));
    if (!has_section_ || equals == std::string_view::npos || name.empty()) {
      return InvalidArgument("{}:{}: should be '[profile]'{} or a comment", file_, line_,
                             has_section_ ? ", 'name = value'" : "");
    }
    has_value_ = true;
    indent_ = indent;
    value_ = nullptr;
    // The line belongs to another profile. It is parsed all the same, so that a mistake anywhere in
    // the file is found.
    if (section_ == nullptr) return OkStatus();
    value_ = &(**section_)[absl::AsciiStrToLower({name.data(), name.size()})];
    *value_ = {std::string(Trimmed(WithoutComment(text.substr(equals + 1)))),
               fmt::format("{}:{}", file_, line_)};
    return OkStatus();
  }

  const std::string& file_;
  const AwsFileKind kind_;
  const std::string_view profile_;
  int line_ = 0;
  bool has_section_ = false;
  bool has_value_ = false;     // in this section
  size_t indent_ = 0;          // of the last value
  AwsValue* value_ = nullptr;  // the last value; null: it belongs to another profile
  std::optional<AwsProfile>* section_ = nullptr;  // null: the section of another profile
  std::optional<AwsProfile> prefixed_;            // the section [profile x], preferred to [x]
  std::optional<AwsProfile> plain_;
};

}  // namespace

StatusOr<std::optional<AwsProfile>> ParseAwsProfile(std::string_view text, const std::string& file,
                                                    AwsFileKind kind, std::string_view profile) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  Parser parser(file, kind, profile);
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    TRY(parser.Take(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parser.Take();
}

StatusOr<std::optional<AwsProfile>> ReadAwsProfile(const std::string& file, AwsFileKind kind,
                                                   std::string_view profile) {
  if (file.empty()) return std::nullopt;
  // Streams do not report the reason of a failure, but the system call below them leaves it here.
  errno = 0;
  std::ifstream stream(file, std::ios::binary);
  if (!stream.is_open()) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    const char* const reason = std::strerror(errno);
    return InvalidArgument("cannot read {}: {}", file, reason);
  }
  std::string text(kFileBytesMax + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (stream.bad()) {
    return InvalidArgument("cannot read {}: is it a file?", file);
  }
  text.resize(static_cast<size_t>(stream.gcount()));
  if (text.size() > kFileBytesMax) {
    return InvalidArgument("{} has more than {} bytes", file, kFileBytesMax);
  }
  return ParseAwsProfile(text, file, kind, profile);
}

}  // namespace penstock
