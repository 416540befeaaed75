// SPDX-License-Identifier: Apache-2.0
#include "loading/session_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocols/tfs/wire_writer.h"
#include "tensorflow/tensor.pb.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A length-delimited field.
std::string WireField(uint32_t number, std::string_view content) {
  std::string bytes(tfs::LengthFieldBytes(number, content.size()), '\0');
  tfs::WireWriter(reinterpret_cast<std::byte*>(bytes.data())).BytesField(number, content);
  return bytes;
}

std::string Feed(std::string_view name, float value) {
  tensorflow::TensorProto tensor;
  tensor.set_dtype(tensorflow::DT_FLOAT);
  tensor.add_float_val(value);
  return WireField(2, WireField(1, name) + WireField(2, tensor.SerializeAsString()));
}

ModelInfo InfoOfTwoSignatures() {
  const auto spec = [](std::string name, std::string backend_name) {
    TensorSpec tensor;
    tensor.name = std::move(name);
    tensor.backend_name = std::move(backend_name);
    tensor.dtype = DType::kFloat32;
    return tensor;
  };
  ModelInfo info;
  info.signatures = {{"one", "", {spec("x", "in:0")}, {spec("y", "out:0")}},
                     {"two", "", {spec("x", "in:0")}, {spec("y", "out:1"), spec("z", "more:0")}}};
  return info;
}

class SessionRunTest : public testing::Test {
 protected:
  Status Read(const std::string& message) {
    request_ = {};
    RequestMemory memory(1 << 20);
    return ReadSessionRun(WholeSlice(CopyToBuffer(message)), info_, memory, request_);
  }

  const ModelInfo info_ = InfoOfTwoSignatures();
  InferRequest request_;
};

TEST_F(SessionRunTest, TheSignatureWithTheTensorsIsRun) {
  ASSERT_EQ(Read(Feed("in", 2) + WireField(3, "more") + WireField(3, "out:1")), OkStatus());
  EXPECT_EQ(request_.signature_name, "two");
  ASSERT_EQ(request_.inputs.size(), 1u);
  EXPECT_EQ(request_.inputs[0].name, "x");
  EXPECT_EQ(request_.inputs[0].tensor.as<float>()[0], 2);
  EXPECT_THAT(request_.output_filter, ElementsAre("z", "y"));
  ASSERT_EQ(Read(Feed("in:0", 2) + WireField(3, "out")), OkStatus());
  EXPECT_EQ(request_.signature_name, "one");
}

TEST_F(SessionRunTest, NamesMayBeThoseOfTheSignature) {
  ASSERT_EQ(Read(Feed("x", 2) + WireField(3, "z") + "\x30\x01"), OkStatus());
  EXPECT_EQ(request_.signature_name, "two");
  EXPECT_THAT(request_.output_filter, ElementsAre("z"));
}

TEST_F(SessionRunTest, OtherRunsAreErrors) {
  for (const std::string& message :
       {Feed("in", 2) + WireField(3, "inner"), Feed("other", 2) + WireField(3, "out"),
        Feed("in", 2) + WireField(3, "out:0") + WireField(3, "more"), Feed("in", 2),
        Feed("in", 2) + WireField(3, "out") + WireField(4, "init")}) {
    EXPECT_EQ(Read(message).code(), StatusCode::kUnimplemented);
  }
  EXPECT_THAT(MessageOf(Read("\x12\x05")), HasSubstr("SessionRunRequest is malformed"));
  EXPECT_EQ(
      Read(WireField(2, WireField(1, "in") + WireField(2, "\xff")) + WireField(3, "out")).code(),
      StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace penstock
