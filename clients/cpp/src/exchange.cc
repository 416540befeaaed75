// SPDX-License-Identifier: Apache-2.0
#include "exchange.h"

#include <algorithm>
#include <chrono>
#include <cstring>
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
// Of an answer whose length is not told.
constexpr size_t kFirstRoom = 64 << 10;

std::string_view Trimmed(std::string_view text) {
  const size_t end = text.find_last_not_of(" \t\r\n");
  return text.substr(0, end == std::string_view::npos ? 0 : end + 1);
}

std::optional<std::chrono::seconds> RetryAfterOf(CURL* handle) {
  curl_off_t seconds = 0;  // 0: the answer has none
  curl_easy_getinfo(handle, CURLINFO_RETRY_AFTER, &seconds);
  return seconds > 0 ? std::optional(std::chrono::seconds(seconds)) : std::nullopt;
}

}  // namespace

void Exchange::Attach() {
  SetOption(handle_, CURLOPT_ERRORBUFFER, reason_);
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
  const CURLcode code = curl_easy_perform(handle_);
  SetOption(handle_, CURLOPT_ERRORBUFFER, static_cast<char*>(nullptr));
  if (error_ != nullptr) std::rethrow_exception(error_);
  if (status_ == 0) curl_easy_getinfo(handle_, CURLINFO_RESPONSE_CODE, &status_);
  const bool has_whole_text = code == CURLE_OK || text_.size() >= kErrorTextBytesMax;
  if (status_ != 0 && status_ != 200 && has_whole_text) {
    std::string text(Trimmed(text_));
    if (text.empty()) text = "the server gave no reason";
    ThrowServerError(status_, std::move(text), RetryAfterOf(handle_));
  }
  if (code != CURLE_OK) Throw(code, deadline);
  body_.Shrink(received_);
  return {std::move(body_), RetryAfterOf(handle_)};
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
    if (status_ == 200 && length > 0) MakeRoom(static_cast<size_t>(length));
  }
  if (status_ != 200) return TakeText(bytes);
  if (bytes.size() > body_.size() - received_)
    MakeRoom(std::max({received_ + bytes.size(),
                       static_cast<size_t>(std::min<uint64_t>(2 * received_, answer_bytes_max_)),
                       static_cast<size_t>(std::min<uint64_t>(kFirstRoom, answer_bytes_max_))}));
  std::memcpy(body_.data() + received_, bytes.data(), bytes.size());
  received_ += bytes.size();
  return true;
}

bool Exchange::TakeText(std::span<const std::byte> bytes) {
  const size_t count = std::min(bytes.size(), kErrorTextBytesMax - text_.size());
  text_.append(reinterpret_cast<const char*>(bytes.data()), count);
  return text_.size() < kErrorTextBytesMax;
}

void Exchange::MakeRoom(size_t bytes) {
  if (bytes > answer_bytes_max_)
    throw ProtocolError("the answer has " + std::to_string(bytes) +
                        " bytes or more, but answer_bytes_max is " +
                        std::to_string(answer_bytes_max_));
  Block larger(bytes);
  if (received_ != 0) std::memcpy(larger.data(), body_.data(), received_);
  body_ = std::move(larger);
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

// By itself, libcurl sends a request again if a connection that was kept ends before a byte of the
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
      throw std::bad_alloc();
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
      throw ConnectionFailed("no connection: " + reason);
    default:
      throw ProtocolError("the answer is not HTTP: " + reason);
  }
}

}  // namespace penstock_client
