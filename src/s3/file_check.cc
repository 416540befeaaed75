// SPDX-License-Identifier: Apache-2.0
// A download is made of parts, perhaps by several processes, so the whole file is checked at the
// end, from the disk. Stores offer different checksums, and none is always there: the file is
// compared with all that came.
#include "s3/file_check.h"

#include <openssl/evp.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <utility>
#include <vector>

#include "base/encoding/crc32c.h"
#include "base/encoding/hex.h"

namespace penstock {
namespace {

constexpr size_t kReadBytes = 256 * 1024;

struct FreeDigest {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

// Computes one of OpenSSL's hashes in pieces. One thread.
class Digest final {
 public:
  explicit Digest(const EVP_MD* kind) : context_(EVP_MD_CTX_new()) {
    EVP_DigestInit_ex(context_.get(), kind, nullptr);
  }
  void Add(std::string_view piece) { EVP_DigestUpdate(context_.get(), piece.data(), piece.size()); }
  std::string Take() {
    std::string hash(EVP_MAX_MD_SIZE, '\0');
    unsigned size = 0;
    EVP_DigestFinal_ex(context_.get(), reinterpret_cast<uint8_t*>(hash.data()), &size);
    hash.resize(size);
    return hash;
  }

 private:
  const std::unique_ptr<EVP_MD_CTX, FreeDigest> context_;
};

// Decodes base64; returns an empty text if it is not valid.
std::string FromBase64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return "";
  std::string bytes(text.size() / 4 * 3, '\0');
  const int size =
      EVP_DecodeBlock(reinterpret_cast<uint8_t*>(bytes.data()),
                      reinterpret_cast<const uint8_t*>(text.data()), static_cast<int>(text.size()));
  if (size < 0) return "";
  // OpenSSL decodes the padding to zero bytes, and counts them.
  const auto padding = static_cast<size_t>(std::count(text.begin(), text.end(), '='));
  bytes.resize(static_cast<size_t>(size) - std::min<size_t>(padding, 2));
  return bytes;
}

// The checksums in the headers have this byte order.
std::string BigEndian(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
          static_cast<char>(value >> 8), static_cast<char>(value)};
}

// Returns the MD5 in an ETag; empty if the ETag is not an MD5.
std::string Md5Of(std::string_view etag, const HttpHead& head) {
  // With a key of the customer or of KMS the ETag is not the hash of the plain content.
  const std::string_view encryption = head.Header("x-amz-server-side-encryption");
  const bool has_key = encryption.starts_with("aws:") ||
                       !head.Header("x-amz-server-side-encryption-customer-algorithm").empty();
  if (etag.starts_with('"') && etag.ends_with('"') && etag.size() == 34) {
    etag = etag.substr(1, 32);
  }
  const bool is_hex = etag.size() == 32 && std::all_of(etag.begin(), etag.end(), [](char c) {
                        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
                      });
  // The ETag of a multi-part upload has a "-", so it is no MD5 either.
  if (has_key || !is_hex) return "";
  std::string bytes;
  for (size_t i = 0; i < etag.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(etag.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

// The size and hashes of a file, computed in one pass. One thread.
struct Sums {
  Digest md5{EVP_md5()};
  Digest sha256{EVP_sha256()};
  uint32_t crc32c = 0;
  uLong crc32 = crc32_z(0, nullptr, 0);
  uint64_t bytes = 0;
};

}  // namespace

Status CheckFile(const std::string& path, const S3Object& object, const HttpHead& head) {
  const std::string md5 = Md5Of(object.etag, head);
  // A checksum of a multi-part upload ends with "-" and the number of parts. It is a checksum of
  // checksums, so it does not decode here and is ignored.
  const std::string sha256 = FromBase64(head.Header("x-amz-checksum-sha256"));
  const std::string crc32 = FromBase64(head.Header("x-amz-checksum-crc32"));
  const std::string crc32c = FromBase64(head.Header("x-amz-checksum-crc32c"));
  std::ifstream file(path, std::ios::binary);
  std::vector<char> buffer(kReadBytes);
  Sums sums;
  while (file) {
    file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    const std::string_view piece(buffer.data(), static_cast<size_t>(file.gcount()));
    sums.bytes += piece.size();
    // Compute only what can be compared: a model may have many gigabytes.
    if (!md5.empty()) sums.md5.Add(piece);
    if (!sha256.empty()) sums.sha256.Add(piece);
    if (!crc32.empty()) {
      sums.crc32 = crc32_z(sums.crc32, reinterpret_cast<const Bytef*>(piece.data()), piece.size());
    }
    if (!crc32c.empty()) sums.crc32c = Crc32c(piece, sums.crc32c);
  }
  if (!file.eof()) return Error(StatusCode::kInternal, "cannot read {}", path);
  // The size first: its error says more than a wrong checksum.
  if (sums.bytes != object.size) {
    return Error(StatusCode::kDataLoss, "{} came with {} bytes, but has {}", object.key, sums.bytes,
                 object.size);
  }
  const auto differs = [&](const char* what) {
    return Error(StatusCode::kDataLoss, "{} came damaged: its {} is not that of the object",
                 object.key, what);
  };
  if (!md5.empty() && sums.md5.Take() != md5) return differs("MD5");
  if (!sha256.empty() && sums.sha256.Take() != sha256) return differs("SHA-256");
  if (!crc32.empty() && BigEndian(static_cast<uint32_t>(sums.crc32)) != crc32) {
    return differs("CRC-32");
  }
  if (!crc32c.empty() && BigEndian(sums.crc32c) != crc32c) return differs("CRC-32C");
  return OkStatus();
}

StatusOr<std::string> Sha256OfFile(const std::string& path, const std::atomic<bool>& is_cancelled) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> buffer(kReadBytes);
  Digest digest(EVP_sha256());
  while (file && !is_cancelled) {
    file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    digest.Add({buffer.data(), static_cast<size_t>(file.gcount())});
  }
  if (is_cancelled) return absl::CancelledError("the load was cancelled");
  if (!file.eof()) return Error(StatusCode::kInternal, "cannot read {}", path);
  const std::string hash = digest.Take();
  std::string hex;
  AppendHex(hex, {reinterpret_cast<const uint8_t*>(hash.data()), hash.size()});
  return hex;
}

}  // namespace penstock
