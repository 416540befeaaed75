// SPDX-License-Identifier: Apache-2.0
// zlib's state is large (about 260 KiB to compress, 40 KiB to inflate). So it is reused: an
// Inflater belongs to the receiver of a call, and comes back with it from the pool; a Deflater
// belongs to a thread, since answers are compressed on the thread that answers.
//
// RFC 1952 lets a gzip body have several members one after the other. Inflate starts again after
// the end of a member if more input follows.
#include "net/body/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

namespace penstock::net {
namespace {

constexpr int kZlibWindowBits = 15;
constexpr int kGzipWindowBits = 15 + 16;  // 16 selects the header and checksum of gzip
// Level 1: a server compresses each answer once, so time counts more than the last percents of
// size.
constexpr int kFastLevel = 1;
constexpr int kMemoryLevel = 8;

// zlib counts in 32 bits. A larger piece is handled in several calls.
unsigned ZlibSize(size_t size) {
  return static_cast<unsigned>(std::min<size_t>(size, std::numeric_limits<unsigned>::max()));
}

// A compressor with its memory (about 260 KiB). One thread.
class Deflater final {
 public:
  explicit Deflater(int window_bits) {
    deflateInit2(&stream_, kFastLevel, Z_DEFLATED, window_bits, kMemoryLevel, Z_DEFAULT_STRATEGY);
  }
  ~Deflater() { deflateEnd(&stream_); }
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  ByteChain Compress(const ByteChain& chain) {
    deflateReset(&stream_);
    ByteChain compressed;
    for (const Slice& slice : chain.slices()) {
      std::span<const std::byte> left = slice.span();
      while (!left.empty()) {
        const unsigned piece = ZlibSize(left.size());
        stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(left.data()));
        stream_.avail_in = piece;
        Run(Z_NO_FLUSH, chain.bytes(), compressed);
        left = left.subspan(piece);
      }
    }
    Run(Z_FINISH, chain.bytes(), compressed);
    return compressed;
  }

 private:
  // Deflates until the input is used up. At the end, until all output is written.
  void Run(int flush, size_t plain_bytes, ByteChain& to) {
    int result = Z_OK;
    do {
      // A guess, since the size is not known before. Too large a block wastes memory until the
      // answer is sent; too small a one costs another block.
      BufferRef block = AllocateBuffer(std::clamp<size_t>(plain_bytes / 4, 1024, 256 * 1024));
      stream_.next_out = reinterpret_cast<Bytef*>(block->data());
      stream_.avail_out = ZlibSize(block->size());
      result = deflate(&stream_, flush);
      Slice slice{block->data(), block->size() - stream_.avail_out, {}};
      slice.owner = std::move(block);
      to.Append(std::move(slice));
    } while (result == Z_OK && stream_.avail_out == 0);
  }

  z_stream stream_ = {};
};

}  // namespace

// zlib's state. One thread at a time.
struct Inflater::Impl {
  Impl() { inflateInit2(&stream, kGzipWindowBits); }
  ~Impl() { inflateEnd(&stream); }
  z_stream stream = {};
  Compression form = Compression::kGzip;
  bool at_member_end = false;
};

Inflater::Inflater() : impl_(std::make_unique<Impl>()) {}
Inflater::~Inflater() = default;

void Inflater::Reset(Compression form) {
  impl_->form = form;
  inflateReset2(&impl_->stream, form == Compression::kGzip ? kGzipWindowBits : kZlibWindowBits);
  impl_->at_member_end = false;
}

bool Inflater::is_complete() const { return impl_->at_member_end; }

StatusOr<size_t> Inflater::Inflate(std::span<const std::byte>& input, std::span<std::byte> output) {
  z_stream& stream = impl_->stream;
  size_t written = 0;
  // Run even without input, because the last call may have left output behind.
  do {
    if (impl_->at_member_end) {
      if (input.empty()) break;
      if (impl_->form == Compression::kZlib)
        return InvalidArgument("the body goes on after the end of its zlib data");
      Reset();
    }
    const unsigned in = ZlibSize(input.size());
    const unsigned out = ZlibSize(output.size() - written);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(input.data()));
    stream.avail_in = in;
    stream.next_out = reinterpret_cast<Bytef*>(output.data() + written);
    stream.avail_out = out;
    const int result = inflate(&stream, Z_NO_FLUSH);
    input = input.subspan(in - stream.avail_in);
    written += out - stream.avail_out;
    if (result == Z_STREAM_END) {
      impl_->at_member_end = true;
    } else if (result == Z_BUF_ERROR) {
      break;  // no more output from this input
    } else if (result != Z_OK) {
      return InvalidArgument("the body is not valid {} data: {}",
                             impl_->form == Compression::kGzip ? "gzip" : "zlib",
                             stream.msg != nullptr ? stream.msg : "corrupt stream");
    }
  } while (written < output.size() && !input.empty());
  return written;
}

ByteChain GzipCompress(const ByteChain& chain) {
  thread_local Deflater deflater(kGzipWindowBits);
  return deflater.Compress(chain);
}

ByteChain ZlibCompress(const ByteChain& chain) {
  thread_local Deflater deflater(kZlibWindowBits);
  return deflater.Compress(chain);
}

}  // namespace penstock::net
