// SPDX-License-Identifier: Apache-2.0
// What rows in a Redis cluster cost, against a bare sender of the same commands.
//   redis_alone ADDRESS PREFIX sparse|dense ROWS PARTS ROUNDS
// PARTS: partitions, or rows in a block of the table's first generation. All keys from 0 to ROWS
// are there, with rows of 256 bytes that begin with the key as an int64. Prints in each round lines
// of a name and a figure:
//   bare_us, bare_cpu_us:   the median time of 500 random rows for the bare sender, which makes the
//                           commands, sends them, and only counts the bytes that come back; CPU of
//                           a row
//   store_us, store_cpu_us: the same for RedisStore, which gives the rows, without a cache
//   miss_us, miss_cpu_us:   the same with a cache that is far too small
//   hit_us, hit_cpu_us:     the same for rows that the cache has
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <future>
#include <map>
#include <random>
#include <vector>

#include "base/check.h"
#include "tables/redis_rows.h"
#include "tables/redis_store.h"

namespace penstock::tables {
namespace {

using std::chrono::steady_clock;

constexpr size_t kRowBytes = 256;
constexpr size_t kKeys = 500;
constexpr int kRequests = 1500;
constexpr int kWarmUp = 100;

double CpuMicroseconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto us = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return us(usage.ru_utime) + us(usage.ru_stime);
}

// What a run is asked to read. One thread at a time.
struct Request {
  std::vector<int64_t> keys = std::vector<int64_t>(kKeys);
  std::vector<std::byte> rows = std::vector<std::byte>(kKeys * kRowBytes);
  std::array<bool, kKeys> found;

  Lookup lookup() {
    Lookup lookup;
    lookup.numbers = keys;
    lookup.rows = rows.data();
    lookup.found = found.data();
    return lookup;
  }
  void CheckRows() const {
    for (size_t i = 0; i < kKeys; ++i) {
      int64_t key = 0;
      std::memcpy(&key, rows.data() + i * kRowBytes, sizeof(key));
      PENSTOCK_CHECK(found[i] && key == keys[i], "a row is wrong");
    }
  }
};

// Blocking connections to the masters. One thread at a time.
class BareSender final {
 public:
  BareSender(const std::vector<redis::SlotRange>& ranges, const StoreInfo& info,
             const std::string& prefix, const Generation& generation)
      : info_(info),
        prefix_(prefix),
        served_(std::make_shared<const ServedGeneration>(generation, nullptr)) {
    for (const redis::SlotRange& range : ranges) {
      const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
      sockaddr_in address = {};
      address.sin_family = AF_INET;
      address.sin_port = htons(range.nodes[0].port);
      inet_pton(AF_INET, range.nodes[0].host.c_str(), &address.sin_addr);
      PENSTOCK_CHECK(::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0,
                     "cannot connect");
      const int on = 1;
      setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      for (size_t slot = range.first; slot <= range.last; ++slot) sockets_[slot] = socket;
    }
  }

  void Run(Request& request) {
    const Lookup lookup = request.lookup();
    RedisRows rows(info_, prefix_, served_, lookup, AskedKeys::AllOf(info_, lookup), [](Status) {});
    std::map<int, std::string> output;
    std::map<int, int64_t> missing;
    for (const redis::Read& read : rows.reads) {
      const int socket = sockets_[read.slot];
      output[socket].append(rows.commands, read.begin, read.bytes);
      missing[socket] += AnswerBytes(std::string_view(rows.commands).substr(read.begin));
    }
    std::vector<pollfd> waiting;
    for (const auto& [socket, bytes] : output) {
      PENSTOCK_CHECK(
          ::send(socket, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()),
          "cannot send");
      waiting.push_back({socket, POLLIN, 0});
    }
    for (size_t left = waiting.size(); left > 0;) {
      ::poll(waiting.data(), waiting.size(), -1);
      for (pollfd& each : waiting) {
        if (each.fd < 0 || (each.revents & POLLIN) == 0) continue;
        const ssize_t size = ::recv(each.fd, buffer_.data(), buffer_.size(), 0);
        PENSTOCK_CHECK(size > 0, "a connection is lost");
        if ((missing[each.fd] -= size) > 0) continue;
        each.fd = -1;
        --left;
      }
    }
  }

