// SPDX-License-Identifier: Apache-2.0
// One request and its answer through a handle of libcurl.
#pragma once

#include <curl/curl.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "answer_body.h"
#include "block.h"
#include "deadline.h"
#include "message_writer.h"
#include "penstock_client/errors.h"
#include "retry_budget.h"

namespace penstock_client {

// Frees a handle, and closes the connection that it keeps.
struct CurlFree {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
using CurlHandle = std::unique_ptr<CURL, CurlFree>;

// Sets an option of a handle. Throws Error if this libcurl does not have it.
template <typename Value>
void SetOption(CURL* handle, CURLoption option, Value value) {
  const CURLcode code = curl_easy_setopt(handle, option, value);
  if (code != CURLE_OK)
    throw Error("libcurl does not take option " + std::to_string(option) + ": " +
                curl_easy_strerror(code));
}

// An answer with the status 200. Its message may have an error, and HTTP the time to wait then.
// Plain data.
struct Answer {
  Block body;
  std::optional<std::chrono::seconds> retry_after;
};

// What libcurl calls back for while it runs a request. One thread at a time.
class Exchange {
 public:
  // All of them outlive the exchange.
  Exchange(CURL* handle, const Message& request, RetryBudget& budget, uint64_t answer_bytes_max)
      : handle_(handle), request_(request), budget_(budget), body_(answer_bytes_max) {}

  // The options of the handle by which this exchange gets its calls.
  void Attach();
  // Runs the request. Throws the error that fits an answer with another status than 200, or none.
  // `deadline`: of the call, for the text of the error.
  Answer Run(const Deadline& deadline);

 private:
  static size_t OnHead(char* bytes, size_t, size_t count, void* exchange);
  static size_t OnBody(char* bytes, size_t, size_t count, void* exchange);
  static size_t OnSend(char* bytes, size_t, size_t count, void* exchange);
  static int OnSeek(void* exchange, curl_off_t offset, int origin);
  static int OnSendBegins(void* exchange, char*, char*, int, int);

  // Sends the request, and once more if its kept connection ended before a line of the answer.
  CURLcode Perform(const Deadline& deadline);
  CURLcode PerformOnce(const Deadline& deadline);
  void TakeHeadLine(std::string_view line);
  // False: the transfer ends.
  bool TakeBody(std::span<const std::byte> bytes);
  bool TakeText(std::span<const std::byte> bytes);
  [[noreturn]] void Throw(CURLcode code, const Deadline& deadline) const;

  CURL* const handle_;
  const Message& request_;
  RetryBudget& budget_;

  size_t piece_ = 0;    // of the request that is sent next
  size_t offset_ = 0;   // in it
  std::string joined_;  // a small request in one piece
  int times_sent_ = 0;
  long status_ = 0;
  size_t head_bytes_ = 0;
  bool has_head_ = false;  // the whole
  std::optional<std::chrono::seconds> retry_after_;
  AnswerBody body_;
  std::string text_;  // of an answer that is no success
  std::exception_ptr error_;
  char reason_[CURL_ERROR_SIZE] = {};
};

}  // namespace penstock_client
