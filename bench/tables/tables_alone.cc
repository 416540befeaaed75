// SPDX-License-Identifier: Apache-2.0
// What a table costs, inside one process and without a network.
//   tables_alone make FOLDER ROWS      writes a table of ROWS rows of 64 floats, without its index
//   tables_alone measure FOLDER ROUNDS
//   tables_alone drop FOLDER 0          drops the files from the page cache
//   tables_alone hot FOLDER HOT         HOT rows are wanted again and again
// "measure" prints lines of a name and a figure. In each round:
//   warm_us, warm_cpu_us: the median time of a request for 500 rows of a table in memory, and the
//                         CPU time of a row
//   open_ms:              to open the table when its index is there
// and once:
//   index_ms, index_bytes: to make the index, and its bytes for each row
//   memory_bytes:          the memory that the process takes more for each row of the open table
//   cold_ms, touched_ms:   the mean time of a request for 500 rows that are only on the disk, and
//                          of reading such rows one by one
// "hot" reads the table once, so that it fills the memory, and prints:
//   hot_us:               the median time of a request for 500 hot rows; every tenth request is for
//                         500 of all rows
//   any_us:               that of these requests
//   waits:                how often the process has waited for a page from the disk
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/check.h"
#include "tables/key_hash.h"
#include "tables/mapped_file.h"
#include "tables/table_loader.h"

namespace penstock::tables {
namespace {

using std::chrono::steady_clock;

constexpr size_t kDimension = 64;
constexpr size_t kRowBytes = kDimension * sizeof(float);
constexpr size_t kKeys = 500;
constexpr int kWarmRequests = 2000;
constexpr int kColdRequests = 40;
const std::atomic<bool> never_stops = false;

// A key that tells nothing about its row. The hash is a bijection, so none is there twice.
int64_t KeyOfRow(uint64_t row) { return static_cast<int64_t>(MixKey(row + 1)); }
float ElementOf(uint64_t row) { return static_cast<float>(row % 1000); }

double Milliseconds(steady_clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

double MedianOf(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size()) / 2;
  std::ranges::nth_element(values, middle);
  return *middle;
}

double CpuMicroseconds() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

double AnonymousBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::strtod(line.c_str() + 8, nullptr) * 1024;
  }
  return 0;
}

void Make(const std::string& folder, uint64_t rows) {
  std::filesystem::create_directories(folder);
  std::ofstream keys(folder + "/key", std::ios::binary);
  std::ofstream vectors(folder + "/emb_vector", std::ios::binary);
  std::vector<float> row(kDimension);
  for (uint64_t i = 0; i < rows; ++i) {
    const int64_t key = KeyOfRow(i);
    keys.write(reinterpret_cast<const char*>(&key), sizeof(key));
    std::ranges::fill(row, ElementOf(i));
    vectors.write(reinterpret_cast<const char*>(row.data()), kRowBytes);
  }
  std::ofstream(folder + "/table.json") << R"({"dimension": 64})";
  PENSTOCK_CHECK(keys.flush().good() && vectors.flush().good(), "the disk has room for it");
}

// Makes requests for random rows, and checks the answers. One thread at a time.
class Asker final {
 public:
  Asker(const std::string& folder, uint64_t seed) : folder_(folder), random_(seed) {
    rows_ = std::filesystem::file_size(folder + "/key") / sizeof(int64_t);
  }
  uint64_t rows() const { return rows_; }
  void Open() {
    StatusOr<std::unique_ptr<Model>> model = OpenTable(folder_, {}, never_stops);
    PENSTOCK_CHECK(model.ok(), "the table opens");
    model_ = *std::move(model);
  }
  // Takes time for a large table whose pages are mapped.
  void Close() { model_.reset(); }
  // Chooses the rows of the next request: some of `rows` rows that lie as far from each other as
  // they can.
  void Choose(uint64_t rows) {
    wanted_.resize(kKeys);
    for (uint64_t& row : wanted_) row = random_() % rows * (rows_ / rows);
    Tensor keys = *Tensor::Allocate(DType::kInt64, {static_cast<int64_t>(kKeys)});
    std::ranges::transform(wanted_, keys.mutable_as<int64_t>().begin(), KeyOfRow);
    request_ = {};
    request_.inputs.push_back({"keys", std::move(keys)});
  }
  void Choose() { Choose(rows_); }
  void Ask() {
    model_->Run(request_, [&](InferResponse&& part) { answer_ = std::move(part); });
  }
  void Check() {
    PENSTOCK_CHECK(answer_.status.ok(), "the request is answered");
    const auto values = answer_.outputs[1].tensor.as<float>();
    for (size_t i = 0; i < kKeys; ++i) {
      PENSTOCK_CHECK(values[i * kDimension] == ElementOf(wanted_[i]) &&
                         values[i * kDimension + kDimension - 1] == ElementOf(wanted_[i]),
                     "the rows are those of the keys");
    }
    answer_ = {};
  }
  const std::vector<uint64_t>& wanted() const { return wanted_; }

 private:
  const std::string folder_;
  std::mt19937_64 random_;
  uint64_t rows_ = 0;
  std::unique_ptr<Model> model_;
  InferRequest request_;
  InferResponse answer_;
  std::vector<uint64_t> wanted_;
};

