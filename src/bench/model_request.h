// SPDX-License-Identifier: Apache-2.0
// The request that is sent: made up from what the server says of the model, or read from a file.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "bench/bench_options.h"

namespace penstock::bench {

// A GetModelMetadataRequest for the model, as bytes.
std::string MetadataRequest(const RequestOptions& options);

// A PredictRequest, as bytes, and what it holds, for people: "x: DT_FLOAT 1x784".
struct ModelRequest {
  std::string bytes;
  std::string model;  // its name, for titles
  std::string summary;
};

// Makes random inputs of the shapes in `metadata`, a GetModelMetadataResponse. Numbers with a point
// are from 0 to 1, whole numbers from 0 to 9, strings have eight letters. The same seed gives the
// same values. INVALID_ARGUMENT: no such signature (with those that there are), a shape that the
// signature leaves open or does not allow (with the flag that says it), a type without values.
StatusOr<ModelRequest> MakeRequest(std::string_view metadata, const RequestOptions& options);

// Reads the file's text: JSON if it begins with '{', else protobuf's bytes. What `options` says of
// the model, its version and signature counts before the file.
StatusOr<ModelRequest> ReadRequest(std::string_view text, const RequestOptions& options);

// What a PredictResponse holds, for people.
StatusOr<std::string> DescribeAnswer(std::string_view answer);

}  // namespace penstock::bench
