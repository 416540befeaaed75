// SPDX-License-Identifier: Apache-2.0
#include "protocols/tfs/predict_reader.h"

#include <gtest/gtest.h>

#include <random>

#include "protocols/tfs/predict_reference.h"

namespace penstock::tfs {
namespace {

using tensorflow::TensorProto;
using tensorflow::serving::PredictRequest;

Slice Keep(const std::string& bytes) { return WholeSlice(CopyToBuffer(bytes)); }

Status Read(const std::string& bytes, ReadPredict& out, PredictReadLimits limits = {}) {
  return ReadPredictRequest(Keep(bytes), limits, out);
}

TensorProto FloatProto(std::initializer_list<int64_t> dims, std::initializer_list<float> values) {
  TensorProto proto;
  proto.set_dtype(tensorflow::DT_FLOAT);
  for (const int64_t size : dims) proto.mutable_tensor_shape()->add_dim()->set_size(size);
  for (const float value : values) proto.add_float_val(value);
  return proto;
}

PredictRequest OneInput(TensorProto proto) {
  PredictRequest request;
  request.mutable_model_spec()->set_name("m");
  (*request.mutable_inputs())["x"] = std::move(proto);
  return request;
}

TEST(PredictReader, ReadsAllOfARequest) {
  PredictRequest request = OneInput(FloatProto({2}, {1.5f, -2}));
  request.mutable_model_spec()->mutable_version()->set_value(7);
  request.mutable_model_spec()->set_signature_name("other");
  request.add_output_filter("y");
  request.add_output_filter("z");
  request.set_client_id("me");
  request.mutable_request_options()->add_return_stoptokens(5);
  (*request.mutable_predict_streamed_options()->mutable_split_dimensions())["x"] = 1;

  ReadPredict read;
  ASSERT_TRUE(Read(request.SerializeAsString(), read).ok());
  EXPECT_TRUE(read.has_model_spec);
  EXPECT_EQ(read.model.name, "m");
  EXPECT_EQ(read.model.version->value, 7);
  EXPECT_EQ(read.request.signature_name, "other");
  ASSERT_EQ(read.request.output_filter.size(), 2u);
  EXPECT_EQ(read.request.output_filter[1], "z");
  ASSERT_EQ(read.request.inputs.size(), 1u);
  EXPECT_EQ(read.request.inputs[0].name, "x");
  EXPECT_EQ(read.request.inputs[0].tensor.as<float>()[1], -2.0f);
}

TEST(PredictReader, IsReusable) {
  ReadPredict read;
  ASSERT_TRUE(Read(OneInput(FloatProto({1}, {1})).SerializeAsString(), read).ok());
  ASSERT_TRUE(Read("", read).ok());
  EXPECT_FALSE(read.has_model_spec);
  EXPECT_TRUE(read.request.inputs.empty());
  EXPECT_EQ(read.model.name, "");
}

TEST(PredictReader, ViewsAlignedContentAndPackedFloats) {
  TensorProto proto = FloatProto({1000}, {});
  proto.set_tensor_content(std::string(4000, 'a'));
  TensorProto packed = FloatProto({1000}, {});
  for (int i = 0; i < 1000; ++i) packed.add_float_val(static_cast<float>(i));
  for (const TensorProto& each : {proto, packed}) {
    const std::string bytes = OneInput(each).SerializeAsString();
    const size_t landing =
        PredictLanding(std::as_bytes(std::span(bytes.data(), 200)), bytes.size());
    ASSERT_GT(landing, 0u);
    // Land the elements where the frame layer would: at a multiple of the alignment.
    const size_t shift = kBufferAlignment - landing % kBufferAlignment;
    const BufferRef buffer = AllocateBuffer(bytes.size() + shift);
    std::memcpy(buffer->data() + shift, bytes.data(), bytes.size());
    ReadPredict read;
    ASSERT_TRUE(ReadPredictRequest({buffer->data() + shift, bytes.size(), buffer}, {}, read).ok());
    const Tensor& tensor = read.request.inputs[0].tensor;
    EXPECT_EQ(tensor.data(), buffer->data() + shift + landing);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.data()) % kBufferAlignment, 0u);
  }
}