// Reads all of a file, so that it is in memory.
void ReadThrough(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> buffer(1 << 20);
  while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()))) {
  }
}

void DropFromMemory(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  PENSTOCK_CHECK(file >= 0, "the file is there");
  fdatasync(file);
  posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  close(file);
}

void MeasureWarm(Asker& asker) {
  std::vector<double> times;
  double cpu = 0;
  for (int i = 0; i < kWarmRequests; ++i) {
    asker.Choose();
    const double cpu_before = CpuMicroseconds();
    const auto start = steady_clock::now();
    asker.Ask();
    times.push_back(Milliseconds(steady_clock::now() - start) * 1000);
    cpu += CpuMicroseconds() - cpu_before;
    asker.Check();
  }
  fmt::print("warm_us {}\nwarm_cpu_us {}\n", MedianOf(times), cpu / kWarmRequests / kKeys);
}

// Reads rows by touching one after the other, as a program without this store would.
double TouchColdRows(const std::string& path, Asker& asker) {
  const MappedFile file = *MappedFile::Open(path);
  file.ExpectRandomReads();
  std::vector<std::byte> row(kRowBytes);
  double sum = 0;
  for (int i = 0; i < kColdRequests; ++i) {
    asker.Choose();
    const auto start = steady_clock::now();
    for (const uint64_t wanted : asker.wanted())
      std::memcpy(row.data(), file.data() + wanted * kRowBytes, kRowBytes);
    sum += Milliseconds(steady_clock::now() - start);
  }
  return sum / kColdRequests;
}

void MeasureCold(const std::string& folder) {
  const std::string vectors = folder + "/emb_vector";
  DropFromMemory(vectors);
  {
    Asker asker(folder, 77);
    asker.Open();
    double sum = 0;
    for (int i = 0; i < kColdRequests; ++i) {
      asker.Choose();
      const auto start = steady_clock::now();
      asker.Ask();
      sum += Milliseconds(steady_clock::now() - start);
      asker.Check();
    }
    fmt::print("cold_ms {}\n", sum / kColdRequests);
  }
  DropFromMemory(vectors);
  Asker asker(folder, 78);
  fmt::print("touched_ms {}\n", TouchColdRows(vectors, asker));
}

void MeasureHot(const std::string& folder, uint64_t hot_rows) {
  constexpr int kWarmUp = 1000;
  constexpr int kRequests = 3000;
  constexpr int kAnyEvery = 10;
  Asker asker(folder, 5);
  asker.Open();
  ReadThrough(folder + "/emb_vector");
  std::vector<double> hot;
  std::vector<double> any;
  for (int i = 0; i < kWarmUp + kRequests; ++i) {
    const bool is_hot = i % kAnyEvery != 0;
    asker.Choose(is_hot ? hot_rows : asker.rows());
    const auto start = steady_clock::now();
    asker.Ask();
    const double us = Milliseconds(steady_clock::now() - start) * 1000;
    asker.Check();
    if (i >= kWarmUp) (is_hot ? hot : any).push_back(us);
  }
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  fmt::print("hot_us {}\nany_us {}\nwaits {}\n", MedianOf(hot), MedianOf(any), usage.ru_majflt);
}

void Drop(const std::string& folder) {
  for (const auto& file : std::filesystem::directory_iterator(folder))
    DropFromMemory(file.path().string());
}

void Measure(const std::string& folder, int rounds) {
  Asker asker(folder, 1);
  std::filesystem::remove(folder + "/key.index");
  auto start = steady_clock::now();
  asker.Open();
  fmt::print("index_ms {}\n", Milliseconds(steady_clock::now() - start));
  fmt::print("index_bytes {}\n",
             static_cast<double>(std::filesystem::file_size(folder + "/key.index")) /
                 static_cast<double>(asker.rows()));
  ReadThrough(folder + "/emb_vector");
  asker.Close();
  const double before = AnonymousBytes();
  asker.Open();
  fmt::print("memory_bytes {}\n",
             std::max(0.0, AnonymousBytes() - before) / static_cast<double>(asker.rows()));
  for (int round = 0; round < rounds; ++round) {
    asker.Close();
    start = steady_clock::now();
    asker.Open();
    fmt::print("open_ms {}\n", Milliseconds(steady_clock::now() - start));
    // So that its pages are mapped, and the table knows that it is warm.
    for (int i = 0; i < kWarmRequests; ++i) {
      asker.Choose();
      asker.Ask();
      asker.Check();
    }
    MeasureWarm(asker);
  }
}

}  // namespace
}  // namespace penstock::tables

int main(int count, char** arguments) {
  using namespace penstock::tables;
  PENSTOCK_CHECK(count == 4, "say make, measure, drop or hot, a folder, and a number");
  const std::string what = arguments[1];
  const std::string folder = arguments[2];
  const uint64_t number = std::strtoull(arguments[3], nullptr, 10);
  if (what == "make") {
    Make(folder, number);
  } else if (what == "drop") {
    Drop(folder);
  } else if (what == "hot") {
    MeasureHot(folder, number);
  } else {
    Measure(folder, static_cast<int>(number));
    MeasureCold(folder);
  }
  return 0;
}
