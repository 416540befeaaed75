// SPDX-License-Identifier: Apache-2.0
#include "redis/resp.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

namespace penstock::redis {
namespace {

constexpr std::string_view kLineEnd = "\r\n";

bool ParseNumber(std::string_view text, int64_t& number) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc{} && stop == end;
}

void AppendLine(char kind, size_t number, std::string& output) {
  std::array<char, 24> line;
  line[0] = kind;
  char* end = std::to_chars(line.data() + 1, line.data() + line.size() - 2, number).ptr;
  *end++ = '\r';
  *end++ = '\n';
  output.append(line.data(), static_cast<size_t>(end - line.data()));
}

// The length of the digits has one or two digits itself.
template <typename T>
void AppendDigits(T number, std::string& output) {
  constexpr size_t kHead = sizeof("$00\r\n") - 1;
  std::array<char, kHead + 24> text;
  char* const digits = text.data() + kHead;
  char* end = std::to_chars(digits, text.data() + text.size() - 2, number).ptr;
  const auto count = static_cast<size_t>(end - digits);
  char* begin = digits;
  *--begin = '\n';
  *--begin = '\r';
  *--begin = static_cast<char>('0' + count % 10);
  if (count >= 10) *--begin = static_cast<char>('0' + count / 10);
  *--begin = '$';
  *end++ = '\r';
  *end++ = '\n';
  output.append(begin, static_cast<size_t>(end - begin));
}

}  // namespace

std::span<char> RespReader::Space() {
  if (begin_ == end_) begin_ = end_ = 0;
  const size_t wanted =
      std::max(kReadBytes, needed_ > end_ - begin_ ? needed_ - (end_ - begin_) : 0);
  if (capacity_ - end_ >= wanted / 2 && capacity_ > end_ && end_ < kReadBytes)
    return {buffer_.get() + end_, capacity_ - end_};
  const size_t left = end_ - begin_;
  if (left + wanted > capacity_) {
    // It grows with the input that has come, not with what its head promises.
    const size_t capacity =
        std::max(2 * kReadBytes, std::min(left + wanted, 2 * left + kReadBytes));
    std::unique_ptr<char[]> larger(new char[capacity]);
    std::copy_n(buffer_.get() + begin_, left, larger.get());
    buffer_ = std::move(larger);
    capacity_ = capacity;
  } else {
    std::memmove(buffer_.get(), buffer_.get() + begin_, left);
  }
  begin_ = 0;
  end_ = left;
  return {buffer_.get() + end_, capacity_ - end_};
}

RespReader::Result RespReader::Next(Token& token) {
  if (!problem_.empty()) return Result::kBroken;
  const std::string_view input(buffer_.get() + begin_, end_ - begin_);
  if (input.size() < needed_ || input.empty()) return Result::kMore;
  const size_t line_end = input.substr(0, kLineBytesMax).find('\r');
  if (line_end == input.npos) {
    if (input.size() >= kLineBytesMax) return Broken("a line is too long");
    return Result::kMore;
  }
  if (line_end + 1 == input.size()) return Result::kMore;
  if (line_end == 0 || input[line_end + 1] != '\n') return Broken("a line does not end as it must");
  const size_t line_bytes = line_end + kLineEnd.size();
  const std::string_view text = input.substr(1, line_end - 1);
  token = {};
  switch (input[0]) {
    case '$':
      return TakeBulk(text, line_bytes, token);
    case '*':
      begin_ += line_bytes;
      return TakeArray(text, token);
    case '+':
      token.kind = TokenKind::kSimple;
      token.text = text;
      break;
    case '-':
      token.kind = TokenKind::kError;
      token.text = text;
      break;
    case ':':
      token.kind = TokenKind::kInteger;
      if (!ParseNumber(text, token.number)) return Broken("a number has other characters");
      break;
    case '_':
      break;  // the nil of version 3
    default:
      return Broken("an answer begins with an unknown character");
  }
  begin_ += line_bytes;
  EndValue();
  return Result::kToken;
}

RespReader::Result RespReader::TakeBulk(std::string_view number, size_t line_bytes, Token& token) {
  int64_t size = 0;
  if (!ParseNumber(number, size) || size < -1) return Broken("the size of a bulk is no number");
  if (size == -1) {
    begin_ += line_bytes;
    EndValue();
    return Result::kToken;
  }
  if (static_cast<uint64_t>(size) > bulk_bytes_max_) return Broken("a bulk is too long");
  const auto bytes = static_cast<size_t>(size);
  const size_t needed = line_bytes + bytes + kLineEnd.size();
  if (end_ - begin_ < needed) {
    needed_ = needed;
    return Result::kMore;
  }
  needed_ = 0;
  const char* const text = buffer_.get() + begin_ + line_bytes;
  if (text[bytes] != '\r' || text[bytes + 1] != '\n')
    return Broken("a bulk does not end as it must");
  token.kind = TokenKind::kBulk;
  token.text = {text, bytes};
  begin_ += needed;
  EndValue();
  return Result::kToken;
}

RespReader::Result RespReader::TakeArray(std::string_view number, Token& token) {
  if (!ParseNumber(number, token.number) || token.number < -1 || token.number > kElementsMax)
    return Broken("the size of an array is no number, or too large");
  if (token.number == -1) {
    token.number = 0;
    EndValue();
    return Result::kToken;
  }
  token.kind = TokenKind::kArray;
  if (token.number == 0) {
    EndValue();
    return Result::kToken;
  }
  if (depth_ == kDepthMax) return Broken("arrays are nested too deep");
  left_[depth_++] = token.number;
  return Result::kToken;
}

void RespReader::EndValue() {
  while (depth_ > 0 && --left_[depth_ - 1] == 0) --depth_;
}

RespReader::Result RespReader::Broken(std::string_view problem) {
  problem_ = problem;
  return Result::kBroken;
}

void RespReader::Clear() {
  begin_ = end_ = needed_ = depth_ = 0;
  problem_ = {};
}

bool ValueBuilder::Add(const Token& token) {
  bytes_ += token.text.size();
  if (++values_ > kValuesMax || bytes_ > kBytesMax) return false;
  Value value;
  value.kind = token.kind;
  value.number = token.number;
  value.text = token.text;
  if (token.kind == TokenKind::kArray && token.number > 0) {
    open_.push_back({std::move(value), token.number});
  } else {
    Put(std::move(value));
  }
  return true;
}

void ValueBuilder::Put(Value value) {
  while (!open_.empty()) {
    Open& open = open_.back();
    open.value.elements.push_back(std::move(value));
    if (--open.left > 0) return;
    value = std::move(open.value);
    open_.pop_back();
  }
  result_ = std::move(value);
}

Value ValueBuilder::Take() {
  Value result = std::move(result_);
  *this = ValueBuilder();
  return result;
}

void AppendCount(size_t arguments, std::string& output) { AppendLine('*', arguments, output); }

void AppendArgument(std::string_view argument, std::string& output) {
  AppendLine('$', argument.size(), output);
  output.append(argument);
  output.append(kLineEnd);
}

void AppendNumber(int64_t number, std::string& output) { AppendDigits(number, output); }

void AppendNumber(uint64_t number, std::string& output) { AppendDigits(number, output); }

std::string MakeCommand(std::span<const std::string_view> arguments) {
  std::string command;
  AppendCount(arguments.size(), command);
  for (const std::string_view argument : arguments) AppendArgument(argument, command);
  return command;
}

}  // namespace penstock::redis
