// SPDX-License-Identifier: Apache-2.0
// What a server sends to our HTTP/2 client. The first byte of the input says what else happens, the
// second one into how large reads the rest is cut (0: not at all).
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "net/client/peer_fake.h"
#include "protocols/tfs/predict_reader.h"

namespace penstock::net {
namespace {

// Bits of the first byte.
constexpr unsigned kSettingsFirst = 1;  // the input begins behind the server's SETTINGS
constexpr unsigned kCancel = 2;         // one call is cancelled after the first read
constexpr unsigned kLanding = 4;
constexpr unsigned kSmallLimits = 8;
constexpr unsigned kLarge = 16;  // the requests do not fit into the server's window
constexpr unsigned kPing = 32;
constexpr unsigned kLateCall = 64;  // one more call begins after the first read

constexpr std::string_view kSettings("\0\0\0\4\0\0\0\0\0", 9);

void Begin(ClientSession& session, FakeSessionOwner& owner, uint64_t id, unsigned how) {
  UnaryRequest request{.path = "/a/u"};
  request.message.AppendCopy(std::string((how & kLarge) != 0 ? 100'000 : 10, 'x'));
  request.answer_bytes_max = (how & kSmallLimits) != 0 ? 64 : 1 << 20;
  if ((how & kLanding) != 0) request.landing = tfs::PredictLanding;
  session.Start(owner.Make(id, std::move(request)));
}

bool Give(ClientSession& session, std::string_view bytes) {
  if (!session.OnBytes(std::as_bytes(std::span(bytes))).ok()) return false;
  FakePeer::Output(session);
  return session.CheckServer().ok();
}

void Play(std::string_view input, size_t step, unsigned how) {
  const FakeClock clock;
  FakeSessionOwner owner;
  ClientSessionOptions options{.authority = "a"};
  if ((how & kSmallLimits) != 0) options.header_bytes_max = 512;
  ClientSession session(owner, std::move(options), clock);
  for (uint64_t id = 1; id <= 3; ++id) Begin(session, owner, id, how);
  FakePeer::Output(session);
  bool is_good = (how & kSettingsFirst) == 0 || Give(session, kSettings);
  for (bool is_first = true; is_good && !input.empty(); is_first = false) {
    is_good = Give(session, input.substr(0, step));
    input.remove_prefix(std::min(step, input.size()));
    if (!is_first) continue;
    if ((how & kCancel) != 0 && owner.calls.contains(2)) {
      session.Cancel(*owner.calls.at(2));
      owner.calls.erase(2);
    }
    if ((how & kPing) != 0) session.Ping();
    if ((how & kLateCall) != 0 && session.is_open()) Begin(session, owner, 4, how);
  }
  session.Fail("the input ends");
  PENSTOCK_CHECK(owner.calls.empty(), "a call has no answer");
  for (const auto& [id, answer] : owner.answers) {
    if (!answer.status.ok()) continue;
    PENSTOCK_CHECK(answer.message.size <= ((how & kSmallLimits) != 0 ? 64U : 1U << 20),
                   "an answer is over the limit");
    // Reads every byte.
    PENSTOCK_CHECK(std::string(answer.message.view()).size() == answer.message.size, "it is there");
  }
}

}  // namespace
}  // namespace penstock::net

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  penstock::net::Play(input, data[1] == 0 ? SIZE_MAX : data[1], data[0]);
  return 0;
}
