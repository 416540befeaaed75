// SPDX-License-Identifier: Apache-2.0
// Whole calls of our C++ client through the identity model, in turns with libcurl alone, which
// posts a message that was made before from one block, and receives into one block.
//   cpp_calls URL ROUNDS
// prints a line for each shape: {"shape": ..., "ours": [[CPU seconds, seconds] of a call in each
// round], "bare": the same}.
#include <curl/curl.h>
#include <penstock_client/client.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "message_writer.h"

namespace {

using penstock_client::Input;
using penstock_client::Output;
using penstock_client::Shape;

// Plain data.
struct Case {
  Shape shape;
  int calls;
};

// Plain data.
struct Figures {
  double cpu_seconds;
  double seconds;
};

// A request from one block, and an answer into one. One thread at a time.
class BareCaller {
 public:
  BareCaller(const std::string& url, std::string message) : message_(std::move(message)) {
    curl_easy_setopt(curl_, CURLOPT_URL, (url + "/graphpipe/m").c_str());
    curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, curl_slist_append(nullptr, "Expect:"));
    curl_easy_setopt(curl_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(message_.size()));
    curl_easy_setopt(curl_, CURLOPT_POSTFIELDS, message_.data());
    curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, &OnBody);
    curl_easy_setopt(curl_, CURLOPT_WRITEDATA, static_cast<void*>(this));
  }

  void Call() {
    received_ = 0;
    if (curl_easy_perform(curl_) != CURLE_OK || received_ < message_.size() / 2) std::abort();
  }

 private:
  static size_t OnBody(char* bytes, size_t, size_t count, void* caller) {
    auto& self = *static_cast<BareCaller*>(caller);
    if (self.received_ + count > self.answer_.size()) std::abort();
    std::memcpy(self.answer_.data() + self.received_, bytes, count);
    self.received_ += count;
    return count;
  }

  CURL* const curl_ = curl_easy_init();  // until the process ends
  const std::string message_;
  std::string answer_ = std::string(message_.size() + 4096, '\0');
  size_t received_ = 0;
};

Figures Measure(int calls, const std::function<void()>& call) {
  using Clock = std::chrono::steady_clock;
  const std::clock_t cpu = std::clock();
  const auto start = Clock::now();
  for (int i = 0; i < calls; ++i) call();
  const std::chrono::duration<double> took = Clock::now() - start;
  return {static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC / calls, took.count() / calls};
}

void Print(const char* name, const std::vector<Figures>& all) {
  std::printf(", \"%s\": [", name);
  for (size_t i = 0; i < all.size(); ++i)
    std::printf("%s[%.4g, %.4g]", i == 0 ? "" : ", ", all[i].cpu_seconds, all[i].seconds);
  std::printf("]");
}

void Run(const std::string& url, int rounds, const Case& each) {
  size_t count = 1;
  for (const int64_t size : each.shape) count *= static_cast<size_t>(size);
  const std::vector<float> values(count, 1.5f);
  const Input input(values, each.shape);
  std::string message;
  const auto request = penstock_client::WriteInferRequest(std::span(&input, 1), {}, "");
  for (const auto& piece : request.pieces())
    message.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  BareCaller bare(url, std::move(message));
  const auto model = penstock_client::Client(url).model("m");
  const auto call = [&] {
    const Output y = model.InferOne(Input(values, each.shape));
    if (y.size() != count || y.values<float>().back() != 1.5f) std::abort();
  };
  call();
  bare.Call();
  std::vector<Figures> ours, theirs;
  for (int i = 0; i < rounds; ++i) {
    ours.push_back(Measure(each.calls, call));
    theirs.push_back(Measure(each.calls, [&] { bare.Call(); }));
  }
  std::printf("{\"shape\": [");
  for (size_t i = 0; i < each.shape.size(); ++i)
    std::printf("%s%lld", i == 0 ? "" : ",", static_cast<long long>(each.shape[i]));
  std::printf("]");
  Print("ours", ours);
  Print("bare", theirs);
  std::printf("}\n");
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  for (const Case& each : {Case{{1}, 1000}, Case{{32, 224, 224, 3}, 10}})
    Run(arguments[1], std::atoi(arguments[2]), each);
  return 0;
}