TEST(PredictReader, KeepsTheMessageOfStrings) {
  TensorProto proto;
  proto.set_dtype(tensorflow::DT_STRING);
  proto.mutable_tensor_shape()->add_dim()->set_size(3);
  proto.add_string_val("first");
  proto.add_string_val("second");
  ReadPredict read;
  ASSERT_TRUE(Read(OneInput(proto).SerializeAsString(), read).ok());
  const Tensor tensor = read.request.inputs[0].tensor;
  read = {};
  EXPECT_EQ(tensor.strings()[0].view(), "first");
  EXPECT_EQ(tensor.strings()[2].view(), "second");
}

std::string ErrorOf(const std::string& bytes, PredictReadLimits limits = {},
                    StatusCode code = StatusCode::kInvalidArgument) {
  ReadPredict read;
  const Status status = Read(bytes, read, limits);
  EXPECT_EQ(status.code(), code) << status;
  return std::string(MessageOf(status));
}

std::string ErrorOf(const TensorProto& proto, PredictReadLimits limits = {},
                    StatusCode code = StatusCode::kInvalidArgument) {
  return ErrorOf(OneInput(proto).SerializeAsString(), limits, code);
}

TEST(PredictReader, SaysWhatIsWrongWithATensor) {
  TensorProto proto = FloatProto({2}, {});
  proto.set_tensor_content("abc");
  EXPECT_EQ(ErrorOf(proto),
            "tensor parsing error: x: a float32 tensor of shape [2] takes 8 bytes, but 3 were "
            "given");
  proto.set_dtype(tensorflow::DT_RESOURCE);
  EXPECT_EQ(ErrorOf(proto), "tensor parsing error: x: its type, number 20, is not supported");
  proto.clear_dtype();
  EXPECT_EQ(ErrorOf(proto),
            "tensor parsing error: x: it has no dtype: say the type of its values, as DT_FLOAT");
  proto.set_dtype(tensorflow::DT_BOOL);
  proto.set_tensor_content("\1\2");
  EXPECT_EQ(ErrorOf(proto),
            "tensor parsing error: x: tensor_content of a bool tensor has bytes other than 0 and "
            "1");
  proto.mutable_tensor_shape()->set_unknown_rank(true);
  EXPECT_EQ(ErrorOf(proto), "tensor parsing error: x: its shape has an unknown rank");
  EXPECT_NE(ErrorOf(FloatProto({-1}, {1})).find("negative"), std::string::npos);
  EXPECT_NE(ErrorOf(FloatProto({int64_t{1} << 62, 4, 0}, {1})).find("more elements"),
            std::string::npos);
}

TEST(PredictReader, SaysWhatIsWrongWithStringContent) {
  TensorProto proto;
  proto.set_dtype(tensorflow::DT_STRING);
  proto.mutable_tensor_shape()->add_dim()->set_size(2);
  proto.set_tensor_content("\1");
  EXPECT_NE(ErrorOf(proto).find("of 1 bytes cannot hold 2 strings"), std::string::npos);
  proto.set_tensor_content("\1\1a");
  EXPECT_NE(ErrorOf(proto).find("have 1 bytes, but their lengths say 2"), std::string::npos);
  proto.set_tensor_content("\x80\x80");
  EXPECT_NE(ErrorOf(proto).find("cut off or too long"), std::string::npos);
}

TEST(PredictReader, LimitsTheMemoryOfARepeatedValue) {
  constexpr StatusCode kCode = StatusCode::kResourceExhausted;
  const PredictReadLimits limits{.decoded_tensor_bytes_max = 1000};
  EXPECT_NE(ErrorOf(FloatProto({1 << 20, 1 << 20}, {1}), {}, kCode).find("the limit is"),
            std::string::npos);
  EXPECT_NE(ErrorOf(FloatProto({251}, {1}), limits, kCode).find("the limit is 1000"),
            std::string::npos);
  // The limit is of all tensors together.
  PredictRequest request = OneInput(FloatProto({150}, {1}));
  (*request.mutable_inputs())["w"] = FloatProto({150}, {1});
  EXPECT_NE(ErrorOf(request.SerializeAsString(), limits, kCode).find("the limit is 400"),
            std::string::npos);
}

