// SPDX-License-Identifier: Apache-2.0
// Tells clients which model, version and arm has answered.
#pragma once

#include "infer/engine.h"
#include "net/call.h"
#include "net/ok_trailers.h"

namespace penstock {

inline constexpr std::string_view kModelField = "x-penstock-model";
inline constexpr std::string_view kVersionField = "x-penstock-version";
inline constexpr std::string_view kArmField = "x-penstock-arm";

// The trailers of an answer of `model`. Each thread keeps those of the models that it has served
// last, so that most answers encode nothing. The reference is valid until the next call on this
// thread. Thread-safe.
const net::OkTrailers& TrailersOf(const ModelHandle& model);

// The same fields, for HTTP, the end of a stream or an error.
net::OwnedHeaders FieldsOf(const ModelHandle& model);

// The trailer that tells a gRPC client with a retry policy how long to wait (gRPC proposal A6).
// Empty if `status` does not say.
net::OwnedHeaders PushbackOf(const Status& status);

}  // namespace penstock
