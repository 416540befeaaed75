// SPDX-License-Identifier: Apache-2.0
// A model whose answers have as many parts as the request asks for. For tests of streams.
#pragma once

#include <memory>

#include "infer/model.h"

namespace penstock {

// "count" (int64 scalar) -> that many parts, each with "index" = 0, 1, ... (int64 scalar), and with
// "data" (float32) if the request has a "size" (int64 scalar): that many times the index. Other
// optional inputs (int64 scalars): "fail_at" is the index at which an error ends the answer
// instead, and "delay_us" is the time that the model takes for each part.
std::unique_ptr<Model> MakeStreamModel();

}  // namespace penstock
