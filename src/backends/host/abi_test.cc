// SPDX-License-Identifier: Apache-2.0
#include "backends/host/abi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>

#include "penstock/backend.hpp"

namespace penstock::abi {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Memory of a backend that counts its references; starts with one.
struct Owned {
  int references = 1;
  PenstockOwner owner();
};

constexpr PenstockOwnerCalls kOwnedCalls = {
    [](void* object) { ++static_cast<Owned*>(object)->references; },
    [](void* object) { --static_cast<Owned*>(object)->references; }};

PenstockOwner Owned::owner() { return {this, &kOwnedCalls}; }

constexpr int64_t kTwo[] = {2};

PenstockTensor Floats(const float* data, const PenstockOwner& owner = {}) {
  return {PENSTOCK_FLOAT32, 1, kTwo, data, 2 * sizeof(float), owner, {}};
}

TEST(AbiTest, TensorOfOursCrossesAndComesBackAsItself) {
  Tensor tensor = *Tensor::Allocate(DType::kFloat32, {2});
  tensor.mutable_as<float>()[0] = 1;
  tensor.mutable_as<float>()[1] = 2;
  const PenstockTensor there = ToC(tensor);
  EXPECT_EQ(there.dtype, PENSTOCK_FLOAT32);
  EXPECT_EQ(there.rank, 1U);
  EXPECT_EQ(there.shape[0], 2);
  EXPECT_EQ(there.bytes, 8U);
  there.owner.calls->keep(there.owner.object);
  const Tensor back = *FromC(there);
  EXPECT_EQ(back.data(), tensor.data());
  EXPECT_EQ(back.elements().owner.get(), tensor.elements().owner.get());
}

TEST(AbiTest, PartOfATensorOfOursIsKeptByTheWhole) {
  const Tensor tensor = *Tensor::Allocate(DType::kFloat32, {4});
  PenstockTensor part = ToC(tensor);
  part.owner.calls->keep(part.owner.object);
  part.shape = kTwo;
  part.data = tensor.data() + 8;
  part.bytes = 8;
  const Tensor back = *FromC(part);
  EXPECT_EQ(back.data(), tensor.data() + 8);
}

TEST(AbiTest, NoElementsStillHaveAnAddress) {
  const Tensor none = *Tensor::FromBytes(DType::kFloat32, {0}, {});
  const PenstockTensor there = ToC(none);
  EXPECT_NE(there.data, nullptr);
  EXPECT_NE(there.owner.calls, nullptr);
  there.owner.calls->keep(there.owner.object);
  EXPECT_EQ(FromC(there)->element_count(), 0);
}

TEST(AbiTest, ForeignMemoryIsReleasedWithItsTensor) {
  Owned owned;
  const float values[] = {1, 2};
  {
    const Tensor tensor = *FromC(Floats(values, owned.owner()));
    EXPECT_EQ(static_cast<const void*>(tensor.data()), values);
    const Tensor copy = tensor;
    EXPECT_EQ(owned.references, 1);
  }
  EXPECT_EQ(owned.references, 0);
}

TEST(AbiTest, MemoryWithoutOwnerIsCopied) {
  float values[] = {1, 2};
  const Tensor tensor = *FromC(Floats(values));
  values[0] = 7;
  EXPECT_THAT(tensor.as<float>(), ElementsAre(1, 2));
}

TEST(AbiTest, StringsWithoutOwnerAreCopiedAndWithOneAreNot) {
  std::string text = "abc";
  const PenstockString elements[] = {{text.data(), 3}, {nullptr, 0}};
  PenstockTensor strings = {PENSTOCK_STRING, 1, kTwo, elements, sizeof(elements), {}, {}};
  const Tensor copied = *FromC(strings);
  Owned array;
  Owned characters;
  strings.owner = array.owner();
  strings.string_owner = characters.owner();
  {
    const Tensor viewed = *FromC(strings);
    text[0] = 'x';
    EXPECT_EQ(viewed.strings()[0].view(), "xbc");
  }
  EXPECT_EQ(copied.strings()[0].view(), "abc");
  EXPECT_EQ(copied.strings()[1].size, 0U);
  EXPECT_EQ(array.references, 0);
  EXPECT_EQ(characters.references, 0);
}

TEST(AbiTest, TensorThatMakesNoSenseIsAnErrorAndIsReleased) {
  const float values[] = {1, 2};
  const PenstockString no_data[] = {{nullptr, 3}, {nullptr, 0}};
  const int64_t negative[] = {-2};
  const int64_t huge[] = {INT64_MAX, INT64_MAX};
  const PenstockTensor good = Floats(values);
  std::vector<std::pair<PenstockTensor, const char*>> wrong(8, {good, ""});
  wrong[0] = {good, "unknown element type 99"};
  wrong[0].first.dtype = 99;
  wrong[1] = {good, "rank 255"};
  wrong[1].first.rank = 255;
  wrong[2] = {good, "rank 1 without a shape"};
  wrong[2].first.shape = nullptr;
  wrong[3] = {good, "no data"};
  wrong[3].first.data = nullptr;
  wrong[4].first.bytes = 4;
  wrong[5].first.shape = negative;
  wrong[6].first.rank = 2;
  wrong[6].first.shape = huge;
  wrong[7] = {{PENSTOCK_STRING, 1, kTwo, no_data, sizeof(no_data), {}, {}}, "a size but no data"};
  for (size_t i = 0; i < wrong.size(); ++i) {
    Owned owned;
    wrong[i].first.owner = owned.owner();
    const Status status = FromC(wrong[i].first).status();
    EXPECT_EQ(status.code(), StatusCode::kInternal) << i;
    EXPECT_THAT(std::string(MessageOf(status)), HasSubstr(wrong[i].second)) << i;
    EXPECT_EQ(owned.references, 0) << i;
  }
}

TEST(AbiTest, CodesBecomeStatuses) {
  EXPECT_TRUE(ToStatus(PENSTOCK_OK, "ignored").ok());
  EXPECT_EQ(ToStatus(PENSTOCK_DATA_LOSS, "why"), absl::DataLossError("why"));
  EXPECT_EQ(ToStatus(17, "why"), absl::UnknownError("why"));
  EXPECT_EQ(ToStatus(-1, "why"), absl::UnknownError("why"));
}

TEST(AbiTest, ErrorSinkKeepsTheLastText) {
  ErrorSink sink;
  sink.set(&sink, ToC(std::string("first")));
  sink.set(&sink, ToC(std::string("second")));
  EXPECT_EQ(sink.text, "second");
}

// What a backend says, changed by a test, and what becomes of it.
StatusOr<Description> Translate(const std::function<void(plugin::Description&)>& change =
                                    [](auto&) {}) {
  plugin::Signature signature;
  signature.inputs = {
      {.name = "b", .dtype = PENSTOCK_FLOAT32, .shape = {-1, 3}},
      {.name = "a", .dtype = PENSTOCK_INT64, .unknown_rank = true, .optional = true}};
  signature.outputs = {{.name = "z", .dtype = PENSTOCK_FLOAT32},
                       {.name = "y", .dtype = PENSTOCK_BOOL}};
  plugin::Description description;
  description.signatures = {std::move(signature)};
  description.runs_max = 4;
  description.flags = PENSTOCK_MAY_BLOCK;
  change(description);
  const plugin::FrozenDescription frozen(std::move(description));
  return FromC("fake", frozen.info());
}

TEST(AbiTest, DescriptionIsSortedAndKnowsWhereThingsStood) {
  const Description description = *Translate();
  EXPECT_EQ(description.info.platform, "fake");
  EXPECT_EQ(description.runs_max, 4U);
  EXPECT_TRUE(description.info.traits.may_block);
  const Signature& signature = description.info.signatures[0];
  EXPECT_EQ(signature.inputs[0].name, "a");
  EXPECT_TRUE(signature.inputs[0].unknown_rank);
  EXPECT_TRUE(signature.inputs[0].optional);
  EXPECT_EQ(signature.inputs[1].shape, Shape({-1, 3}));
  EXPECT_EQ(signature.outputs[0].name, "y");
  EXPECT_FALSE(signature.outputs[0].unknown_rank);
  EXPECT_THAT(description.orders[0].inputs, ElementsAre(1, 0));
  EXPECT_THAT(description.orders[0].outputs, ElementsAre(1, 0));
  EXPECT_THAT(description.orders[0].our_outputs, ElementsAre(1, 0));
}

TEST(AbiTest, SpecsSayWhatATensorMeans) {
  const Description description = *Translate([](auto& d) {
    plugin::TensorSpec& a = d.signatures[0].inputs[1];
    a.default_value = {PENSTOCK_INT64, {1}, std::string("\x07\0\0\0\0\0\0\0", 8), {}};
    plugin::TensorSpec& b = d.signatures[0].inputs[0];
    b.batch_axis = 0;
    b.dimension_names = {"rows", ""};
    d.signatures[0].outputs[0].class_labels = {"ham", "eggs \xFF"};
    d.signatures[0].outputs[1].part = {"whole", PENSTOCK_PART_RAGGED_SPLITS, 2};
  });
  const Signature& signature = description.info.signatures[0];
  const TensorSpec& a = signature.inputs[0];
  ASSERT_TRUE(a.default_value.has_value());
  EXPECT_EQ(a.default_value->shape(), Shape({1}));
  EXPECT_THAT(a.default_value->as<int64_t>(), ElementsAre(7));
  EXPECT_EQ(a.batch_axis, -1);
  const TensorSpec& b = signature.inputs[1];
  EXPECT_FALSE(b.default_value.has_value());
  EXPECT_EQ(b.batch_axis, 0);
  EXPECT_THAT(b.dimension_names, ElementsAre("rows", ""));
  EXPECT_EQ(b.part.role, CompositePart::Role::kNone);
  const TensorSpec& y = signature.outputs[0];
  EXPECT_EQ(y.part.role, CompositePart::Role::kRaggedSplits);
  EXPECT_EQ(y.part.composite, "whole");
  EXPECT_EQ(y.part.level, 2U);
  EXPECT_THAT(signature.outputs[1].class_labels, ElementsAre("ham", "eggs \uFFFD"));
}

TEST(AbiTest, SpecsThatMakeNoSense) {
  const auto error = [](const std::function<void(plugin::TensorSpec&)>& change) {
    const Status status = Translate([&](auto& d) { change(d.signatures[0].inputs[1]); }).status();
    EXPECT_EQ(status.code(), StatusCode::kInternal);
    return std::string(MessageOf(status));
  };
  EXPECT_THAT(error([](auto& a) { a.batch_axis = 0; }), HasSubstr("'a' has the batch axis 0"));
  EXPECT_THAT(error([](auto& a) { a.batch_axis = -2; }), HasSubstr("'a' has the batch axis -2"));
  EXPECT_THAT(error([](auto& a) { a.part.part = 6; }), HasSubstr("a part of an unknown kind: 6"));
  EXPECT_THAT(error([](auto& a) {
                a.default_value = {PENSTOCK_INT64, {1}, "short", {}};
              }),
              HasSubstr("'a' has a bad default value"));
  EXPECT_THAT(error([](auto& a) {
                a.default_value = {PENSTOCK_UINT8, {1}, "c", {}};
              }),
              HasSubstr("default value of type uint8, but is an input of type int64"));
  EXPECT_THAT(error([](auto& a) {
                a.default_value = {PENSTOCK_INT64, {}, "12345678", {}};
                a.optional = false;
              }),
              HasSubstr("is no optional input"));
}

// The structs of a backend that knows fewer members, or more, than this host.
TEST(AbiTest, StructsOfOtherSizes) {
  struct LargerSpec {
    PenstockTensorSpec spec{};
    uint64_t more = ~uint64_t{0};
  } x;
  const int64_t shape[] = {-1};
  const PenstockString names[] = {ToC("rows")};
  x.spec.struct_size = sizeof(x);
  x.spec.name = ToC("x");
  x.spec.dtype = PENSTOCK_FLOAT32;
  x.spec.rank = 1;
  x.spec.shape = shape;
  x.spec.dimension_names = names;
  PenstockTensorSpec y = x.spec;
  y.name = ToC("y");
  y.struct_size = offsetof(PenstockTensorSpec, dimension_names);
  const PenstockTensorSpec* const inputs[] = {&x.spec};
  const PenstockTensorSpec* outputs[] = {&y};
  PenstockSignature signature = {sizeof(signature), ToC("s"), {}, inputs, 1, outputs, 1};
  const PenstockSignature* const signatures[] = {&signature};
  PenstockModelInfo info{};
  info.struct_size = offsetof(PenstockModelInfo, cut_points);
  info.signatures = signatures;
  info.signature_count = 1;
  info.note_count = 7;  // beyond struct_size
  const Description description = *FromC("fake", &info);
  EXPECT_THAT(description.info.signatures[0].inputs[0].dimension_names, ElementsAre("rows"));
  EXPECT_TRUE(description.info.signatures[0].outputs[0].dimension_names.empty());
  EXPECT_TRUE(description.info.notes.empty());

  y.struct_size = 0;
  EXPECT_THAT(std::string(MessageOf(FromC("fake", &info).status())),
              HasSubstr("the backend describes a tensor by a struct of 0 bytes"));
  outputs[0] = nullptr;
  EXPECT_EQ(FromC("fake", &info).status().code(), StatusCode::kInternal);
  signature.struct_size = 8;
  EXPECT_THAT(std::string(MessageOf(FromC("fake", &info).status())),
              HasSubstr("the backend describes a signature by a struct of 8 bytes"));
  EXPECT_THAT(std::string(MessageOf(FromC("fake", nullptr).status())),
              HasSubstr("the backend describes the model by a struct of 0 bytes"));
}

TEST(AbiTest, FlagsAreTraits) {
  const auto traits = [](uint32_t flags) {
    return Translate([&](auto& d) { d.flags = flags; })->info.traits;
  };
  EXPECT_FALSE(traits(0).has_state || traits(0).not_deterministic || traits(0).has_side_effects);
  EXPECT_TRUE(traits(PENSTOCK_HAS_STATE).has_state);
  EXPECT_TRUE(traits(PENSTOCK_NOT_DETERMINISTIC).not_deterministic);
  EXPECT_TRUE(traits(PENSTOCK_SIDE_EFFECTS).has_side_effects);
  EXPECT_TRUE(traits(PENSTOCK_SEVERAL_SIGNATURES).several_signatures);
}

TEST(AbiTest, DescriptionWithNotesAndAnyShape) {
  EXPECT_FALSE(Translate()->info.traits.any_shape);
  const Description description = *Translate([](auto& d) {
    d.flags = PENSTOCK_ANY_SHAPE;
    d.notes = {"one", "two \xFF"};
    d.signature_def_map = std::string("\0\1", 2);
  });
  EXPECT_TRUE(description.info.traits.any_shape);
  EXPECT_THAT(description.info.notes, ElementsAre("one", "two \uFFFD"));
  EXPECT_EQ(description.info.signature_def_map, std::string("\0\1", 2));
}

TEST(AbiTest, WhatIsLeftOutBelongsToItsSignatureAndIsANote) {
  const Description description = *Translate([](auto& d) {
    d.left_out = {{.name = "s", .reason = "it is a sequence"},
                  {.signature = "other", .name = "t", .reason = "it is a map"}};
  });
  const Signature& signature = description.info.signatures[0];
  ASSERT_EQ(signature.left_out.size(), 1U);
  EXPECT_EQ(signature.WhyLeftOut("s"), "\"s\" is left out: it is a sequence");
  EXPECT_EQ(signature.WhyLeftOut("t"), "");
  EXPECT_THAT(description.info.notes,
              ElementsAre("s of the signature serving_default is left out: it is a sequence",
                          "t of the signature other is left out: it is a map"));
}

TEST(AbiTest, ASignatureThatIsLeftOutKeepsItsReason) {
  const Description description = *Translate([](auto& d) {
    d.left_out = {{.signature = "raw", .name = "", .reason = "the input 'x' has the type variant"}};
  });
  ASSERT_EQ(description.info.left_out.size(), 1U);
  EXPECT_EQ(description.info.left_out[0].name, "raw");
  EXPECT_TRUE(description.info.signatures[0].left_out.empty());
  EXPECT_THAT(description.info.notes,
              ElementsAre("the signature 'raw' cannot be served and is left out: the input 'x' has "
                          "the type variant"));
  EXPECT_EQ(WhyNoSignature(description.info, "raw"),
            "It is left out: the input 'x' has the type variant. The model has "
            "{\"serving_default\"}.");
}

// A backend that was compiled before the description had notes.
TEST(AbiTest, DescriptionOfAnOlderBackend) {
  PenstockModelInfo info{};
  info.struct_size = offsetof(PenstockModelInfo, notes);
  info.note_count = 99;  // not its memory
  const StatusOr<Description> description = FromC("fake", &info);
  ASSERT_TRUE(description.ok());
  EXPECT_TRUE(description->info.notes.empty());
}

TEST(AbiTest, DescriptionThatMakesNoSense) {
  const std::pair<std::function<void(plugin::Description&)>, const char*> kWrong[] = {
      {[](auto& d) { d.signatures[0].inputs[0].dtype = 77; },
       "'b' has the unknown element type 77"},
      {[](auto& d) { d.signatures[0].inputs[0].shape = {-2}; }, "'b' has an impossible shape"},
      {[](auto& d) { d.signatures[0].inputs[0].shape.resize(300); }, "'b' has an impossible rank"},
      {[](auto& d) { d.signatures[0].inputs[1].name = "a\xFF"; }, "is not UTF-8"},
      {[](auto& d) { d.signatures[0].name = "\xC3"; }, "is not UTF-8"},
      {[](auto& d) { d.signatures[0].outputs[1].name = "z"; }, "the name 'z' stands twice"},
      {[](auto& d) { d.signatures.push_back(d.signatures[0]); },
       "the signature 'serving_default' stands twice"}};
  for (const auto& [change, text] : kWrong) {
    const Status status = Translate(change).status();
    EXPECT_EQ(status.code(), StatusCode::kInternal) << text;
    EXPECT_THAT(std::string(MessageOf(status)), HasSubstr(text));
  }
  EXPECT_EQ(FromC("fake", nullptr).status().code(), StatusCode::kInternal);
  PenstockModelInfo info{};
  EXPECT_EQ(FromC("fake", &info).status().code(), StatusCode::kInternal);
}

}  // namespace
}  // namespace penstock::abi
