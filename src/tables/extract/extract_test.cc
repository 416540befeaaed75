// SPDX-License-Identifier: Apache-2.0
#include "tables/extract/extract.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/encoding/proto_writer.h"
#include "base/os/test_folder.h"
#include "tables/extract/ensemble_text.h"
#include "tables/extract/onnx_graph.h"
#include "tables/extract/table_plan.h"
#include "tables/table_fixture.h"

namespace penstock::tables {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

std::string Message(uint32_t field, std::string_view bytes) {
  std::string message;
  AppendBytesField(message, field, bytes);
  return message;
}

std::string Number(uint32_t field, uint64_t value) {
  std::string message;
  AppendVarintField(message, field, value);
  return message;
}

std::string Node(std::string_view operation, const std::vector<std::string_view>& inputs,
                 std::string_view output, std::string_view more = {}) {
  std::string node = Message(kNodeOperator, operation) + Message(kNodeOutput, output);
  for (const std::string_view input : inputs) node += Message(kNodeInput, input);
  return Message(kGraphNode, node + std::string(more));
}

// 3 rows of 2 float32.
std::string Table(std::string_view name) {
  return Message(kGraphInitializer,
                 Number(kTensorDims, 3) + Number(kTensorDims, 2) + Number(kTensorType, kOnnxFloat) +
                     Message(kTensorName, name) +
                     Message(kTensorRaw, BytesOf<float>({0, 1, 10, 11, 20, 21})));
}

std::string Input(std::string_view name, int type) {
  const std::string dim = Message(kShapeDim, Number(kDimValue, 5));
  const std::string tensor =
      Number(kTensorTypeElement, static_cast<uint64_t>(type)) + Message(kTensorTypeShape, dim);
  return Message(kGraphInput,
                 Message(kValueName, name) + Message(kValueType, Message(kTypeTensor, tensor)));
}

std::string Model(std::string_view graph, uint64_t ir_version = 8) {
  // Field 99 is one that nobody knows.
  return Number(kModelIrVersion, ir_version) + Message(99, "unknown") +
         Message(kModelGraph, std::string(graph) + Message(98, "inner") +
                                  Message(kGraphOutput, Message(kValueName, "y")));
}

const std::string kPlain =
    Input("ids", kOnnxInt64) + Table("emb") + Node("Gather", {"emb", "ids"}, "y");

class ExtractTest : public testing::Test {
 protected:
  StatusOr<ExtractResult> Extract(std::string_view model, uint64_t bytes_min = 1) {
    folder_.Write("m.onnx", model);
    return ExtractTables({.model = folder_ / "m.onnx",
                          .output = folder_ / "out",
                          .name = {},
                          .bytes_min = bytes_min},
                         [](const ExtractProgress&) {});
  }
  std::string Read(std::string_view name) {
    std::ifstream file(folder_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static std::string ReasonOf(const std::string& graph, uint64_t ir_version = 8) {
    const std::string bytes = Model(graph, ir_version);
    const StatusOr<OnnxGraph> read = ReadOnnxGraph(bytes);
    if (!read.ok()) return std::string(read.status().message());
    const TablePlan plan = PlanTables(*read, 1);
    return plan.kept.empty() ? "" : plan.kept[0].reason;
  }

  const TestFolder folder_;
};

TEST_F(ExtractTest, AGatherBecomesAnInput) {
  const StatusOr<ExtractResult> result = Extract(Model(kPlain));
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_THAT(result->tables, SizeIs(1));
  EXPECT_EQ(result->tables[0].model, "m_emb");
  EXPECT_EQ(result->tables[0].rows, 3U);
  EXPECT_EQ(Read("out/m_emb/1/emb_vector"), BytesOf<float>({0, 1, 10, 11, 20, 21}));
  EXPECT_THAT(Read("out/m_emb/1/table.json"), HasSubstr(R"("indices": "int64")"));
  const std::string rest = Read("out/m_rest/1/model.onnx");
  EXPECT_THAT(rest, HasSubstr("unknown"));
  EXPECT_THAT(rest, HasSubstr("inner"));
  const StatusOr<OnnxGraph> graph = ReadOnnxGraph(rest);
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_THAT(graph->initializers, SizeIs(0));
  ASSERT_THAT(graph->inputs, SizeIs(2));
  EXPECT_EQ(graph->inputs[1].name, "y.rows");
  EXPECT_THAT(graph->inputs[1].dims, SizeIs(2));
  ASSERT_THAT(graph->nodes, SizeIs(1));
  EXPECT_EQ(graph->nodes[0].operation, "Identity");
  EXPECT_THAT(graph->nodes[0].outputs, ElementsAre("y"));
  EXPECT_THAT(Read("out/models.config"),
              HasSubstr(R"(inputs { key: "keys" value: "ids" } outputs { key: "rows" value: )"
                        R"("y.rows" })"));
  EXPECT_THAT(Extract(Model(kPlain)).status().ToString(), HasSubstr("exists"));
}

TEST_F(ExtractTest, SaysWhyATensorStays) {
  EXPECT_EQ(ReasonOf(kPlain), "");
  EXPECT_THAT(ReasonOf(kPlain + Node("Relu", {"emb"}, "z")), HasSubstr("a node Relu uses it, too"));
  EXPECT_THAT(ReasonOf(kPlain + Input("emb", kOnnxFloat)), HasSubstr("requests may replace"));
  EXPECT_EQ(ReasonOf(kPlain + Input("emb", kOnnxFloat), 3), "");
  EXPECT_THAT(ReasonOf(kPlain + Message(kGraphOutput, Message(kValueName, "emb"))),
              HasSubstr("an output of the model"));
  EXPECT_THAT(ReasonOf(Input("ids", kOnnxInt64) + Table("emb")), HasSubstr("no node uses it"));
  const std::string body =
      Message(kNodeAttribute, Message(kAttributeGraph, Node("Relu", {"emb"}, "inner")));
  EXPECT_THAT(ReasonOf(kPlain + Node("If", {"c"}, "z", body)), HasSubstr("body of a loop"));
  EXPECT_THAT(ReasonOf(kPlain + Input("n", kOnnxInt32) + Node("Gather", {"emb", "n"}, "z")),
              HasSubstr("indices of two types"));
  EXPECT_THAT(
      ReasonOf(Input("ids", kOnnxFloat) + Table("emb") + Node("Gather", {"emb", "ids"}, "y")),
      HasSubstr("neither int32 nor int64"));
}

// A malformed file must give an error, and nothing else.
TEST_F(ExtractTest, TornAndDamagedModelsAreRefused) {
  const std::string whole = Model(kPlain);
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::string torn = whole.substr(0, size);
    EXPECT_FALSE(ReadOnnxGraph(torn).ok()) << size;
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ (at % 2 == 0 ? 0x80 : 0x11));
    const StatusOr<ExtractResult> result = Extract(damaged);
    EXPECT_EQ(result.ok(), std::filesystem::exists(folder_ / "out"));
    std::filesystem::remove_all(folder_ / "out");
  }
}

TEST_F(ExtractTest, NamesAreQuoted) {
  const std::string text = MakeEnsembleText({.name = "m",
                                             .rest = "m_rest",
                                             .folder = "/f",
                                             .version = 2,
                                             .tables = {},
                                             .lookups = {},
                                             .inputs = {"a\"b\\c\n"},
                                             .outputs = {}});
  EXPECT_THAT(text, HasSubstr(R"(input: "a\"b\\c\012")"));
}

}  // namespace
}  // namespace penstock::tables