 private:
  // Of a command whose rows are all there.
  int64_t AnswerBytes(std::string_view command) const {
    const auto row = static_cast<int64_t>(fmt::format("${}\r\n\r\n", kRowBytes).size() + kRowBytes);
    if (info_.key_type == KeyType::kDense) return row;
    const int64_t arguments = std::atol(command.data() + 1);
    return static_cast<int64_t>(fmt::format("*{}\r\n$1\r\n1\r\n", arguments - 2).size()) +
           (arguments - 3) * row;
  }

  const StoreInfo info_;
  const std::string prefix_;
  // It shares the generation with the commands that it makes.
  const std::shared_ptr<const ServedGeneration> served_;
  std::array<int, redis::kSlots> sockets_ = {};
  std::vector<char> buffer_ = std::vector<char>(256 << 10);
};

template <typename Run>
void Measure(std::string_view name, uint64_t rows, const Run& run) {
  std::mt19937_64 random(1);
  std::vector<double> times;
  double cpu = 0;
  Request request;
  for (int i = 0; i < kWarmUp + kRequests; ++i) {
    for (int64_t& key : request.keys) key = static_cast<int64_t>(random() % rows);
    const double cpu_before = CpuMicroseconds();
    const auto begin = steady_clock::now();
    run(request);
    const std::chrono::duration<double, std::micro> time = steady_clock::now() - begin;
    if (i < kWarmUp) continue;
    cpu += CpuMicroseconds() - cpu_before;
    times.push_back(time.count());
  }
  std::ranges::nth_element(times, times.begin() + kRequests / 2);
  fmt::print("{}_us {:.1f}\n{}_cpu_us {:.4f}\n", name, times[kRequests / 2], name,
             cpu / kRequests / kKeys);
}

int Main(char** arguments) {
  const bool is_dense = std::string_view(arguments[3]) == "dense";
  Manifest manifest;
  manifest.key_type = is_dense ? KeyType::kDense : KeyType::kInt64;
  manifest.dtype = DType::kFloat32;
  manifest.dimension = kRowBytes / sizeof(float);
  manifest.redis.emplace();
  manifest.redis->addresses = {redis::ParseAddress(arguments[1]).value()};
  manifest.redis->prefix = arguments[2];
  Generation generation;
  generation.name = "1";
  generation.rows = std::strtoull(arguments[4], nullptr, 10);
  const uint64_t parts = std::strtoull(arguments[5], nullptr, 10);
  if (is_dense) {
    generation.block_rows = parts;
  } else {
    generation.partitions = static_cast<uint32_t>(parts);
  }
  redis::ClusterOptions options;
  options.seeds = manifest.redis->addresses;
  const std::array<std::string_view, 2> slots = {"CLUSTER", "SLOTS"};
  const auto cluster = redis::Cluster::Open(options).value();
  const auto answer = cluster->Call("", redis::MakeCommand(slots)).value();
  const auto open = [&](uint64_t cache_bytes) {
    manifest.redis->cache_bytes = cache_bytes;
    return RedisStore::Open(manifest, {}).value();
  };
  const auto store = open(0);
  const auto missing = open(1 << 20);
  const auto hot = open(64 << 20);
  BareSender bare(redis::ParseSlots(answer, options.seeds[0].host).value(), store->info(),
                  manifest.redis->prefix, generation);
  const auto find = [](RedisStore& from) {
    return [&from](Request& request) {
      std::promise<Status> done;
      from.Find(request.lookup(), [&](Status status) { done.set_value(std::move(status)); });
      PENSTOCK_CHECK(done.get_future().get().ok(), "a request has failed");
      request.CheckRows();
    };
  };
  // So few that the warm-up has all of them.
  const uint64_t hot_rows = std::min<uint64_t>(generation.rows, 5000);
  for (int round = std::atoi(arguments[6]); round > 0; --round) {
    Measure("bare", generation.rows, [&](Request& request) { bare.Run(request); });
    Measure("store", generation.rows, find(*store));
    Measure("miss", generation.rows, find(*missing));
    Measure("hit", hot_rows, find(*hot));
  }
  return 0;
}

}  // namespace
}  // namespace penstock::tables

int main(int count, char** arguments) {
  if (count == 7) return penstock::tables::Main(arguments);
  fmt::print(stderr, "usage: redis_alone ADDRESS PREFIX sparse|dense ROWS PARTS ROUNDS\n");
  return 2;
}
