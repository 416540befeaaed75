// SPDX-License-Identifier: Apache-2.0
#include "net/body/body_receiver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "net/loop/big_buffer_pool.h"
#include "net/loop/loop_fake.h"

namespace penstock::net {
namespace {

using testing::HasSubstr;

constexpr size_t kTensorAt = 37;  // where the tensor begins in a body

size_t LandTensor(std::span<const std::byte>, uint64_t) { return kTensorAt; }

std::vector<std::byte> MakeBody(size_t size) {
  std::vector<std::byte> body(size);
  for (size_t i = 0; i < size; ++i) body[i] = static_cast<std::byte>(i * 7 + i / 251);
  return body;
}

// A loop to receive on. One thread.
class BodyReceiverTest : public testing::Test {
 protected:
  static constexpr uint64_t kBudget = 64 << 20;

  void Start(uint64_t reservation = 0) {
    ServerOptions options = FakeLoop::DefaultOptions();
    options.inflight_bytes_max = kBudget;
    options.body_reservation_bytes_max = reservation;
    server_.emplace(router_, options);
  }
  BodyReceiver& NewReceiver(uint64_t length) {
    receivers_.push_back(std::make_unique<BodyReceiver>(server_->loop()));
    EXPECT_TRUE(receivers_.back()->Start({.length = length, .bytes_max = 1u << 31}).ok());
    return *receivers_.back();
  }
  void TearDown() override {
    receivers_.clear();
    server_.reset();
  }

