// SPDX-License-Identifier: Apache-2.0
#include "exchange.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>
#include <ctime>
#include <limits>
#include <new>
#include <optional>
#include <utility>

#include "penstock_client/errors.h"
#include "throw_server_error.h"

namespace penstock_client {
namespace {

// Smaller requests are one piece, which leaves in one packet with its head. libcurl does that for
// less than 64 KiB.
constexpr size_t kJoinedBytesMax = 60 << 10;
constexpr size_t kErrorTextBytesMax = 64 << 10;
constexpr size_t kHeadBytesMax = 256
                                 << 10;  // libcurl refuses from 300 KiB on, as a lost connection
// It fits into every unit of time down to nanoseconds.
constexpr std::chrono::seconds kRetryAfterMax{std::numeric_limits<int32_t>::max()};

std::string_view Trimmed(std::string_view text) {
  const size_t end = text.find_last_not_of(" \t\r\n");
  return text.substr(0, end == std::string_view::npos ? 0 : end + 1);
}

// The value of a field, if the line is one with this name, which is in small letters.
std::optional<std::string_view> ValueOf(std::string_view line, std::string_view name) {
  if (line.size() <= name.size() || line[name.size()] != ':') return std::nullopt;
  for (size_t i = 0; i < name.size(); ++i)
    if ((line[i] >= 'A' && line[i] <= 'Z' ? line[i] + ('a' - 'A') : line[i]) != name[i])
      return std::nullopt;
  line = Trimmed(line.substr(name.size() + 1));
  return line.substr(std::min(line.find_first_not_of(" \t"), line.size()));
}

// Seconds, or a date. None: neither, or no time to wait.
std::optional<std::chrono::seconds> RetryAfterOf(std::string_view value) {
  int64_t seconds = 0;
  const char* const end = value.data() + value.size();
  const auto parsed = std::from_chars(value.data(), end, seconds);
  if (parsed.ptr == end && parsed.ec == std::errc::result_out_of_range && value[0] != '-')
    seconds = kRetryAfterMax.count();
  else if (parsed.ptr != end || parsed.ec != std::errc())
    seconds = int64_t{curl_getdate(std::string(value).c_str(), nullptr)} - std::time(nullptr);
  if (seconds <= 0) return std::nullopt;
  return std::min(std::chrono::seconds(seconds), kRetryAfterMax);
}

}  // namespace

void Exchange::Attach() {
  SetOption(handle_, CURLOPT_ERRORBUFFER, reason_);
  SetOption(handle_, CURLOPT_HEADERFUNCTION, &OnHead);
  SetOption(handle_, CURLOPT_HEADERDATA, static_cast<void*>(this));
  SetOption(handle_, CURLOPT_WRITEFUNCTION, &OnBody);
  SetOption(handle_, CURLOPT_WRITEDATA, static_cast<void*>(this));
  SetOption(handle_, CURLOPT_PREREQFUNCTION, &OnSendBegins);
  SetOption(handle_, CURLOPT_PREREQDATA, static_cast<void*>(this));
  SetOption(handle_, CURLOPT_POST, 1L);
  SetOption(handle_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.bytes()));
  if (request_.bytes() <= kJoinedBytesMax) {
    for (const auto& piece : request_.pieces())
      joined_.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    SetOption(handle_, CURLOPT_POSTFIELDS, joined_.c_str());
    return;
  }
  SetOption(handle_, CURLOPT_POSTFIELDS, static_cast<const char*>(nullptr));
  SetOption(handle_, CURLOPT_READFUNCTION, &OnSend);
  SetOption(handle_, CURLOPT_READDATA, static_cast<void*>(this));
  SetOption(handle_, CURLOPT_SEEKFUNCTION, &OnSeek);
  SetOption(handle_, CURLOPT_SEEKDATA, static_cast<void*>(this));
}

Answer Exchange::Run(const Deadline& deadline) {
  const CURLcode code = Perform(deadline);
  SetOption(handle_, CURLOPT_ERRORBUFFER, static_cast<char*>(nullptr));
  if (error_ != nullptr) std::rethrow_exception(error_);
  if (code == CURLE_OK && !has_head_)
    throw ConnectionLost("the server closed the connection within the head of the answer");
  if (status_ == 0) curl_easy_getinfo(handle_, CURLINFO_RESPONSE_CODE, &status_);
  const bool has_whole_text = code == CURLE_OK || text_.size() >= kErrorTextBytesMax;
  if (status_ != 0 && status_ != 200 && has_whole_text) {
    std::string text(Trimmed(text_));
    if (text.empty()) text = "the server gave no reason";
    ThrowServerError(status_, std::move(text), retry_after_);
  }
  if (code != CURLE_OK) Throw(code, deadline);
  return {body_.Take(), retry_after_};
}

CURLcode Exchange::PerformOnce(const Deadline& deadline) {
  long left_ms = 0;  // without an end
  if (const auto left = deadline.Left())
    left_ms = std::max(
        1L, static_cast<long>(std::chrono::ceil<std::chrono::milliseconds>(*left).count()));
  SetOption(handle_, CURLOPT_TIMEOUT_MS, left_ms);
  return curl_easy_perform(handle_);
}

// libcurl sends a request again by itself (see OnSendBegins), but counts the ends of all kept
// connections of a handle, and gives up at each seventh.
CURLcode Exchange::Perform(const Deadline& deadline) {
  const CURLcode code = PerformOnce(deadline);
  if (code != CURLE_RECV_ERROR && code != CURLE_SEND_ERROR && code != CURLE_GOT_NOTHING)
    return code;
  long connects = 0;
  curl_easy_getinfo(handle_, CURLINFO_NUM_CONNECTS, &connects);
  if (connects != 0 || times_sent_ != 1 || head_bytes_ != 0) return code;
  piece_ = 0;
  offset_ = 0;
  SetOption(handle_, CURLOPT_FRESH_CONNECT, 1L);
  return PerformOnce(deadline);
}

