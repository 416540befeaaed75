// SPDX-License-Identifier: Apache-2.0
// A table may be larger than the memory. If its check went through the page cache, it would push
// out the rows that requests want. So what is not there is read directly, if the file system can do
// that.
#include "tables/file_check.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/encoding/crc32c.h"

namespace penstock::tables {
namespace {

constexpr size_t kCheckedBytes = 1 << 20;  // at a time
constexpr size_t kDirectAlignment = 4096;

struct FreeMemory {
  void operator()(char* memory) const { std::free(memory); }
};

// Reads a file in pieces. One thread at a time.
class PieceReader final {
 public:
  explicit PieceReader(const MappedFile& file)
      : file_(file.descriptor()),
        direct_(open(file.path().c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC)),
        memory_(static_cast<char*>(std::aligned_alloc(kDirectAlignment, kCheckedBytes))) {}
  ~PieceReader() {
    if (direct_ >= 0) close(direct_);
  }
  PieceReader(const PieceReader&) = delete;
  PieceReader& operator=(const PieceReader&) = delete;

  // Reads the piece at `offset`, a multiple of kCheckedBytes, of so many bytes. Returns an empty
  // view if it cannot be read.
  std::string_view Read(uint64_t offset, size_t bytes) {
    iovec to = {memory_.get(), bytes};
    ssize_t read = preadv2(file_, &to, 1, static_cast<off_t>(offset), RWF_NOWAIT);
    if (read != static_cast<ssize_t>(bytes) && direct_ >= 0)
      read = pread(direct_, memory_.get(), kCheckedBytes, static_cast<off_t>(offset));
    if (read < static_cast<ssize_t>(bytes))
      read = pread(file_, memory_.get(), bytes, static_cast<off_t>(offset));
    if (read < static_cast<ssize_t>(bytes)) return {};
    return {memory_.get(), bytes};
  }

 private:
  const int file_;
  const int direct_;  // -1: the file system has no direct reads
  const std::unique_ptr<char, FreeMemory> memory_;
};

}  // namespace

Status CheckFile(const MappedFile& file, uint64_t begin, uint32_t checksum,
                 const std::atomic<bool>& stop) {
  PieceReader reader(file);
  uint32_t found = 0;
  for (uint64_t offset = 0; offset < file.size(); offset += kCheckedBytes) {
    if (stop.load(std::memory_order_relaxed)) return absl::CancelledError("the check was stopped");
    const size_t bytes = std::min<uint64_t>(kCheckedBytes, file.size() - offset);
    const std::string_view piece = reader.Read(offset, bytes);
    if (piece.empty())
      return Error(StatusCode::kInternal, "cannot read {}: {}", file.path(), std::strerror(errno));
    const uint64_t skipped = begin > offset ? std::min<uint64_t>(begin - offset, bytes) : 0;
    found = Crc32c(piece.substr(skipped), found);
  }
  if (found == checksum) return OkStatus();
  return Error(StatusCode::kDataLoss,
               "{} is damaged: its checksum is crc32c:{:08x}, and not crc32c:{:08x}", file.path(),
               found, checksum);
}

}  // namespace penstock::tables
