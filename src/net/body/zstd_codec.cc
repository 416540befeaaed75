// SPDX-License-Identifier: Apache-2.0
// A reader takes the memory of the frame's window, up to 8 MiB, when the body begins. So it belongs
// to one body, unlike zlib's state, which is small and reused. A compressor belongs to a thread.
#include "net/body/zstd_codec.h"

// The header has the functions below only with this. They are stable in the archive that is linked.
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include <algorithm>
#include <bit>
#include <new>

namespace penstock::net {
namespace {

constexpr int kZstdFastLevel = 1;
constexpr int kWindowLogMin = 10;  // zstd's own

Status BadData(std::string_view why) {
  return InvalidArgument("the body is not valid zstd data: {}", why);
}

int WindowLog(size_t bytes) {
  return std::max(kWindowLogMin, static_cast<int>(std::bit_width(bytes - 1)));
}

// A compressor with its memory. One thread.
class ZstdCompressor final {
 public:
  ZstdCompressor() : context_(ZSTD_createCCtx()) {
    if (context_ == nullptr) throw std::bad_alloc();
    ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, kZstdFastLevel);
    ZSTD_CCtx_setParameter(context_, ZSTD_c_checksumFlag, 1);
  }
  ~ZstdCompressor() { ZSTD_freeCCtx(context_); }
  ZstdCompressor(const ZstdCompressor&) = delete;
  ZstdCompressor& operator=(const ZstdCompressor&) = delete;

  ByteChain Compress(const ByteChain& chain) {
    ZSTD_CCtx_reset(context_, ZSTD_reset_session_only);
    ZSTD_CCtx_setPledgedSrcSize(context_, chain.bytes());
    ByteChain compressed;
    for (const Slice& slice : chain.slices())
      Run({slice.data, slice.size, 0}, ZSTD_e_continue, chain.bytes(), compressed);
    Run({nullptr, 0, 0}, ZSTD_e_end, chain.bytes(), compressed);
    return compressed;
  }

 private:
  void Run(ZSTD_inBuffer in, ZSTD_EndDirective end, size_t plain_bytes, ByteChain& to) {
    for (size_t left = 1; left != 0 && (end == ZSTD_e_end || in.pos < in.size);) {
      // A guess, as for gzip.
      BufferRef block = AllocateBuffer(std::clamp<size_t>(plain_bytes / 4, 1024, 256 * 1024));
      ZSTD_outBuffer out = {block->data(), block->size(), 0};
      left = ZSTD_compressStream2(context_, &out, &in, end);
      if (ZSTD_isError(left)) throw std::bad_alloc();  // the only error of correct calls
      if (end == ZSTD_e_continue) left = in.size - in.pos;
      Slice slice{block->data(), out.pos, {}};
      slice.owner = std::move(block);
      to.Append(std::move(slice));
    }
  }

  ZSTD_CCtx* const context_;
};

}  // namespace

// zstd's state. One thread at a time.
struct ZstdReader::Impl {
  Impl() : context(ZSTD_createDCtx()) {
    if (context == nullptr) throw std::bad_alloc();
  }
  ~Impl() { ZSTD_freeDCtx(context); }
  ZSTD_DCtx* const context;
  bool at_frame_end = false;
};

StatusOr<size_t> ZstdReader::WindowOf(std::span<const std::byte> first) {
  ZSTD_frameHeader header;
  const size_t missing = ZSTD_getFrameHeader(&header, first.data(), first.size());
  if (ZSTD_isError(missing)) return BadData(ZSTD_getErrorName(missing));
  if (missing > 0 || header.frameType == ZSTD_skippableFrame) return kZstdWindowBytesMax;
  if (header.windowSize > kZstdWindowBytesMax) {
    return InvalidArgument("the zstd data of the body needs a window of {} bytes; the limit is {}",
                           header.windowSize, kZstdWindowBytesMax);
  }
  return static_cast<size_t>(header.windowSize);
}

size_t ZstdReader::MemoryFor(size_t window_bytes) {
  return ZSTD_estimateDStreamSize(size_t{1} << WindowLog(window_bytes));
}

ZstdReader::ZstdReader(size_t window_bytes) : impl_(std::make_unique<Impl>()) {
  ZSTD_DCtx_setParameter(impl_->context, ZSTD_d_windowLogMax, WindowLog(window_bytes));
}

ZstdReader::~ZstdReader() = default;

bool ZstdReader::is_complete() const { return impl_->at_frame_end; }

StatusOr<size_t> ZstdReader::Read(std::span<const std::byte>& input, std::span<std::byte> output) {
  size_t written = 0;
  // Run even without input, because the last call may have left output behind. But not between two
  // frames: zstd would take that for the begin of one.
  while (written < output.size() && !(input.empty() && impl_->at_frame_end)) {
    ZSTD_inBuffer in = {input.data(), input.size(), 0};
    ZSTD_outBuffer out = {output.data() + written, output.size() - written, 0};
    const size_t result = ZSTD_decompressStream(impl_->context, &out, &in);
    if (ZSTD_isError(result)) return BadData(ZSTD_getErrorName(result));
    input = input.subspan(in.pos);
    written += out.pos;
    impl_->at_frame_end = result == 0;
    if (input.empty() && out.pos < out.size) break;  // no more output from this input
  }
  return written;
}

ByteChain ZstdCompress(const ByteChain& chain) {
  thread_local ZstdCompressor compressor;
  return compressor.Compress(chain);
}

}  // namespace penstock::net
