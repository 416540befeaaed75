// SPDX-License-Identifier: Apache-2.0
// Files of tables, for tests.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/os/test_folder.h"
#include "tensor/tensor.h"

namespace penstock::tables {

// The bytes of an array.
template <typename T>
std::string BytesOf(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// An .npy file of format 1.0, as numpy writes it.
inline std::string NpyFile(std::string_view type, std::string_view shape, std::string_view bytes) {
  std::string text = "{'descr': '" + std::string(type) +
                     "', 'fortran_order': False, 'shape': " + std::string(shape) + ", }";
  text.resize(117, ' ');
  text += '\n';
  return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(text.size()) + '\0' + text +
         std::string(bytes);
}

// A folder for a table. One thread at a time.
class TableFixture : public testing::Test {
 protected:
  // Keys and rows as NVIDIA's parameter server has them: row i is {10 i, 10 i + 1, ...}.
  void WriteHps(const std::vector<int64_t>& keys, int dimension = 2) {
    std::vector<float> rows;
    for (size_t i = 0; i < keys.size(); ++i) {
      for (int k = 0; k < dimension; ++k) rows.push_back(static_cast<float>(10 * i) + k);
    }
    folder_.Write("key", BytesOf(keys));
    folder_.Write("emb_vector", BytesOf(rows));
  }
  void WriteManifest(std::string_view json) { folder_.Write("table.json", json); }

  const TestFolder folder_;
  std::atomic<bool> stop_{false};
};

inline Tensor KeysOf(const std::vector<int64_t>& values) {
  Tensor tensor = *Tensor::Allocate(DType::kInt64, {static_cast<int64_t>(values.size())});
  std::ranges::copy(values, tensor.mutable_as<int64_t>().begin());
  return tensor;
}

// The characters must outlive the tensor.
inline Tensor KeysOf(const std::vector<std::string_view>& values) {
  Tensor tensor = *Tensor::Allocate(DType::kString, {static_cast<int64_t>(values.size())});
  for (size_t i = 0; i < values.size(); ++i)
    tensor.mutable_as<StringElement>()[i] = {values[i].data(), values[i].size()};
  return tensor;
}

}  // namespace penstock::tables
