// SPDX-License-Identifier: Apache-2.0
// Any bytes as an .npy file and as an .npz file. What is read must come back the same from what is
// written of it.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "protocols/npy/npy_reader.h"
#include "protocols/npy/npy_writer.h"
#include "protocols/npy/zip_reader.h"

namespace penstock::npy {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

bool IsSame(const Tensor& one, const Tensor& other) {
  if (one.dtype() != other.dtype() || one.shape() != other.shape()) return false;
  if (one.dtype() != DType::kString) return one.elements().view() == other.elements().view();
  for (size_t i = 0; i < one.strings().size(); ++i)
    if (one.strings()[i].view() != other.strings()[i].view()) return false;
  return true;
}

void TryArray(const Slice& file) {
  RequestMemory memory(1 << 20);
  const StatusOr<Tensor> tensor = ReadNpy(file, memory);
  if (!tensor.ok()) return Require(!MessageOf(tensor.status()).empty());
  const StatusOr<ByteChain> written = WriteNpy(*tensor, &memory);
  if (!written.ok()) return;  // padded strings can be too large
  RequestMemory more(UINT64_MAX);
  const StatusOr<Tensor> again = ReadNpy(Flatten(*written), more);
  Require(again.ok() && IsSame(*tensor, *again));
}

}  // namespace
}  // namespace penstock::npy

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock;
  using namespace penstock::npy;
  const Slice file = WholeSlice(CopyToBuffer({reinterpret_cast<const char*>(data), size}));
  TryArray(file);
  RequestMemory memory(1 << 20);
  const StatusOr<std::vector<ZipEntry>> entries = ReadZip(file, 16, memory);
  if (!entries.ok()) {
    Require(!MessageOf(entries.status()).empty());
    return 0;
  }
  for (const ZipEntry& entry : *entries) TryArray(entry.data);
  return 0;
}
