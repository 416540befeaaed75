// SPDX-License-Identifier: Apache-2.0
// A warm-up file: TFRecord, PredictionLog, PredictRequest. The first byte of the input, if odd,
// asks for the checksums to be made right, so that mutations get past them.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <string_view>

#include "base/encoding/crc32c.h"
#include "infer/model_fake.h"
#include "loading/prediction_log.h"
#include "loading/record_reader.h"
#include "loading/session_run.h"
#include "protocols/tfs/predict_reader.h"

namespace {

constexpr size_t kHeadBytes = 12;
constexpr size_t kSumBytes = 4;

void PutSum(std::string& file, size_t at, std::string_view of) {
  const uint32_t sum = penstock::MaskedCrc32c(of);
  std::memcpy(file.data() + at, &sum, sizeof sum);
}

void MakeSumsRight(std::string& file) {
  for (size_t at = 0; file.size() - at >= kHeadBytes + kSumBytes;) {
    uint64_t length = 0;
    std::memcpy(&length, file.data() + at, sizeof length);
    PutSum(file, at + sizeof length, std::string_view(file).substr(at, sizeof length));
    if (length > file.size() - at - kHeadBytes - kSumBytes) return;
    at += kHeadBytes;
    PutSum(file, at + length, std::string_view(file).substr(at, length));
    at += length + kSumBytes;
  }
}

// Reads the bytes of a request of any kind as a Predict and as a run of a session.
void Try(const std::string& message) {
  const penstock::Slice bytes = penstock::WholeSlice(penstock::CopyToBuffer(message));
  penstock::tfs::ReadPredict read;
  (void)penstock::tfs::ReadPredictRequest(bytes, {}, read);
  static const penstock::ModelInfo info =
      penstock::FakeInfo({penstock::FakeInput("x", penstock::DType::kFloat32)});
  penstock::RequestMemory memory(1 << 20);
  penstock::InferRequest request;
  (void)penstock::ReadSessionRun(bytes, info, memory, request);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string file(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] % 2 == 1) MakeSumsRight(file);
  std::istringstream stream(file);
  penstock::RecordReader reader(stream);
  std::string record;
  size_t bytes = 0;
  while (true) {
    const auto more = reader.Next(record);
    if (!more.ok() || !*more) break;
    bytes += kHeadBytes + record.size() + kSumBytes;
    const auto recorded = penstock::ReadPredictionLog(record);
    if (!recorded.ok()) continue;
    for (const std::string& message : recorded->messages) Try(message);
  }
  if (bytes > file.size()) std::abort();  // records that are not in the file
  return 0;
}