  Router router_;
  std::optional<FakeLoop> server_;
  std::vector<std::unique_ptr<BodyReceiver>> receivers_;
};

// Receives `body` in pieces. Uses Target as a connection does, if `uses_target`.
StatusOr<Slice> ReceiveAll(BodyReceiver& receiver, const std::vector<std::byte>& body, size_t piece,
                           bool uses_target) {
  for (size_t at = 0; at < body.size();) {
    std::span<const std::byte> next =
        std::span<const std::byte>(body).subspan(at, std::min(piece, body.size() - at));
    const std::span<std::byte> target = receiver.Target();
    if (uses_target && !target.empty()) {
      const size_t size = std::min(next.size(), target.size());
      std::copy_n(next.begin(), size, target.begin());
      next = target.first(size);
    }
    TRY(receiver.Append(next));
    at += next.size();
  }
  return receiver.Finish();
}

TEST_F(BodyReceiverTest, TheTensorIsAlignedHoweverTheBodyComes) {
  Start();
  for (const size_t size : {40u, 1000u, 16'000u, 70'000u, 5'000'001u}) {
    const std::vector<std::byte> body = MakeBody(size);
    for (const size_t piece : {1u, 36u, 1000u, 4096u, 16'384u, 1'000'000u}) {
      if (size / piece > 10'000) continue;
      for (const bool uses_target : {false, true}) {
        SCOPED_TRACE(fmt::format("{} bytes in pieces of {}", size, piece));
        BodyReceiver receiver(server_->loop());
        ASSERT_TRUE(
            receiver.Start({.length = size, .bytes_max = 1 << 30, .landing = LandTensor}).ok());
        const StatusOr<Slice> slice = ReceiveAll(receiver, body, piece, uses_target);
        ASSERT_TRUE(slice.ok());
        EXPECT_EQ(reinterpret_cast<uintptr_t>(slice->data + kTensorAt) % kBufferAlignment, 0u);
        EXPECT_TRUE(std::equal(body.begin(), body.end(), slice->data, slice->data + slice->size));
      }
    }
  }
}

TEST_F(BodyReceiverTest, TheLandingSeesThePrefixOfABody) {
  static size_t seen_bytes;
  static uint64_t seen_length;
  Start();
  for (const size_t size : {10u, 4096u, 9000u}) {
    BodyReceiver receiver(server_->loop());
    ASSERT_TRUE(receiver
                    .Start({.length = size,
                            .bytes_max = 1 << 30,
                            .landing =
                                [](std::span<const std::byte> prefix, uint64_t length) {
                                  seen_bytes = prefix.size();
                                  seen_length = length;
                                  return size_t{0};
                                }})
                    .ok());
    ASSERT_TRUE(ReceiveAll(receiver, MakeBody(size), 500, false).ok());
    EXPECT_EQ(seen_bytes, std::min<size_t>(size, 4096));
    EXPECT_EQ(seen_length, size);
  }
}

TEST_F(BodyReceiverTest, ABodyOfUnknownLengthGrows) {
  Start();
  BodyReceiver receiver(server_->loop());
  ASSERT_TRUE(receiver.Start({.length = {}, .bytes_max = 1 << 30, .landing = LandTensor}).ok());
  const std::vector<std::byte> body = MakeBody(300'000);
  const StatusOr<Slice> slice = ReceiveAll(receiver, body, 777, true);
  ASSERT_TRUE(slice.ok());
  EXPECT_TRUE(std::equal(body.begin(), body.end(), slice->data, slice->data + slice->size));
}

TEST_F(BodyReceiverTest, LimitsAreErrorsOfTheirOwn) {
  Start();
  BodyReceiver receiver(server_->loop());
  EXPECT_EQ(receiver.Start({.length = 101, .bytes_max = 100}).code(), StatusCode::kOutOfRange);
  ASSERT_TRUE(receiver.Start({.length = {}, .bytes_max = 100}).ok());
  EXPECT_EQ(receiver.Append(MakeBody(101)).code(), StatusCode::kOutOfRange);
  ASSERT_TRUE(receiver.Start({.length = 10, .bytes_max = 100}).ok());
  EXPECT_EQ(receiver.Append(MakeBody(11)).code(), StatusCode::kInvalidArgument);
  ASSERT_TRUE(receiver.Start({.length = 2 * kBudget, .bytes_max = 1u << 31}).ok());
  EXPECT_EQ(receiver.Append(MakeBody(kBudget + 1)).code(), StatusCode::kResourceExhausted);
}

TEST_F(BodyReceiverTest, AnnouncedBytesReserveLittleUntilTheyCome) {
  Start(uint64_t{1} << 40);
  const std::vector<std::byte> part = MakeBody(20'000);
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(NewReceiver(2'000'000'000).Append(part).ok());
  EXPECT_LT(server_->state().big_buffers->reserved_bytes(), uint64_t{600} << 20);
}

TEST_F(BodyReceiverTest, APreviewChoosesThePlaceOfAllOfTheBody) {
  Start();
  const std::vector<std::byte> body = MakeBody(3'000'000);
  BodyReceiver& receiver = NewReceiver(0);
  ASSERT_TRUE(
      receiver.Start({.length = body.size(), .bytes_max = 1u << 31, .landing = LandTensor}).ok());
  ASSERT_TRUE(receiver.wants_preview());
  receiver.Preview(std::span(body).first(kBodyPreviewBytes - 1));  // too few
  EXPECT_TRUE(receiver.wants_preview());
  receiver.Preview(std::span(body).first(kBodyPreviewBytes));
  EXPECT_FALSE(receiver.wants_preview());
  const std::byte* const place = receiver.Target().data();
  const StatusOr<Slice> slice = ReceiveAll(receiver, body, 100'000, true);
  ASSERT_TRUE(slice.ok());
  EXPECT_EQ(slice->data, place);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(slice->data + kTensorAt) % kBufferAlignment, 0u);
  EXPECT_TRUE(std::equal(body.begin(), body.end(), slice->data, slice->data + slice->size));
  EXPECT_EQ(server_->state().metrics.body_bytes_copied.Value(), 0u);
}

TEST_F(BodyReceiverTest, PreviewsMakeAddressSpaceScarceAndRefuseNobody) {
  Start();
  const std::vector<std::byte> part = MakeBody(kBodyPreviewBytes);
  const size_t length = server_->state().big_buffers->at_once_max() - kBufferAlignment;
  while (!server_->state().big_buffers->is_scarce() && receivers_.size() < 1000) {
    NewReceiver(length).Preview(part);
    ASSERT_TRUE(receivers_.back()->Append(part).ok());
  }
  EXPECT_TRUE(server_->state().big_buffers->is_scarce());
  BodyReceiver& whole = NewReceiver(5'000'000);
  whole.Preview(part);
  EXPECT_TRUE(whole.wants_preview());
  ASSERT_TRUE(ReceiveAll(whole, MakeBody(5'000'000), 10'000, true).ok());
}

TEST_F(BodyReceiverTest, ABodyOfWhichLittleHasComeCountsLittle) {
  Start();
  const uint64_t before = server_->state().body_bytes.left();
  for (int i = 0; i < 1000; ++i)
    ASSERT_TRUE(NewReceiver(2'000'000'000).Append({std::array<std::byte, 1>()}).ok());
  EXPECT_LT(before - server_->state().body_bytes.left(), uint64_t{4} << 20);
  EXPECT_EQ(server_->state().big_buffers->reserved_bytes(), 0u);
}

TEST_F(BodyReceiverTest, ScarceAddressSpaceRefusesNobodyWhoSendsWhatHeAnnounced) {
  Start();
  const uint64_t reserved_max = server_->state().options.body_reservation_bytes_max;
  EXPECT_EQ(reserved_max, 8 * kBudget);
  // Until the budget for bodies has no memory left.
  const std::vector<std::byte> part = MakeBody(20'000);
  while (NewReceiver(2'000'000'000).Append(part).ok()) {
  }
  EXPECT_GT(receivers_.size(), kBudget / (70 * 1024));
  EXPECT_LT(server_->state().big_buffers->reserved_bytes(), reserved_max);
  receivers_.resize(receivers_.size() - 400);
  EXPECT_TRUE(server_->state().big_buffers->is_scarce());
  BodyReceiver& whole = NewReceiver(5'000'000);
  ASSERT_TRUE(ReceiveAll(whole, MakeBody(5'000'000), 10'000, true).ok());
}

TEST_F(BodyReceiverTest, WithoutAddressSpaceTheErrorNamesTheOption) {
  Start(1 << 20);
  const Status status = NewReceiver(900'000).Append(MakeBody(100'000));
  ASSERT_TRUE(status.ok());
  const Status refused = NewReceiver(900'000).Append(MakeBody(500'000));
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(MessageOf(refused), HasSubstr("--body_reservation_bytes_max"));
}

}  // namespace
}  // namespace penstock::net
