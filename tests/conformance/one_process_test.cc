// SPDX-License-Identifier: Apache-2.0
// All backends and our own protobuf in one process: none disturbs another.
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "backend_fixture.h"
#include "base/os/test_paths.h"
#include "tensorflow/meta_graph.pb.h"
#include "tensorflow/saved_model.pb.h"

namespace penstock {
namespace {

using testing::Each;
using testing::ElementsAre;
namespace fs = std::filesystem;

struct Subject {
  std::string backend;
  std::string path;  // x float[-1] -> y = x / 2 + 2
};
const Subject kSubjects[] = {
    {"tensorflow", SampleModel("half_plus_two")},
    {"onnxruntime", SampleModel("half_plus_two_onnx")},
    {"linear", SourcePath("examples/custom_backend/model/1")},
};

// Nice values of all threads of this process but the caller's.
std::vector<int> NiceValues() {
  std::vector<int> values;
  for (const auto& task : fs::directory_iterator("/proc/self/task")) {
    const auto id = static_cast<id_t>(std::stoi(task.path().filename()));
    if (static_cast<pid_t>(id) != gettid()) values.push_back(getpriority(PRIO_PROCESS, id));
  }
  return values;
}

// A SavedModel through our protobuf: binary, text, JSON and back. Returns the characters written.
size_t ReadByOurselves() {
  std::ifstream file(SampleModel("half_plus_two") + "/saved_model.pb", std::ios::binary);
  ::tensorflow::SavedModel saved_model;
  EXPECT_TRUE(saved_model.ParseFromIstream(&file));
  saved_model.DiscardUnknownFields();  // JSON has no place for them
  std::string text;
  EXPECT_TRUE(google::protobuf::TextFormat::PrintToString(saved_model, &text));
  std::string json;
  EXPECT_TRUE(google::protobuf::util::MessageToJsonString(saved_model, &json).ok());
  ::tensorflow::SavedModel again;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(json, &again).ok());
  EXPECT_GT(again.meta_graphs_size(), 0);
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(saved_model, again));
  return text.size() + json.size();
}

// What ReadByOurselves gave before any runtime was opened.
size_t Before() {
  static const size_t characters = ReadByOurselves();
  return characters;
}

// The first test of the process, so that the thread of low priority is the one that opens the
// runtimes.
TEST(OneProcessTest, RuntimesHaveThreadsOfNormalPriority) {
  EXPECT_GT(Before(), 0U);
  const int normal = getpriority(PRIO_PROCESS, static_cast<id_t>(getpid()));
  for (const Subject& subject : kSubjects) {
    const auto host = MakeHost(subject.backend);
    std::thread loader([&] {
      ASSERT_EQ(setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 19), 0);
      const auto model = host->Load(subject.path, {});
      ASSERT_TRUE(model.ok()) << model.status();
      EXPECT_TRUE(RunModel(**model, {{"x", Floats({1})}}).status.ok());
      EXPECT_THAT(NiceValues(), Each(normal)) << subject.backend;
    });
    loader.join();
  }
}

TEST(TensorFlowTest, FrozenGraphsAndDefaultValues) {
  const auto host = MakeHost("tensorflow");
  const auto frozen = host->Load(TestModel("frozen"), {});
  ASSERT_TRUE(frozen.ok()) << frozen.status();
  const Signature& signature = (*frozen)->info().signatures.at(0);
  ASSERT_EQ(signature.inputs.size(), 1U);
  const InferResponse response = RunModel(**frozen, {{signature.inputs[0].name, Floats({1, 2})}});
  EXPECT_TRUE(response.status.ok()) << response.status;
  EXPECT_EQ(response.outputs.size(), signature.outputs.size());
  const auto defaults = host->Load(TestModel("defaults"), {});
  ASSERT_TRUE(defaults.ok()) << defaults.status();
  const InferResponse left_out = RunModel(**defaults, {{"x", Floats({1})}});
  EXPECT_EQ(Output(left_out, "y").element_count(), 1) << left_out.status;
}

TEST(OneProcessTest, RuntimesAndOurProtobufLiveSideBySide) {
  std::vector<std::unique_ptr<BackendHost>> hosts;
  std::vector<std::unique_ptr<Model>> models;
  for (const Subject& subject : kSubjects) {
    hosts.push_back(MakeHost(subject.backend));
    StatusOr<std::unique_ptr<Model>> model = hosts.back()->Load(subject.path, {});
    ASSERT_TRUE(model.ok()) << model.status();
    models.push_back(*std::move(model));
    EXPECT_EQ(ReadByOurselves(), Before());
  }
  for (int round = 0; round < 3; ++round) {
    for (const auto& model : models) {
      const InferResponse response = RunModel(*model, {{"x", Floats({1, 2})}});
      EXPECT_THAT(Values<float>(Output(response, "y")), ElementsAre(2.5, 3));
    }
    EXPECT_EQ(ReadByOurselves(), Before());
  }
  models.clear();
}

}  // namespace
}  // namespace penstock
