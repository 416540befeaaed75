// SPDX-License-Identifier: Apache-2.0
#include "bench/bench_run.h"

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "base/os/read_file.h"
#include "bench/bench_report.h"
#include "bench/endpoint.h"
#include "bench/grpc_client.h"
#include "bench/load.h"
#include "bench/model_request.h"

namespace penstock::bench {
namespace {

constexpr std::string_view kService = "/tensorflow.serving.PredictionService/";
constexpr size_t kRequestBytesMax = 1 << 30;
constexpr size_t kReportBytesMax = 64 << 20;

CallSettings SettingsOf(const BenchOptions& options, std::string_view method) {
  return {.path = fmt::format("{}{}", kService, method),
          .authority = options.target,
          .metadata = options.metadata};
}

std::string CodeAndText(const Status& status) {
  return fmt::format("{}: {}", StatusCodeName(status.code()), MessageOf(status));
}

StatusOr<std::string> ReadFile(std::string_view flag, const std::string& path, size_t bytes_max) {
  StatusOr<std::string> text = ReadWholeFile(path, bytes_max);
  if (text.ok()) return text;
  return InvalidArgument("--{}: cannot read {}: {}", flag, path, MessageOf(text.status()));
}

Status WriteFile(std::string_view flag, const std::string& path, const std::string& text) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      std::fopen(path.c_str(), "w"), [](std::FILE* f) { return std::fclose(f); });
  if (file == nullptr || std::fwrite(text.data(), 1, text.size(), file.get()) != text.size() ||
      std::fflush(file.get()) != 0)
    return InvalidArgument("--{}: cannot write {}: {}", flag, path, std::strerror(errno));
  return OkStatus();
}

// A path that cannot be written should be known before the measurement, not after it.
Status CheckFiles(const BenchOptions& options) {
  const std::pair<std::string_view, const std::string&> files[] = {{"json", options.json_file},
                                                                   {"svg", options.svg_file}};
  for (const auto& [flag, path] : files)
    if (!path.empty()) TRY(WriteFile(flag, path, ""));
  return OkStatus();
}

StatusOr<ModelRequest> PrepareRequest(const BenchOptions& options, const Endpoint& endpoint) {
  if (!options.request.file.empty()) {
    ASSIGN_OR_RETURN(const std::string text,
                     ReadFile("request", options.request.file, kRequestBytesMax));
    StatusOr<ModelRequest> request = ReadRequest(text, options.request);
    if (request.ok()) return request;
    return InvalidArgument("--request={}: {}", options.request.file, MessageOf(request.status()));
  }
  const auto metadata =
      CallOnce(endpoint, SettingsOf(options, "GetModelMetadata"),
               FramedMessage(MetadataRequest(options.request)), options.load.timeout);
  if (metadata.ok()) return MakeRequest(*metadata, options.request);
  if (metadata.status().code() == StatusCode::kUnimplemented)
    return InvalidArgument("{} has no GetModelMetadata ({}): give a request with --request=FILE",
                           options.target, MessageOf(metadata.status()));
  return Error(metadata.status().code(), "model '{}': {}", options.request.model,
               CodeAndText(metadata.status()));
}

// The request must be right before it is sent a million times.
StatusOr<std::string> TryRequest(const BenchOptions& options, const Endpoint& endpoint,
                                 const ModelRequest& request, const std::string& framed) {
  const auto answer =
      CallOnce(endpoint, SettingsOf(options, "Predict"), framed, options.load.timeout);
  if (answer.ok()) return DescribeAnswer(*answer);
  return Error(answer.status().code(), "the server refuses the request ({}): {}", request.summary,
               CodeAndText(answer.status()));
}

StatusOr<std::vector<RunSeries>> ReadCompared(const BenchOptions& options) {
  std::vector<RunSeries> series;
  for (const std::string& path : options.compare) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile("compare", path, kReportBytesMax));
    StatusOr<RunSeries> read = ReadReportJson(text);
    if (!read.ok()) return InvalidArgument("--compare={}: {}", path, MessageOf(read.status()));
    series.push_back(*std::move(read));
  }
  return series;
}

Status WriteFiles(const BenchOptions& options, const ReportHead& head,
                  std::vector<RunSeries> series, std::vector<LoadResult>& results) {
  if (!options.json_file.empty())
    TRY(WriteFile("json", options.json_file, ReportJsonText(head, options, results)));
  if (options.svg_file.empty()) return OkStatus();
  RunSeries own{.name = head.name, .runs = {}};
  for (LoadResult& result : results) own.runs.push_back(FiguresOf(result));
  series.push_back(std::move(own));
  return WriteFile("svg", options.svg_file,
                   ReportSvg(fmt::format("{}, {}", head.model, head.request), series));
}

// One run in a closed loop, or one for each rate.
StatusOr<std::vector<LoadResult>> RunAll(const BenchOptions& options, const LoadTarget& target,
                                         std::FILE* out) {
  std::vector<double> rates = options.rates;
  if (rates.empty()) rates.push_back(0);
  std::vector<LoadResult> results;
  for (const double rate : rates) {
    LoadOptions load = options.load;
    load.rate = rate;
    ASSIGN_OR_RETURN(LoadResult result, RunLoad(load, target));
    fmt::print(out, "{}", ReportRow(result, load));
    std::fflush(out);
    results.push_back(std::move(result));
    if (!results.back().failure.ok()) break;
  }
  return results;
}

}  // namespace

Status RunBench(const BenchOptions& options, std::FILE* out) {
  ASSIGN_OR_RETURN(std::vector<RunSeries> compared, ReadCompared(options));
  TRY(CheckFiles(options));
  ASSIGN_OR_RETURN(const Endpoint endpoint, Endpoint::Resolve(options.target));
  ASSIGN_OR_RETURN(const ModelRequest request, PrepareRequest(options, endpoint));
  const std::string framed = FramedMessage(request.bytes);
  ReportHead head{.target = options.target,
                  .model = request.model,
                  .name = options.name.empty() ? request.model : options.name,
                  .request = request.summary,
                  .answer = {},
                  .request_bytes = request.bytes.size()};
  ASSIGN_OR_RETURN(head.answer, TryRequest(options, endpoint, request, framed));
  fmt::print(out, "{}", ReportHeadText(head, options));
  std::fflush(out);
  CallSettings call = SettingsOf(options, "Predict");
  call.deadline = options.load.deadline;
  ASSIGN_OR_RETURN(std::vector<LoadResult> results, RunAll(options, {endpoint, call, framed}, out));
  TRY(WriteFiles(options, head, std::move(compared), results));
  for (const LoadResult& result : results) {
    if (!result.failure.ok()) return result.failure;
    if (result.ok.count() > 0) return OkStatus();
  }
  return Error(StatusCode::kUnavailable, "no request of the measured time succeeded");
}

}  // namespace penstock::bench