TEST(PredictScan, FindsTheModelBeforeItAllocatesTensors) {
  PredictRequest request = OneInput(FloatProto({1 << 10, 1 << 10}, {1}));
  request.mutable_model_spec()->set_name("big");
  PredictScan scan;
  InferRequest read;
  ASSERT_TRUE(scan.Scan(Keep(request.SerializeAsString()), 10, read).ok());
  EXPECT_TRUE(scan.has_model_spec());
  EXPECT_EQ(scan.model().name, "big");
  EXPECT_TRUE(read.inputs.empty());

  RequestMemory memory;
  memory.LimitInline(4 << 20);
  EXPECT_TRUE(scan.ReadTensors(memory, read).ok());
  memory.LimitInline((4 << 20) - 1);
  EXPECT_FALSE(scan.ReadTensors(memory, read).ok());
  EXPECT_TRUE(memory.is_too_large_inline());
  RequestMemory again;
  ASSERT_TRUE(scan.ReadTensors(again, read).ok());
  ASSERT_EQ(read.inputs.size(), 1U);
  EXPECT_EQ(read.inputs[0].tensor.element_count(), 1 << 20);
}

TEST(PredictReader, LimitsNames) {
  PredictRequest request;
  for (int i = 0; i < 21; ++i) {
    (*request.mutable_inputs())["x" + std::to_string(i)] = FloatProto({}, {1});
  }
  EXPECT_EQ(ErrorOf(request.SerializeAsString(), {.names_max = 20}),
            "PredictRequest has too many inputs: more than 20");
  ReadPredict read;
  EXPECT_TRUE(Read(request.SerializeAsString(), read, {.names_max = 21}).ok());
  request.Clear();
  for (int i = 0; i < 3; ++i) request.add_output_filter("y");
  EXPECT_EQ(ErrorOf(request.SerializeAsString(), {.names_max = 2}),
            "PredictRequest has too many names in output_filter: more than 2");
}

TEST(PredictReader, SaysWhereTheMessageIsMalformed) {
  EXPECT_EQ(ErrorOf("\x0a\x05"
                    "ab"),
            "PredictRequest is malformed: a length exceeds what holds it at byte 2 of 4");
  EXPECT_EQ(ErrorOf("\x1a\x01\xff"),
            "PredictRequest is malformed: a string is not UTF-8 at byte 3 of 3");
  EXPECT_NE(ErrorOf("\x80").find("tag is cut off"), std::string::npos);
  EXPECT_NE(ErrorOf(std::string(1, '\0')).find("number 0"), std::string::npos);
  EXPECT_NE(ErrorOf("\x7f").find("unknown wire type"), std::string::npos);
  EXPECT_NE(ErrorOf("\x7c").find("ends that did not begin"), std::string::npos);
  EXPECT_NE(ErrorOf(std::string(101, '\x7b')).find("nested too deep"), std::string::npos);
}

// --- The same bytes, read by protobuf.

void ExpectSame(const std::string& bytes) {
  const std::string difference = reference::CompareReaders(bytes);
  if (difference.empty()) return;
  std::string hex;
  for (const char c : bytes) hex += fmt::format("{:02x}", static_cast<uint8_t>(c));
  FAIL() << difference << "\n" << hex;
}

std::string Field(uint32_t number, const std::string& content) {
  std::string bytes(1, static_cast<char>(number << 3 | 2));
  bytes += static_cast<char>(content.size());
  return bytes + content;
}

TEST(PredictReaderAgainstProtobuf, MergesPieces) {
  const std::string dtype = "\x08\x01";
  const std::string dim2 = Field(2, Field(2, "\x08\x02"));
  const std::string one = "\x2d" + std::string("\x00\x00\x80\x3f", 4);
  const std::string key = Field(1, "x");
  ExpectSame(Field(2, key + Field(2, dtype + dim2) + Field(2, one)));
  ExpectSame(Field(2, key + Field(2, dtype + dim2 + one) + Field(2, dim2 + one + one)));
  ExpectSame(Field(2, Field(2, dtype) + key + Field(1, "y") + Field(2, "")));
  ExpectSame(Field(2, key + Field(2, dtype + dim2)) + Field(2, key + Field(2, dtype)));
  ExpectSame(Field(2, key) + Field(2, key + Field(2, dtype)));
  ExpectSame(Field(2, key + Field(2, "\x08") + Field(2, "\x01")));  // cut within a field
  ExpectSame(Field(2, ""));
  ExpectSame(Field(1, Field(1, "a") + Field(2, "\x08\x05")) +
             Field(1, Field(2, "") + Field(3, "s")));
  ExpectSame(Field(1, Field(2, "\x08\x05") + Field(4, "l") + Field(2, "")));
  ExpectSame(Field(1, Field(2, "\x08\x05") + Field(4, "l")));
}

