// SPDX-License-Identifier: Apache-2.0
#include "app/version.h"

#include <fmt/format.h>

#include <string_view>

namespace penstock {

std::string VersionText() { return PENSTOCK_VERSION; }

std::string TfsVersionText() {
  // The release of TensorFlow Serving whose protocol and flags we serve, and the release of
  // TensorFlow that the backend is tested with.
  constexpr std::string_view kServing = "2.20.0", kTensorFlow = "2.21.0";
  return fmt::format("TensorFlow ModelServer: {}+penstock.{}\nTensorFlow Library: {}\n", kServing,
                     VersionText(), kTensorFlow);
}

}  // namespace penstock
