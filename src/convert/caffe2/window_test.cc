// SPDX-License-Identifier: Apache-2.0
#include "convert/caffe2/window.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

namespace penstock::convert {
namespace {

using Sizes = std::vector<int64_t>;

// The window of an operator with these arguments, in protobuf's text form.
StatusOr<Window> Read(const std::string& arguments, const Sizes& spatial) {
  ::caffe2::OperatorDef op;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(arguments, &op)) << arguments;
  return ReadWindow(Arguments(op), spatial);
}

std::string WhyWindowRefused(const std::string& arguments, const Sizes& spatial) {
  const StatusOr<Window> window = Read(arguments, spatial);
  if (!window.ok()) return std::string(MessageOf(window.status()));
  return std::string(MessageOf(CheckPooling(*window)));
}

constexpr const char* kKernel3 = R"(arg { name: "kernel" i: 3 } arg { name: "stride" i: 2 } )";

TEST(Window, RoundsDown) {
  const auto window = Read(kKernel3, {8, 7});
  ASSERT_TRUE(window.ok()) << window.status();
  EXPECT_EQ(window->out, (Sizes{3, 3}));
  EXPECT_EQ(window->pad_tail, (Sizes{0, 0}));
}

TEST(Window, RoundsUpAsCaffe) {
  const auto window = Read(std::string(kKernel3) + R"(arg { name: "legacy_pad" i: 3 })", {8, 7});
  ASSERT_TRUE(window.ok()) << window.status();
  EXPECT_EQ(window->out, (Sizes{4, 3}));
  EXPECT_EQ(window->pad_tail, (Sizes{1, 0}));
}

// Otherwise the last window would lie behind the input.
TEST(Window, StartsInTheInputAsInCaffe) {
  const auto window = Read(R"(arg { name: "kernel" i: 2 } arg { name: "stride" i: 2 }
                              arg { name: "pad" i: 1 } arg { name: "legacy_pad" i: 3 })",
                           {3, 4});
  ASSERT_TRUE(window.ok()) << window.status();
  EXPECT_EQ(window->out, (Sizes{2, 3}));
  EXPECT_EQ(window->pad_tail, (Sizes{0, 1}));
}

TEST(Window, ComputesThePaddingForSame) {
  const auto window = Read(std::string(kKernel3) + R"(arg { name: "legacy_pad" i: 2 })", {8, 7});
  ASSERT_TRUE(window.ok()) << window.status();
  EXPECT_EQ(window->out, (Sizes{4, 4}));
  EXPECT_EQ(window->pad_head, (Sizes{0, 1}));
  EXPECT_EQ(window->pad_tail, (Sizes{1, 1}));
}

TEST(Window, CoversEverythingIfGlobal) {
  const auto window = Read(R"(arg { name: "global_pooling" i: 1 })", {8, 7});
  ASSERT_TRUE(window.ok()) << window.status();
  EXPECT_EQ(window->kernel, (Sizes{8, 7}));
  EXPECT_EQ(window->out, (Sizes{1, 1}));
}

// As in Caffe2, which wants both.
TEST(Window, IgnoresOneSideAlone) {
  const auto window = Read(std::string(kKernel3) + R"(arg { name: "pad_t" i: 1 }
                           arg { name: "dilation_h" i: 2 })",
                           {8, 7});
  ASSERT_TRUE(window.ok()) << window.status();
  EXPECT_EQ(window->pad_head, (Sizes{0, 0}));
  EXPECT_EQ(window->dilation, (Sizes{1, 1}));
}

TEST(Window, ErrorsSayWhatIsWrong) {
  const std::string kernel = kKernel3;
  EXPECT_EQ(WhyWindowRefused("", {8, 7}), "it has 0 kernel sizes; right would be 2");
  EXPECT_EQ(WhyWindowRefused(kernel, {8}), "it has 2 kernel sizes; right would be 1");
  EXPECT_EQ(WhyWindowRefused(kernel, {2, 7}), "the kernel 3 is larger than the padded input 2");
  EXPECT_EQ(WhyWindowRefused(kernel + R"(arg { name: "pads" ints: [1, 1] })", {8, 7}),
            "it has 2 pads; right would be 4");
  EXPECT_EQ(WhyWindowRefused(kernel + R"(arg { name: "pad" i: -1 })", {8, 7}),
            "a pad is -1; right would be 0 or more");
  EXPECT_EQ(WhyWindowRefused(R"(arg { name: "kernel" i: 3 } arg { name: "stride" i: 0 })", {8, 7}),
            "a stride is 0; right would be 1 or more");
  EXPECT_EQ(WhyWindowRefused(kernel + R"(arg { name: "legacy_pad" i: 4 })", {8, 7}),
            "legacy_pad is 4, not a number from 0 to 3");
  EXPECT_EQ(WhyWindowRefused(kernel + R"(arg { name: "pad" i: 1 } arg { name: "legacy_pad" i: 1 })",
                             {8, 7}),
            "legacy_pad 1 goes without pads");
  EXPECT_EQ(
      WhyWindowRefused(R"(arg { name: "global_pooling" i: 1 } arg { name: "pad" i: 1 })", {8, 7}),
      "global_pooling goes without pads, strides and dilations");
  EXPECT_NE(
      WhyWindowRefused(kernel + R"(arg { name: "pad" i: 3 })", {8, 7}).find("padding of 3 alone"),
      std::string::npos);
  EXPECT_NE(WhyWindowRefused(R"(arg { name: "kernel" i: 1 } arg { name: "stride" i: 4 }
                          arg { name: "legacy_pad" i: 3 })",
                             {4, 4})
                .find("lies in the padding"),
            std::string::npos);
  EXPECT_NE(WhyWindowRefused(R"(arg { name: "kernel" i: 1 } arg { name: "stride" i: 4 }
                          arg { name: "legacy_pad" i: 2 })",
                             {8, 8})
                .find("negative padding"),
            std::string::npos);
  EXPECT_EQ(WhyWindowRefused(kernel + R"(arg { name: "dilation" i: 2 })", {8, 8}),
            "a pooling has no dilation");
  EXPECT_EQ(WhyWindowRefused(R"(arg { name: "kernel" f: 3 })", {8, 8}),
            "the argument kernel is no whole number");
  EXPECT_EQ(WhyWindowRefused(R"(arg { name: "kernel" i: 4294967299 })", {8, 8}),
            "the argument kernel has the value 4294967299, which is no number of 32 bits");
}

}  // namespace
}  // namespace penstock::convert