TEST(PredictReaderAgainstProtobuf, NestsAndSkipsAlike) {
  for (int depth = 97; depth <= 102; ++depth) {
    const std::string groups = std::string(static_cast<size_t>(depth), '\x7b') +
                               std::string(static_cast<size_t>(depth), '\x7c');
    ExpectSame(groups);
    std::string inner = groups;
    for (const uint32_t field : {2u, 2u, 2u, 2u}) {  // dim, shape, tensor, entry
      std::string bytes(1, static_cast<char>(field << 3 | 2));
      bytes += static_cast<char>((inner.size() & 0x7f) | 0x80);
      bytes += static_cast<char>(inner.size() >> 7);
      inner = bytes + inner;
      ExpectSame(inner);
    }
  }
  ExpectSame("\x7b\x84\x01");                              // the wrong group's end
  ExpectSame("\x7b\x08\x01\x7c");                          // a field in a group
  ExpectSame(std::string("\x0a\x80\x80\x80\x80\x00", 6));  // overlong length
  ExpectSame(std::string("\x0a\x80\x80\x80\x80\x80\x00", 7));
  ExpectSame("\x8a\x80\x80\x80\x10\x00");  // overlong tag
  ExpectSame("\x78\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f");
  ExpectSame("\x78\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
  ExpectSame(Field(5, Field(2, Field(1, "\xff"))));
  ExpectSame(Field(7, Field(4, "\x80")));
  ExpectSame(Field(7, Field(13, "\x80")));
}

// Makes requests of every type and form. One thread at a time.
class RequestMaker {
 public:
  explicit RequestMaker(uint32_t seed) : random_(seed) {}

  std::string Make() {
    PredictRequest request;
    if (Chance(9)) request.mutable_model_spec()->set_name("model");
    if (Chance(3)) request.mutable_model_spec()->mutable_version()->set_value(Below(300));
    if (Chance(2)) request.mutable_model_spec()->set_version_label("stable");
    if (Chance(3)) request.mutable_model_spec()->set_signature_name("sig\xc3\xa4");
    for (int i = Below(3); i >= 0; --i) {
      (*request.mutable_inputs())["input" + std::to_string(Below(4))] = MakeTensor();
    }
    if (Chance(3)) request.add_output_filter("out");
    if (Chance(1)) request.mutable_request_options()->add_return_stoptokens(Below(1000));
    if (Chance(1))
      (*request.mutable_predict_streamed_options()->mutable_split_dimensions())["k"] = 3;
    return request.SerializeAsString();
  }

  std::string Mutate(std::string bytes) {
    for (int i = Below(4); i >= 0 && !bytes.empty(); --i) {
      const auto at = static_cast<size_t>(Below(static_cast<int>(bytes.size())));
      switch (Below(6)) {
        case 0:
          bytes[at] = static_cast<char>(Below(256));
          break;
        case 1:
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << Below(8)));
          break;
        case 2:
          bytes.insert(at, 1, static_cast<char>(Below(256)));
          break;
        case 3:
          bytes.erase(at, 1);
          break;
        case 4:
          bytes += bytes.substr(at);  // pieces that merge
          break;
        default:
          bytes.resize(at);
      }
    }
    return bytes;
  }

 private:
  int Below(int end) { return std::uniform_int_distribution<int>(0, end - 1)(random_); }
  bool Chance(int tenths) { return Below(10) < tenths; }

  TensorProto MakeTensor() {
    static constexpr int kTypes[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
                                     12, 13, 14, 15, 16, 17, 18, 19, 22, 23, 20};
    TensorProto proto;
    proto.set_dtype(static_cast<tensorflow::DataType>(kTypes[Below(std::size(kTypes))]));
    int64_t count = 1;
    for (int i = Below(4); i > 0; --i) {
      const int size = Below(5);
      proto.mutable_tensor_shape()->add_dim()->set_size(size);
      count *= size;
    }
    if (Chance(3)) {
      const size_t bytes = proto.dtype() == tensorflow::DT_STRING
                               ? 1
                               : DTypeBytes(static_cast<DType>(proto.dtype()));
      for (size_t i = 0; i < bytes * static_cast<size_t>(count); ++i) {
        proto.mutable_tensor_content()->push_back(static_cast<char>(Below(2)));
      }
    } else {
      for (int64_t i = Below(static_cast<int>(count) + 3); i > 0; --i) AddValue(proto);
    }
    return proto;
  }

  void AddValue(TensorProto& proto) {
    const int number = Below(100000) - 50000;
    proto.add_string_val(std::to_string(number));
    proto.add_float_val(static_cast<float>(number));
    proto.add_double_val(number);
    proto.add_int_val(number);
    proto.add_scomplex_val(static_cast<float>(number));
    proto.add_dcomplex_val(number);
    proto.add_int64_val(int64_t{number} << Below(40));
    proto.add_bool_val(number > 0);
    proto.add_half_val(number & 0xffff);
    proto.add_uint32_val(static_cast<uint32_t>(number));
    proto.add_uint64_val(static_cast<uint64_t>(number));
  }

  std::mt19937 random_;
};

