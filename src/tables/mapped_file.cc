// SPDX-License-Identifier: Apache-2.0
#include "tables/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace penstock::tables {
namespace {

Status MapError(const std::string& path) {
  return Error(StatusCode::kInternal, "cannot map {} into memory: {}", path, std::strerror(errno));
}

}  // namespace

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(changed_ns_, other.changed_ns_);
  std::swap(path_, other.path_);
  std::swap(file_, other.file_);
  std::swap(guard_, other.guard_);
  return *this;
}

MappedFile::~MappedFile() {
  guard_.reset();
  if (data_ != nullptr) munmap(data_, size_);
  if (file_ >= 0) close(file_);
}

StatusOr<MappedFile> MappedFile::Open(const std::string& path) {
  // Without O_NONBLOCK, opening a pipe would wait for its writer.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) {
    return Error(errno == ENOENT ? StatusCode::kNotFound : StatusCode::kInvalidArgument,
                 "cannot open {}: {}", path, std::strerror(errno));
  }
  return OfDescriptor(file, path);
}

StatusOr<MappedFile> MappedFile::OfDescriptor(int file, const std::string& path) {
  MappedFile mapped;
  mapped.file_ = file;
  struct stat status = {};
  if (fstat(file, &status) != 0) return MapError(path);
  if (!S_ISREG(status.st_mode)) return InvalidArgument("{} is no regular file", path);
  mapped.path_ = path;
  mapped.changed_ns_ =
      int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + int64_t{status.st_mtim.tv_nsec};
  if (status.st_size == 0) return mapped;
  const auto size = static_cast<size_t>(status.st_size);
  void* const data = mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0);
  if (data == MAP_FAILED) return MapError(path);
  mapped.data_ = static_cast<std::byte*>(data);
  mapped.size_ = size;
  mapped.guard_ = std::make_unique<DamageGuard>(data, size);
  return mapped;
}

StatusOr<MappedFile> MappedFile::Anonymous(size_t bytes, const std::string& path) {
  void* const data =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return MapError(path);
  MappedFile mapped;
  mapped.path_ = path;
  mapped.data_ = static_cast<std::byte*>(data);
  mapped.size_ = bytes;
  return mapped;
}

bool MappedFile::HasShrunk() const {
  struct stat status = {};
  return fstat(file_, &status) != 0 || static_cast<size_t>(status.st_size) < size_;
}

void MappedFile::ExpectRandomReads() const {
  // Only advice: nothing is wrong if the kernel does not take it. The second one is for preadv2.
  if (data_ == nullptr) return;
  madvise(data_, size_, MADV_RANDOM);
  if (file_ >= 0) posix_fadvise(file_, 0, 0, POSIX_FADV_RANDOM);
}

void MappedFile::AskFor(const void* begin, size_t size) {
  static const auto page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t first = reinterpret_cast<uintptr_t>(begin) & ~(page_bytes - 1);
  const uintptr_t end = reinterpret_cast<uintptr_t>(begin) + size;
  madvise(reinterpret_cast<void*>(first), end - first, MADV_WILLNEED);
}

}  // namespace penstock::tables
