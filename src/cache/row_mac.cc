// SPDX-License-Identifier: Apache-2.0
#include "cache/row_mac.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/check.h"

namespace penstock::cache {
namespace {

constexpr size_t kPolyKeyBytes = 32;
constexpr size_t kSipKeyBytes = 16;
constexpr size_t kTagBytes = 16;
// Longer pieces go to the hash as they are.
constexpr size_t kHeldPieceMax = 64;

struct FreeContext {
  void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
};

// The contexts of one thread, which are reused: to make one takes longer than to hash a row.
class Contexts final {
 public:
  static Contexts& OfThread() {
    thread_local Contexts contexts;
    return contexts;
  }
  EVP_MAC_CTX* poly() { return poly_.get(); }
  EVP_MAC_CTX* sip() { return sip_.get(); }

 private:
  Contexts() : poly_(Make("POLY1305")), sip_(Make("SIPHASH")) {
    size_t size = kTagBytes;
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
                                 OSSL_PARAM_construct_end()};
    PENSTOCK_CHECK(EVP_MAC_CTX_set_params(sip_.get(), params) == 1, "SipHash-128 is missing");
  }
  static EVP_MAC_CTX* Make(const char* name) {
    EVP_MAC* const mac = EVP_MAC_fetch(nullptr, name, nullptr);
    PENSTOCK_CHECK(mac != nullptr, "OpenSSL lacks Poly1305 or SipHash");
    EVP_MAC_CTX* const context = EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac);  // the context keeps it
    PENSTOCK_CHECK(context != nullptr, "no memory for a hash");
    return context;
  }

  const std::unique_ptr<EVP_MAC_CTX, FreeContext> poly_;
  const std::unique_ptr<EVP_MAC_CTX, FreeContext> sip_;
};

void Must(int result) { PENSTOCK_CHECK(result == 1, "OpenSSL refuses to hash"); }

// Fills what stands before a row up to 64 bytes. The hash reads blocks, and is slower if they do
// not begin where cache lines do.
constexpr std::array<char, 64 - sizeof(uint64_t) - sizeof(RowKey)> kPadding = {};

// What a message is, so that no message of one kind equals one of another.
enum Kind : uint64_t { kIdentity = 1, kForm = 2, kRow = 3 };

void AddStrings(const Tensor& row, RowMac& mac) {
  for (const StringElement& element : row.strings()) mac.AddText(element.view());
}

}  // namespace

MacKey RandomMacKey() {
  MacKey key;
  Must(RAND_bytes(key.data(), static_cast<int>(key.size())));
  return key;
}

RowMac::RowMac(const MacKey& key) : key_(key) {
  Must(EVP_MAC_init(Contexts::OfThread().poly(), key_.data(), kPolyKeyBytes, nullptr));
}

void RowMac::AddNumber(uint64_t number) { AddBytes(&number, sizeof(number)); }

void RowMac::AddText(std::string_view text) {
  AddNumber(text.size());
  AddBytes(text.data(), text.size());
}

void RowMac::AddBytes(const void* data, size_t size) {
  if (size == 0) return;
  if (held_ + size > small_.size()) Flush();
  if (size <= kHeldPieceMax) {
    std::memcpy(small_.data() + held_, data, size);
    held_ += size;
    return;
  }
  Flush();
  Must(EVP_MAC_update(Contexts::OfThread().poly(), static_cast<const unsigned char*>(data), size));
}

void RowMac::Flush() {
  if (held_ == 0) return;
  Must(EVP_MAC_update(Contexts::OfThread().poly(), small_.data(), held_));
  held_ = 0;
}

RowKey RowMac::Finish() {
  Flush();
  Contexts& contexts = Contexts::OfThread();
  unsigned char tag[kTagBytes];
  size_t size = 0;
  Must(EVP_MAC_final(contexts.poly(), tag, &size, sizeof(tag)));
  Must(EVP_MAC_init(contexts.sip(), key_.data() + kPolyKeyBytes, kSipKeyBytes, nullptr));
  Must(EVP_MAC_update(contexts.sip(), tag, sizeof(tag)));
  Must(EVP_MAC_final(contexts.sip(), tag, &size, sizeof(tag)));
  RowKey key;
  std::memcpy(&key, tag, sizeof(key));
  return key;
}

RowKeys::RowKeys(const MacKey& key, std::string_view identity) : key_(key) {
  RowMac mac(key_);
  mac.AddNumber(kIdentity);
  mac.AddText(identity);
  identity_ = mac.Finish();
}

void RowKeys::Compute(std::string_view signature, const InferRequest& request, int64_t rows,
                      absl::InlinedVector<RowKey, 4>& keys) const {
  absl::InlinedVector<const NamedTensor*, 4> inputs;
  for (const NamedTensor& input : request.inputs) inputs.push_back(&input);
  // Clients may send them in any order.
  if (inputs.size() > 1) std::ranges::sort(inputs, {}, &NamedTensor::name);
  RowMac form_mac(key_);
  form_mac.AddNumber(kForm);
  form_mac.AddBytes(&identity_, sizeof(identity_));
  form_mac.AddText(signature);
  form_mac.AddNumber(request.options.size());
  for (const auto& [name, value] : request.options) {
    form_mac.AddText(name);
    form_mac.AddText(value);
  }
  form_mac.AddNumber(inputs.size());
  for (const NamedTensor* input : inputs) {
    const auto dims = input->tensor.shape().dims();
    form_mac.AddText(input->name);
    form_mac.AddNumber(static_cast<uint64_t>(input->tensor.dtype()));
    form_mac.AddNumber(dims.size());
    for (const int64_t size : dims.subspan(1)) form_mac.AddNumber(static_cast<uint64_t>(size));
  }
  const RowKey form = form_mac.Finish();
  keys.resize(static_cast<size_t>(rows));
  for (int64_t row = 0; row < rows; ++row) {
    RowMac mac(key_);
    mac.AddNumber(kRow);
    mac.AddBytes(&form, sizeof(form));
    mac.AddBytes(kPadding.data(), kPadding.size());
    for (const NamedTensor* input : inputs) {
      const Tensor& tensor = input->tensor;
      if (tensor.dtype() == DType::kString) {
        AddStrings(tensor.Rows(row, 1), mac);
        continue;
      }
      const size_t row_bytes = tensor.bytes() / static_cast<size_t>(rows);
      mac.AddBytes(tensor.data() + row_bytes * static_cast<size_t>(row), row_bytes);
    }
    keys[static_cast<size_t>(row)] = mac.Finish();
  }
}

}  // namespace penstock::cache
