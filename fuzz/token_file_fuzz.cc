// SPDX-License-Identifier: Apache-2.0
// A token file, and behind the first NUL the authorization field of a request. What is no file must
// have a reason, and a stranger may do nothing.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "access/access_control.h"
#include "config/token_file.h"

namespace penstock {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void TryFile(std::string_view text, std::string_view authorization) {
  StatusOr<access::AccessTable> table = ParseTokenFile(text, "file");
  if (!table.ok()) {
    Require(table.status().code() == StatusCode::kInvalidArgument);
    return Require(MessageOf(table.status()).size() > 4);
  }
  const access::AccessControl control(*std::move(table));
  access::CallerMemo memo(control, {{access::CertificateName::Kind::kDns, "client"}});
  const access::CallerPtr caller = memo.Identify(authorization);
  Require(memo.Identify(authorization).get() == caller.get());
  for (const std::string_view model : {std::string_view("a"), authorization}) {
    for (size_t i = 0; i < access::kOperations; ++i) {
      const auto operation = static_cast<access::Operation>(i);
      Require(!caller->May(operation, model) || caller->refusal().empty());
      Require(!caller->MayAll(operation) || caller->May(operation, model));
    }
  }
}

}  // namespace
}  // namespace penstock

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t nul = std::min(input.find('\0'), input.size());
  penstock::TryFile(input.substr(0, nul), input.substr(std::min(nul + 1, input.size())));
  return 0;
}
