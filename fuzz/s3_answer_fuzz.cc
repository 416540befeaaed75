// SPDX-License-Identifier: Apache-2.0
// Any bytes as what an S3 server answers, over a connection on loopback, to a listing or to a
// download, as the first byte says (How).
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <thread>

#include "base/mutex.h"
#include "s3/s3_client.h"

namespace penstock {
namespace {

constexpr std::string_view kMd5OfHello = "\"5d41402abc4b2a76b9719d911017c592\"";  // of "hello"
enum How : uint8_t { kIsNew = 1, kList = 2, kHasNoHash = 4 };

void Require(bool condition) {
  if (!condition) std::abort();
}

// Answers the head of each request with the same bytes, and says no more on that connection. Ends
// with the process. Thread-safe.
class Server final {
 public:
  Server() : listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    Require(bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    Require(listen(listener_, 16) == 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    std::thread([this] {
      while (true) Serve(accept(listener_, nullptr, nullptr));
    }).detach();
  }

  int port() const { return port_; }
  void SetAnswer(std::string_view bytes) {
    MutexLock lock(mutex_);
    answer_ = bytes;
  }

 private:
  void Serve(int connection) {
    char piece[4096];
    std::string head;
    while (head.find("\r\n\r\n") == std::string::npos) {
      const ssize_t bytes = recv(connection, piece, sizeof piece, 0);
      if (bytes <= 0) break;
      head.append(piece, static_cast<size_t>(bytes));
    }
    {
      MutexLock lock(mutex_);
      send(connection, answer_.data(), answer_.size(), MSG_NOSIGNAL);
    }
    shutdown(connection, SHUT_WR);
    while (recv(connection, piece, sizeof piece, 0) > 0) {
    }
    close(connection);
  }

  const int listener_;
  int port_ = 0;
  Mutex mutex_;
  std::string answer_ GUARDED_BY(mutex_);
};

// With a key of KMS's or of the customer's, an ETag is no hash.
bool SpeaksOfEncryption(std::string answer) {
  std::ranges::transform(answer, answer.begin(), [](unsigned char c) { return std::tolower(c); });
  return answer.find("server-side-encryption") != std::string::npos;
}

void Download(S3Client& client, uint8_t how, std::string_view answer) {
  // In memory: files are written through to the disk.
  static const std::filesystem::path path = "/dev/shm/s3_answer_fuzz_" + std::to_string(getpid());
  std::filesystem::remove(path);
  if ((how & kIsNew) == 0) std::ofstream(path) << "he";
  const bool has_hash = (how & kHasNoHash) == 0;
  const S3Object object{"m/1/a", 5, std::string(has_hash ? kMd5OfHello : "\"a-2\""), {}};
  const Status status = client.Download(object, path);
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::filesystem::remove(path);
  if (!status.ok()) return;
  Require(text.size() == object.size);
  if (has_hash && !SpeaksOfEncryption(std::string(answer))) Require(text == "hello");
}

}  // namespace
}  // namespace penstock

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock;
  if (size == 0) return 0;
  static Server& server = *new Server();
  static const std::atomic<bool> never = false;
  const std::string_view answer(reinterpret_cast<const char*>(data + 1), size - 1);
  server.SetAnswer(answer);
  S3Settings settings;
  settings.endpoint.host = "127.0.0.1";
  settings.endpoint.port = std::to_string(server.port());
  settings.endpoint.tls = false;
  S3ClientOptions options;
  options.retries_max = 0;
  S3Client client(settings, "models", options, never);
  if ((data[0] & kList) != 0) {
    static_cast<void>(client.List("m/", /*stops_at_folders=*/true));
  } else {
    Download(client, data[0], answer);
  }
  return 0;
}
