// SPDX-License-Identifier: Apache-2.0
// Differential: our reader of PredictRequest against protobuf's parser and TensorFlow's tensor
// rules, on the same bytes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "protocols/tfs/predict_reference.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string difference = penstock::tfs::reference::CompareReaders(bytes);
  if (!difference.empty()) {
    std::fprintf(stderr, "the readers differ: %s\n", difference.c_str());
    std::abort();
  }
  const size_t landing = penstock::tfs::PredictLanding(
      std::as_bytes(std::span(bytes).first(std::min<size_t>(size, 4096))), size);
  if (landing > size) std::abort();
  return 0;
}
