// SPDX-License-Identifier: Apache-2.0
// The protocol of Redis, version 2 (RESP): reads answers, and writes commands.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::redis {

enum class TokenKind : uint8_t { kArray, kBulk, kNil, kInteger, kSimple, kError };

// One piece of an answer. The elements of an array follow it as tokens of their own.
struct Token {
  TokenKind kind = TokenKind::kNil;
  int64_t number = 0;     // of an integer; or how many elements an array has
  std::string_view text;  // of a bulk, a simple text or an error; in the memory of the reader
};

// Cuts the bytes of a connection into tokens, without a copy: the text of a token lies where the
// socket has written it.
//
//   reader.Added(recv(fd, reader.Space()));
//   while (reader.Next(token) == RespReader::Result::kToken) {
//     ...                                     // use the token before the next call of Space
//     if (reader.answer_has_ended()) ...
//   }
//
// One thread at a time.
class RespReader final {
 public:
  enum class Result { kToken, kMore, kBroken };

  static constexpr size_t kReadBytes = 64 << 10;
  static constexpr size_t kLineBytesMax = 4 << 10;
  static constexpr size_t kDepthMax = 8;
  static constexpr int64_t kElementsMax = 1 << 20;

  // A longer bulk breaks the connection.
  explicit RespReader(size_t bulk_bytes_max) : bulk_bytes_max_(bulk_bytes_max) {}

  // Memory for the next read, never empty. Ends the life of all texts.
  std::span<char> Space();
  // So many bytes were written to it. REQUIRES: no more than it has.
  void Added(size_t bytes) { end_ += bytes; }
  // kMore: the rest of the token has not come yet. kBroken: the bytes are no RESP, or over a limit;
  // problem() says which. No token comes after that.
  Result Next(Token& token);
  // The last token was the last one of its answer.
  bool answer_has_ended() const { return depth_ == 0; }
  std::string_view problem() const { return problem_; }
  // Forgets all input, for a new connection.
  void Clear();

 private:
  Result Broken(std::string_view problem);
  Result TakeBulk(std::string_view number, size_t line_bytes, Token& token);
  Result TakeArray(std::string_view number, Token& token);
  // A value is complete: counts it in the arrays around it.
  void EndValue();

  const size_t bulk_bytes_max_;
  std::unique_ptr<char[]> buffer_;
  size_t capacity_ = 0;
  size_t begin_ = 0;  // the input that is not used yet
  size_t end_ = 0;
  size_t needed_ = 0;                         // bytes that the next token takes, if that is known
  std::array<int64_t, kDepthMax> left_ = {};  // elements that are missing in each open array
  size_t depth_ = 0;
  std::string_view problem_;
};

// A whole answer, for commands that are rare. Immutable once it is made.
struct Value {
  TokenKind kind = TokenKind::kNil;
  int64_t number = 0;
  std::string text;
  std::vector<Value> elements;
};

// Makes a value of tokens. One thread at a time.
class ValueBuilder final {
 public:
  static constexpr size_t kValuesMax = 1 << 19;
  static constexpr size_t kBytesMax = 16 << 20;

  // False: the answer is over a limit.
  bool Add(const Token& token);
  Value Take();

 private:
  struct Open {
    Value value;
    int64_t left;
  };
  void Put(Value value);

  std::vector<Open> open_;
  Value result_;
  size_t values_ = 0;
  size_t bytes_ = 0;
};

// These append a command to `output`: first the number of its arguments, then each of them.
void AppendCount(size_t arguments, std::string& output);
void AppendArgument(std::string_view argument, std::string& output);
// A number, as its decimal digits.
void AppendNumber(int64_t number, std::string& output);
void AppendNumber(uint64_t number, std::string& output);
std::string MakeCommand(std::span<const std::string_view> arguments);

}  // namespace penstock::redis