TEST(PredictReaderAgainstProtobuf, ReadsTheSame) {
  RequestMaker maker(1);
  for (int i = 0; i < 3000 && !HasFailure(); ++i) ExpectSame(maker.Make());
}

TEST(PredictReaderAgainstProtobuf, ReadsMutatedBytesTheSame) {
  RequestMaker maker(2);
  for (int i = 0; i < 40000 && !HasFailure(); ++i) ExpectSame(maker.Mutate(maker.Make()));
}

// Runs of single values instead of packed ones, and both mixed.
TEST(PredictReaderAgainstProtobuf, ReadsUnpackedValuesTheSame) {
  const std::string shape = Field(2, Field(2, "\x08\x05"));
  for (int dtype = 1; dtype <= 23; ++dtype) {
    const std::string head = std::string("\x08") + static_cast<char>(dtype) + shape;
    for (uint32_t field = 5; field <= 17; ++field) {
      for (const uint32_t wire_type : {0u, 1u, 2u, 5u}) {
        std::string tag(1, static_cast<char>(field << 3 | wire_type));
        if (field >= 16) {
          tag[0] = static_cast<char>(((field << 3 | wire_type) & 0x7f) | 0x80);
          tag += '\x01';
        }
        const std::string value = wire_type == 0   ? "\xac\x02"
                                  : wire_type == 1 ? "abcdefgh"
                                  : wire_type == 2
                                      ? std::string("\x08\x01\x02\x03\x04\x05\x06\x07\x00", 9)
                                      : "abcd";
        for (int count = 1; count < 7; ++count) {
          std::string tensor = head;
          for (int i = 0; i < count; ++i) tensor += tag + value;
          ExpectSame(Field(2, Field(1, "x") + Field(2, tensor)));
          ASSERT_FALSE(HasFailure());
        }
      }
    }
  }
}

TEST(PredictLanding, FindsNothingWithoutABigTensor) {
  const std::string small = OneInput(FloatProto({1}, {1})).SerializeAsString();
  EXPECT_EQ(PredictLanding(std::as_bytes(std::span(small)), small.size()), 0u);
  EXPECT_EQ(PredictLanding({}, 0), 0u);
  // A length that exceeds the body.
  TensorProto proto = FloatProto({1000}, {});
  proto.set_tensor_content(std::string(4000, 'a'));
  const std::string bytes = OneInput(proto).SerializeAsString();
  EXPECT_EQ(PredictLanding(std::as_bytes(std::span(bytes.data(), 100)), bytes.size() / 2), 0u);
}

TEST(PredictLanding, PassesSmallInputs) {
  PredictRequest big = OneInput(FloatProto({1000}, {}));
  (*big.mutable_inputs())["x"].set_tensor_content(std::string(4000, 'a'));
  PredictRequest small;
  (*small.mutable_inputs())["s"] = FloatProto({1}, {1});
  const std::string bytes = small.SerializeAsString() + big.SerializeAsString();
  const size_t landing = PredictLanding(std::as_bytes(std::span(bytes.data(), 300)), bytes.size());
  EXPECT_EQ(bytes.find(std::string(4000, 'a')), landing);
}

TEST(PredictLanding, NeverFails) {
  RequestMaker maker(3);
  for (int i = 0; i < 10000; ++i) {
    const std::string bytes = maker.Mutate(maker.Make());
    EXPECT_LE(PredictLanding(std::as_bytes(std::span(bytes)), bytes.size()), bytes.size());
  }
}

}  // namespace
}  // namespace penstock::tfs