size_t Exchange::OnHead(char* bytes, size_t, size_t count, void* exchange) {
  auto& self = *static_cast<Exchange*>(exchange);
  try {
    self.TakeHeadLine({bytes, count});
    return count;
  } catch (...) {  // it may not pass through libcurl
    self.error_ = std::current_exception();
    return 0;
  }
}

void Exchange::TakeHeadLine(std::string_view line) {
  head_bytes_ += line.size();
  if (head_bytes_ > kHeadBytesMax)
    throw ProtocolError("the head of the answer has more than " + std::to_string(kHeadBytesMax) +
                        " bytes");
  if (line.starts_with("HTTP/")) {  // "100 Continue" may be before it
    has_head_ = false;
    retry_after_.reset();
  } else if (line == "\r\n" || line == "\n") {
    has_head_ = true;
  } else if (!has_head_ && !retry_after_) {  // otherwise it is a trailer, or a second one
    if (const auto value = ValueOf(line, "retry-after")) retry_after_ = RetryAfterOf(*value);
  }
}

size_t Exchange::OnBody(char* bytes, size_t, size_t count, void* exchange) {
  auto& self = *static_cast<Exchange*>(exchange);
  try {
    return self.TakeBody(std::as_bytes(std::span(bytes, count))) ? count : 0;
  } catch (...) {  // it may not pass through libcurl
    self.error_ = std::current_exception();
    return 0;
  }
}

bool Exchange::TakeBody(std::span<const std::byte> bytes) {
  if (status_ == 0) {
    curl_easy_getinfo(handle_, CURLINFO_RESPONSE_CODE, &status_);
    curl_off_t length = -1;
    curl_easy_getinfo(handle_, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (status_ == 200 && length > 0) body_.Expect(static_cast<uint64_t>(length));
  }
  if (status_ != 200) return TakeText(bytes);
  body_.Add(bytes);
  return true;
}

bool Exchange::TakeText(std::span<const std::byte> bytes) {
  const size_t count = std::min(bytes.size(), kErrorTextBytesMax - text_.size());
  text_.append(reinterpret_cast<const char*>(bytes.data()), count);
  return text_.size() < kErrorTextBytesMax;
}

size_t Exchange::OnSend(char* bytes, size_t, size_t count, void* exchange) {
  auto& self = *static_cast<Exchange*>(exchange);
  const auto& pieces = self.request_.pieces();
  size_t sent = 0;
  while (sent < count && self.piece_ < pieces.size()) {
    const auto rest = pieces[self.piece_].subspan(self.offset_);
    const size_t part = std::min(rest.size(), count - sent);
    if (part != 0) std::memcpy(bytes + sent, rest.data(), part);
    sent += part;
    self.offset_ += part;
    if (part == rest.size()) {
      ++self.piece_;
      self.offset_ = 0;
    }
  }
  return sent;
}

// libcurl calls it before it sends a request again.
int Exchange::OnSeek(void* exchange, curl_off_t offset, int origin) {
  auto& self = *static_cast<Exchange*>(exchange);
  if (offset != 0 || origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  self.piece_ = 0;
  self.offset_ = 0;
  return CURL_SEEKFUNC_OK;
}

// By itself, libcurl sends a request again if a connection that was kept ends before a line of the
// answer. That is right once, and for as long as there is a budget.
int Exchange::OnSendBegins(void* exchange, char*, char*, int, int) {
  auto& self = *static_cast<Exchange*>(exchange);
  ++self.times_sent_;
  if (self.times_sent_ == 1) return CURL_PREREQFUNC_OK;
  return self.times_sent_ == 2 && self.budget_.MayResend() ? CURL_PREREQFUNC_OK
                                                           : CURL_PREREQFUNC_ABORT;
}

void Exchange::Throw(CURLcode code, const Deadline& deadline) const {
  std::string reason = reason_[0] != '\0' ? reason_ : curl_easy_strerror(code);
  switch (code) {
    case CURLE_OUT_OF_MEMORY:
      if (times_sent_ == 0) throw std::bad_alloc();
      // It is what libcurl says of a line of more than 100 KB, too.
      throw ProtocolError("a line in the head of the answer is too long, or memory is short: " +
                          reason);
    case CURLE_OPERATION_TIMEDOUT:
      // libcurl's clock may be a little ahead.
      if (deadline.at() && Deadline::Clock::now() + std::chrono::milliseconds(5) >= *deadline.at())
        deadline.Expire("the answer");
      throw TimeoutExpired("no connection: " + reason + " (connect_timeout)");
    case CURLE_ABORTED_BY_CALLBACK:
      throw ConnectionLost("the server closed the connection without an answer");
    case CURLE_GOT_NOTHING:
      throw ConnectionLost("the server closed the connection without an answer: " + reason);
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_FAIL_REWIND:
      throw ConnectionLost("the connection ended within the request or the answer: " + reason);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ENGINE_INITFAILED:
      if (times_sent_ > 0)
        throw ConnectionLost(
            "the kept connection ended without an answer, and there is no other: " + reason);
      throw ConnectionFailed("no connection: " + reason);
    default:
      throw ProtocolError("the answer is not HTTP: " + reason);
  }
}

}  // namespace penstock_client
