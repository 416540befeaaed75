// SPDX-License-Identifier: Apache-2.0
// Two kinds of recorded requests exist: TensorFlow Serving's file, and a folder of plain requests
// that people can write by hand. Both are decoded by the same code as requests of clients, so a
// warm-up also proves that the version can answer. A request that fails makes the load fail: a
// version that cannot answer its own recorded requests must not replace one that can.
#include "loading/warm_up.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <vector>

#include "base/log.h"
#include "infer/run_and_wait.h"
#include "loading/prediction_log.h"
#include "loading/record_reader.h"
#include "loading/session_run.h"
#include "protocols/tfs/example_request.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;
using Kind = RecordedRequest::Kind;

constexpr std::string_view kRecordFile = "assets.extra/tf_serving_warmup_requests";
constexpr std::string_view kFolder = "warmup";
// TensorFlow Serving's limit.
constexpr size_t kRequestsMax = 1000;

// Returns the status with `place`, a file or record, before the message.
Status At(const Status& status, std::string_view place) {
  return Error(status.code(), "warm-up: {}: {}", place, MessageOf(status));
}

Status CannotRead(int error) {
  return Error(StatusCode::kDataLoss, "cannot be read: {}", std::strerror(error));
}

// Opens regular files only, because reading a pipe would block.
StatusOr<std::ifstream> Open(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (error) return CannotRead(error.value());
  if (!fs::is_regular_file(status)) return Error(StatusCode::kDataLoss, "is no regular file");
  // Streams do not report the reason of a failure, but the system call below them leaves it here.
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return CannotRead(errno);
  return file;
}

StatusOr<Slice> ReadFile(const fs::path& path) {
  ASSIGN_OR_RETURN(std::ifstream file, Open(path));
  std::error_code error;
  const uint64_t bytes = fs::file_size(path, error);
  if (error) return CannotRead(error.value());
  if (bytes > tfs::kLengthMax) {
    return InvalidArgument("has {} bytes: more than {}", bytes, tfs::kLengthMax);
  }
  // Decoded tensors may be views of the buffer, so it has the alignment that runtimes want.
  BufferRef buffer = AllocateBuffer(bytes);
  errno = 0;
  file.read(reinterpret_cast<char*>(buffer->data()), static_cast<std::streamsize>(bytes));
  if (static_cast<uint64_t>(file.gcount()) < bytes) return CannotRead(errno);
  return WholeSlice(std::move(buffer));
}

// One warm-up of one version. One thread at a time.
class Replay final {
 public:
  Replay(ServedModel& model, const WarmUpOptions& options, RecentRequests* recent,
         CancelToken& cancel, WarmUpCounts& counts)
      : model_(model), options_(options), recent_(recent), cancel_(cancel), counts_(counts) {}

  Status RunRecords(const fs::path& path);
  Status RunFolder(const fs::path& path);

 private:
  Status RunRecord(const std::string& record);
  Status RunFile(const fs::path& path);
  Status RunPredict(const Slice& message);
  Status RunExamples(const Slice& message, tfs::ExampleApi api);
  Status RunSession(const Slice& message);
  Status RunMessage(Kind kind, const Slice& message);
  Status RunJson(const Slice& body);
  Status RunRequest(InferRequest& request);

  ServedModel& model_;
  const WarmUpOptions& options_;
  RecentRequests* const recent_;
  CancelToken& cancel_;
  WarmUpCounts& counts_;
};

Status Replay::RunRequest(InferRequest& request) {
  request.cancel = &cancel_;
  ++counts_.requests;
  for (int i = 0; i < options_.iterations; ++i) {
    // Between two runs, because a run itself may not be able to stop.
    if (cancel_.IsCancelled()) return absl::CancelledError("the version is no longer wanted");
    TRY(RunAndWait(model_.model(), request));
  }
  if (recent_ != nullptr) recent_->Add(request);
  return OkStatus();
}

Status Replay::RunPredict(const Slice& message) {
  tfs::ReadPredict read;
  TRY(tfs::ReadPredictRequest(message, options_.predict, read));
  return RunRequest(read.request);
}

Status Replay::RunJson(const Slice& body) {
  InferRequest request;
  TRY(tfs_json::DecodePredictRequest(body, model_.info(), options_.json, request).status());
  return RunRequest(request);
}

Status Replay::RunExamples(const Slice& message, tfs::ExampleApi api) {
  tfs::ExampleRequest examples;
  TRY(examples.Scan(message, api, options_.predict.names_max));
  RequestMemory memory(options_.predict.decoded_tensor_bytes_max);
  InferRequest request;
  TRY(examples.ReadInputs(model_.examples(), memory, request));
  return RunRequest(request);
}

Status Replay::RunSession(const Slice& message) {
  RequestMemory memory(options_.predict.decoded_tensor_bytes_max);
  InferRequest request;
  TRY(ReadSessionRun(message, model_.info(), memory, request));
  return RunRequest(request);
}

