// SPDX-License-Identifier: Apache-2.0
// Replaces the C library's functions that read files, for the runtimes in this process. On threads
// of low priority they read in pieces, and yield the CPU after each piece. A kernel without
// preemption (PREEMPT_NONE) would otherwise copy a tensor of 100 MB in one system call, and no
// request could use that CPU for 40 ms. GiveWay does not help here, because runtimes also read on
// threads of their own.
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace penstock {
namespace {

constexpr size_t kPieceBytes = 128 << 10;  // takes 30 to 60 us

// Calls `read_piece(offset, size)` until a piece is short or all is read.
template <typename ReadPiece>
ssize_t ReadInPieces(size_t size, ReadPiece read_piece) {
  size_t done = 0;
  while (done < size) {
    const size_t wanted = std::min(size - done, kPieceBytes);
    const ssize_t got = read_piece(done, wanted);
    // As read() does: bytes that were read are reported first, and the error comes with the next
    // call.
    if (got < 0) return done > 0 ? static_cast<ssize_t>(done) : got;
    done += static_cast<size_t>(got);
    if (static_cast<size_t>(got) < wanted) break;
    sched_yield();
  }
  return static_cast<ssize_t>(done);
}

// The size is tested first, because the second test is a system call, and most reads are small.
bool ShallGiveWay(size_t size) { return size > kPieceBytes && getpriority(PRIO_PROCESS, 0) > 0; }

// Pieces are only for regular files. Others may have fewer bytes than the caller wants, and the
// next piece would block.
bool IsRegular(int file) {
  struct stat info = {};
  return fstat(file, &info) == 0 && S_ISREG(info.st_mode);
}

}  // namespace
}  // namespace penstock

#define PENSTOCK_EXPORT __attribute__((visibility("default")))

extern "C" {

PENSTOCK_EXPORT ssize_t read(int file, void* to, size_t size) {
  // syscall() and not read(): this function has replaced that one.
  if (!penstock::ShallGiveWay(size) || !penstock::IsRegular(file))
    return syscall(SYS_read, file, to, size);
  return penstock::ReadInPieces(size, [&](size_t done, size_t piece) {
    return syscall(SYS_read, file, static_cast<char*>(to) + done, piece);
  });
}

PENSTOCK_EXPORT ssize_t pread64(int file, void* to, size_t size, off64_t offset) {
  if (!penstock::ShallGiveWay(size)) return syscall(SYS_pread64, file, to, size, offset);
  return penstock::ReadInPieces(size, [&](size_t done, size_t piece) {
    return syscall(SYS_pread64, file, static_cast<char*>(to) + done, piece,
                   offset + static_cast<off64_t>(done));
  });
}

PENSTOCK_EXPORT ssize_t pread(int file, void* to, size_t size, off_t offset) {
  return pread64(file, to, size, offset);
}

}  // extern "C"
