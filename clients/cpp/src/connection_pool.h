// SPDX-License-Identifier: Apache-2.0
// The connections of a client.
#pragma once

#include <curl/curl.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "block.h"
#include "deadline.h"
#include "exchange.h"
#include "message_writer.h"
#include "penstock_client/options.h"
#include "retry_budget.h"

namespace penstock_client {

// At most `connections_max` handles of libcurl, each with the connection that it keeps. The one
// that was used last is taken first. Thread-safe.
class ConnectionPool {
 public:
  // Throws std::invalid_argument.
  ConnectionPool(const std::string& url, const ClientOptions& options);

  // Posts a request, and returns its answer. Throws what errors.h has.
  Answer Post(const std::string& target, const Message& request, const Deadline& deadline,
              RetryBudget& budget);

 private:
  struct HeadersFree {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };

  void AddHeader(const std::string& name, const std::string& value);
  void AddLine(const std::string& line);
  CurlHandle Take(const Deadline& deadline);
  void GiveBack(CurlHandle handle);
  CurlHandle Connect() const;

  const ClientOptions options_;
  std::string url_;
  bool is_tls_ = false;
  std::unique_ptr<curl_slist, HeadersFree> headers_;  // as it is after construction

  std::mutex mutex_;
  std::condition_variable is_free_;
  size_t places_;                 // guarded by mutex_
  std::vector<CurlHandle> idle_;  // guarded by mutex_
};

}  // namespace penstock_client