Status Replay::RunMessage(Kind kind, const Slice& message) {
  switch (kind) {
    case Kind::kPredict:
    case Kind::kPredictStreamed:
      return RunPredict(message);
    case Kind::kClassify:
      return RunExamples(message, tfs::ExampleApi::kClassify);
    case Kind::kRegress:
      return RunExamples(message, tfs::ExampleApi::kRegress);
    case Kind::kMultiInference:
      return RunExamples(message, tfs::ExampleApi::kMultiInference);
    case Kind::kSessionRun:
      return RunSession(message);
    case Kind::kNone:
      break;
  }
  return OkStatus();
}

Status Replay::RunRecord(const std::string& record) {
  ASSIGN_OR_RETURN(const RecordedRequest recorded, ReadPredictionLog(record));
  if (recorded.messages.empty()) {
    return InvalidArgument("Unsupported log_type for warmup: the PredictionLog has no request");
  }
  for (const std::string& message : recorded.messages) {
    // Tensors may be views of the message, so it needs an owner.
    TRY(RunMessage(recorded.kind, WholeSlice(CopyToBuffer(message))));
  }
  return OkStatus();
}

Status Replay::RunRecords(const fs::path& path) {
  std::error_code error;
  // A missing file means that there is no warm-up. An error, such as missing rights, is reported by
  // Open.
  if (!fs::exists(path, error) && !error) return OkStatus();
  StatusOr<std::ifstream> file = Open(path);
  if (!file.ok()) return At(file.status(), path.native());
  RecordReader reader(*file);
  std::string record;
  for (size_t number = 1;; ++number) {
    const StatusOr<bool> more = reader.Next(record);
    if (!more.ok()) {
      return At(
          Error(more.status().code(), "{}. Please verify your warmup data is in TFRecord format.",
                MessageOf(more.status())),
          path.native());
    }
    if (!*more) break;
    if (number > kRequestsMax) {
      return At(InvalidArgument("Number of warmup records exceeds the maximum ({})", kRequestsMax),
                path.native());
    }
    if (Status status = RunRecord(record); !status.ok()) {
      return At(status, fmt::format("{}: record {}", path.native(), number));
    }
  }
  return OkStatus();
}

Status Replay::RunFile(const fs::path& path) {
  ASSIGN_OR_RETURN(const Slice content, ReadFile(path));
  return path.extension() == ".pb" ? RunPredict(content) : RunJson(content);
}

Status Replay::RunFolder(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error) && !error) return OkStatus();
  std::vector<fs::path> files, others;
  for (fs::directory_iterator each(path, error), end; !error && each != end;
       each.increment(error)) {
    const fs::path extension = each->path().extension();
    if (extension == ".pb" || extension == ".json") {
      files.push_back(each->path());
    } else {
      others.push_back(each->path());
    }
  }
  if (error) return At(CannotRead(error.value()), path.native());
  if (files.size() > kRequestsMax) {
    return At(InvalidArgument("has more than {} requests", kRequestsMax), path.native());
  }
  // The order in a folder is arbitrary. Sorted names let users choose it.
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    if (Status status = RunFile(file); !status.ok()) return At(status, file.native());
  }
  // Warn only after success: a failed warm-up is tried again, and would repeat the warnings.
  for (const fs::path& other : others) {
    PENSTOCK_LOG(kWarning, "warm-up: {} is not run: its name ends in neither .pb nor .json",
                 other.native());
  }
  return OkStatus();
}

}  // namespace

Status RunWarmUp(ServedModel& model, const std::string& version_path, const WarmUpOptions& options,
                 RecentRequests* recent, CancelToken& cancel, WarmUpCounts& counts) {
  Replay replay(model, options, recent, cancel, counts);
  const fs::path version(version_path);
  TRY(replay.RunRecords(version / kRecordFile));
  return replay.RunFolder(version / kFolder);
}

Status RunRecent(ServedModel& model, const RecentRequests& recent, const WarmUpOptions& options,
                 const core::ServableId& id, CancelToken& cancel, WarmUpCounts& counts) {
  if (!RecentRequests::MayRepeat(model.info().traits)) return OkStatus();
  for (const std::shared_ptr<const RecentRequest>& kept : recent.Kept()) {
    InferRequest request = kept->request();
    request.cancel = &cancel;
    Status status;
    for (int i = 0; i < options.iterations && status.ok(); ++i) {
      if (cancel.IsCancelled()) return absl::CancelledError("the version is no longer wanted");
      status = RunAndWait(model.model(), request);
      if (cancel.IsCancelled()) return absl::CancelledError("the version is no longer wanted");
    }
    if (status.ok()) {
      ++counts.requests;
    } else {
      PENSTOCK_LOG(kWarning,
                   "warm-up of {}: it does not answer a request that a version before it has "
                   "answered: {}",
                   id.ToString(), MessageOf(status));
    }
  }
  return OkStatus();
}

}  // namespace penstock
