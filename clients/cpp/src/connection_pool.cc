// SPDX-License-Identifier: Apache-2.0
#include "connection_pool.h"

#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <new>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "target.h"

namespace penstock_client {
namespace {

// What libcurl hands over and takes at once. It copies this much between its buffer and ours, so it
// should stay in the processor's cache. A larger one to send saves system calls and waits.
constexpr long kReceiveBytes = 64 << 10;
constexpr long kSendBytes = 512 << 10;

constexpr size_t kConnectionsMax = 65536;
constexpr std::chrono::seconds kIdleMax = std::chrono::floor<std::chrono::seconds>(kLongestTime);

void StartCurl() {
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (code != CURLE_OK) throw Error(std::string("libcurl: ") + curl_easy_strerror(code));
}

// Whether the connection that a handle keeps is open, and nothing came over it since its last
// answer. Bytes that nobody asked for, as the 408 of a proxy or a second answer, would be taken for
// the next answer by libcurl.
bool IsQuiet(CURL* handle) {
  curl_socket_t socket = CURL_SOCKET_BAD;
  curl_easy_getinfo(handle, CURLINFO_ACTIVESOCKET, &socket);
  if (socket == CURL_SOCKET_BAD) return false;
  char byte = 0;
  return recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
         (errno == EAGAIN || errno == EWOULDBLOCK);
}

void SetFile(CURL* handle, CURLoption option, const std::string& path) {
  if (!path.empty()) SetOption(handle, option, path.c_str());
}

}  // namespace

ConnectionPool::ConnectionPool(const std::string& url, const ClientOptions& options)
    : options_(options), places_(options.connections_max) {
  StartCurl();
  url_ = CheckUrl(url, is_tls_);
  if (options.connections_max < 1 || options.connections_max > kConnectionsMax)
    throw std::invalid_argument("connections_max is from 1 to " + std::to_string(kConnectionsMax) +
                                ", not " + std::to_string(options.connections_max));
  if (!is_tls_ && !(options.ca_file + options.certificate_file + options.key_file).empty())
    throw std::invalid_argument("certificates are for https://, but the URL is '" + url + "'");
  if (options.connect_timeout <= options.connect_timeout.zero())
    throw std::invalid_argument("connect_timeout is more than 0 ms, not " +
                                std::to_string(options.connect_timeout.count()));
  if (options.idle_max < options.idle_max.zero())
    throw std::invalid_argument("idle_max is 0 s or more, not " +
                                std::to_string(options.idle_max.count()));
  AddLine("Expect:");  // which this leaves out: no wait for "100 Continue"
  idle_.reserve(options.connections_max);
  AddHeader("Content-Type", "application/octet-stream");
  if (!options.token.empty()) AddHeader("Authorization", "Bearer " + options.token);
  for (const auto& [name, value] : options.headers) AddHeader(name, value);
}

void ConnectionPool::AddHeader(const std::string& name, const std::string& value) {
  const auto is_of_a_name = [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
  };
  if (name.empty() || !std::ranges::all_of(name, is_of_a_name))
    throw std::invalid_argument("'" + name + "' cannot be the name of a header");
  AddLine(value.empty() ? name + ";" : name + ": " + value);  // as libcurl wants an empty one
}

void ConnectionPool::AddLine(const std::string& line) {
  if (line.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
    throw std::invalid_argument("a header or token may not have line ends or zeros in it");
  curl_slist* const longer = curl_slist_append(headers_.get(), line.c_str());
  if (longer == nullptr) throw std::bad_alloc();
  static_cast<void>(headers_.release());
  headers_.reset(longer);
}

Answer ConnectionPool::Post(const std::string& target, const Message& request,
                            const Deadline& deadline, RetryBudget& budget) {
  CurlHandle handle = Take(deadline);
  struct Return {
    ConnectionPool& pool;
    CurlHandle& handle;
    ~Return() { pool.GiveBack(std::move(handle)); }
  } const give_back{*this, handle};
  if (handle == nullptr) handle = Connect();
  const auto left = deadline.Left();
  if (left && *left <= Deadline::Clock::duration::zero()) deadline.Expire("a connection");
  SetOption(handle.get(), CURLOPT_URL, (url_ + target).c_str());
  SetOption(handle.get(), CURLOPT_FRESH_CONNECT, IsQuiet(handle.get()) ? 0L : 1L);
  Exchange exchange(handle.get(), request, budget, options_.answer_bytes_max);
  exchange.Attach();
  return exchange.Run(deadline);
}

// Null: there is a place for a new one.
CurlHandle ConnectionPool::Take(const Deadline& deadline) {
  std::unique_lock lock(mutex_);
  const auto has_place = [this] { return places_ > 0; };
  if (!deadline.at())
    is_free_.wait(lock, has_place);
  else if (!is_free_.wait_until(lock, *deadline.at(), has_place))
    deadline.Expire("one of the " + std::to_string(options_.connections_max) +
                    " connections (connections_max)");
  --places_;
  if (idle_.empty()) return nullptr;
  CurlHandle handle = std::move(idle_.back());
  idle_.pop_back();
  return handle;
}

void ConnectionPool::GiveBack(CurlHandle handle) {
  {
    const std::lock_guard lock(mutex_);
    ++places_;
    if (handle != nullptr) idle_.push_back(std::move(handle));  // has the memory already
  }
  is_free_.notify_one();
}

CurlHandle ConnectionPool::Connect() const {
  CurlHandle handle(curl_easy_init());
  if (handle == nullptr) throw std::bad_alloc();
  CURL* const curl = handle.get();
  SetOption(curl, CURLOPT_NOSIGNAL, 1L);
  SetOption(curl, CURLOPT_HTTPHEADER, headers_.get());
  SetOption(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  SetOption(curl, CURLOPT_PATH_AS_IS, 1L);   // a model may be called ".."
  SetOption(curl, CURLOPT_PROXY, "");        // whatever the environment says
  SetOption(curl, CURLOPT_MAXCONNECTS, 1L);  // another handle has its own
  SetOption(curl, CURLOPT_MAXAGE_CONN,
            static_cast<long>(std::min<std::chrono::seconds>(options_.idle_max, kIdleMax).count()));
  SetOption(curl, CURLOPT_CONNECTTIMEOUT_MS,
            static_cast<long>(std::min(options_.connect_timeout, kLongestTime).count()));
  SetOption(curl, CURLOPT_BUFFERSIZE, kReceiveBytes);
  SetOption(curl, CURLOPT_UPLOAD_BUFFERSIZE, kSendBytes);
  SetFile(curl, CURLOPT_UNIX_SOCKET_PATH, options_.unix_socket);
  SetFile(curl, CURLOPT_CAINFO, options_.ca_file);
  SetFile(curl, CURLOPT_SSLCERT, options_.certificate_file);
  SetFile(curl, CURLOPT_SSLKEY, options_.key_file);
  return handle;
}

}  // namespace penstock_client
