// SPDX-License-Identifier: Apache-2.0
#include "observe/tracer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "base/calls/trace_ids.h"
#include "base/random.h"
#include "net/headers.h"
#include "observe/spans.h"

namespace penstock {
namespace {

// A longer tracestate is not passed on: 512 is what the standard asks for at least.
constexpr size_t kStateBytesMax = 512;

const OptionRow kTraceRows[] = {
    {.group = option_group::kObservation,
     .name = "trace_endpoint",
     .target = Field<&TraceOptions::endpoint>(),
     .sentence = "The OTLP collector that gets traces over HTTP, such as http://localhost:4318; "
                 "empty is no traces."},
    {.group = option_group::kObservation,
     .name = "trace_sample_rate",
     .target = Field<&TraceOptions::sample_rate>(),
     .sentence = "The part of the calls that is traced, 0 to 1, unless the client's traceparent "
                 "decides.",
     .needs = OptionNeed{"trace_endpoint"}},
    {.group = option_group::kObservation,
     .name = "trace_service_name",
     .target = Field<&TraceOptions::service_name>(),
     .sentence = "The service.name of the traces.",
     .needs = OptionNeed{"trace_endpoint"}},
};

StatusOr<double> ParseRate(const std::string& text) {
  double rate = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rate);
  if (error == std::errc() && end == text.data() + text.size() && rate >= 0 && rate <= 1)
    return rate;
  return InvalidArgument("--trace_sample_rate={}: it must be a number from 0 to 1", text);
}

template <size_t size>
void SetRandom(std::array<uint8_t, size>& id) {
  for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
    const uint64_t random = RandomBits();
    std::memcpy(id.data() + i, &random, sizeof random);
  }
}

}  // namespace

std::span<const OptionRow> TraceOptionRows() { return kTraceRows; }

StatusOr<std::unique_ptr<Tracer>> Tracer::Make(const TraceOptions& options,
                                               std::string_view version, MetricsRegistry& metrics) {
  ASSIGN_OR_RETURN(const double rate, ParseRate(options.sample_rate));
  if (options.endpoint.empty()) return nullptr;
  SpanExporterOptions exporter;
  TRY(ParseTraceEndpoint(options.endpoint, exporter));
  exporter.service = options.service_name;
  exporter.version = version;
  // 2^64 itself is no uint64_t; samples_all_ covers a rate of 1.
  const uint64_t sampled_below =
      rate >= 1 ? UINT64_MAX : static_cast<uint64_t>(std::ldexp(rate, 64));
  return std::unique_ptr<Tracer>(new Tracer(sampled_below, std::move(exporter), metrics));
}

Tracer::Tracer(uint64_t sampled_below, SpanExporterOptions options, MetricsRegistry& metrics)
    : sampled_below_(sampled_below),
      samples_all_(sampled_below == UINT64_MAX),
      exporter_(std::move(options), metrics) {}

void Tracer::OnCallStart(net::Call& call) {
  if (call.record().is_probe) return;
  const std::string_view header = net::FindHeader(call.head().headers, "traceparent");
  const bool is_chosen = samples_all_ || RandomBits() < sampled_below_;
  if (is_chosen || !header.empty()) [[unlikely]]
    Decide(call, is_chosen, header);
}

void Tracer::Decide(net::Call& call, bool is_chosen, std::string_view header) {
  const std::optional<RemoteParent> parent =
      header.empty() ? std::nullopt : ParseTraceParent(header);
  if (parent ? !parent->is_sampled : !is_chosen) return;
  TraceIds& ids = call.record().MakeTrace();
  SetRandom(ids.span);
  ids.state.clear();
  if (parent) {
    ids.trace = parent->trace;
    ids.parent = parent->span;
    const std::string_view state = net::FindHeader(call.head().headers, "tracestate");
    const bool is_plain =
        std::all_of(state.begin(), state.end(), [](char c) { return c >= ' ' && c <= '~'; });
    if (state.size() <= kStateBytesMax && is_plain) ids.state = state;
  } else {
    SetRandom(ids.trace);
    ids.parent = {};
  }
}

void Tracer::OnCallEnd(const net::Call& call) {
  if (!call.record().is_traced) return;
  static thread_local std::string spans;  // keeps its memory
  spans.clear();
  const size_t count = AppendSpans(spans, call, UnixTimes::Now());
  exporter_.Add(spans, count);
}

}  // namespace penstock
