// SPDX-License-Identifier: Apache-2.0
#include "app/staged_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/os/test_folder.h"
#include "s3/http_server_fake.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
namespace fs = std::filesystem;

constexpr std::string_view kGraph = "\x0a\x01x";
constexpr std::string_view kOnnx = "\x08\x04\x12";

std::string ReadAll(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

class StagedModelTest : public testing::Test {
 protected:
  // Stages the model of flags_.
  std::string Stage() {
    auto staged = StagedModel::Make(flags_, scratch_.path(), is_cancelled_);
    if (!staged.ok()) return std::string(MessageOf(staged.status()));
    staged_ = *std::move(staged);
    return "";
  }
  std::string StageFile(std::string_view name, std::string_view bytes) {
    flags_.model = files_.Write(name, bytes);
    return Stage();
  }
  // The path of a file in the version's folder.
  std::string InVersion(std::string_view name) const {
    return fs::path(staged_->config_file()).parent_path() / "model/1" / name;
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(InVersion("")))
      names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
  }
  static timespec TimeOf(const std::string& path) {
    struct stat info = {};
    EXPECT_EQ(stat(path.c_str(), &info), 0);
    return info.st_mtim;
  }

  const TestFolder files_, scratch_;
  std::atomic<bool> is_cancelled_ = false;
  GraphPipeFlags flags_;
  std::unique_ptr<StagedModel> staged_;
};

TEST_F(StagedModelTest, AGraphIsLinkedAndGetsItsNames) {
  flags_.inputs = "x:0,z";
  flags_.more_outputs = "a";
  ASSERT_EQ(StageFile("net.pb", kGraph), "");
  EXPECT_THAT(Names(), ElementsAre("model.pb", "signature.txt"));
  EXPECT_EQ(fs::read_symlink(InVersion("model.pb")), flags_.model);
  EXPECT_EQ(ReadAll(InVersion("signature.txt")), "names: graph\ninputs: x:0,z\nmore_outputs: a\n");
  const std::string config = ReadAll(staged_->config_file());
  EXPECT_THAT(config, HasSubstr("config { name: \"net\" base_path: \"" + scratch_.path()));
  EXPECT_THAT(config, Not(HasSubstr("cache")));
}

TEST_F(StagedModelTest, ItsFolderGoesWithIt) {
  ASSERT_EQ(StageFile("net.pb", kGraph), "");
  EXPECT_FALSE(fs::is_empty(scratch_.path()));
  staged_.reset();
  EXPECT_TRUE(fs::is_empty(scratch_.path()));
  EXPECT_TRUE(fs::exists(flags_.model));
}

TEST_F(StagedModelTest, FoldersOfKilledProcessesAreRemoved) {
  const std::string lock = scratch_.Write("penstock-graphpipe-killed/lock");
  const std::string other = scratch_.Write("other/lock");
  fs::last_write_time(lock, fs::file_time_type::clock::now() - std::chrono::hours(1));
  scratch_.Write("penstock-graphpipe-young/lock");
  ASSERT_EQ(StageFile("net.pb", kGraph), "");
  EXPECT_FALSE(fs::exists(lock));
  EXPECT_TRUE(fs::exists(other));
  EXPECT_TRUE(fs::exists(scratch_ / "penstock-graphpipe-young/lock"));
  // That of a process that lives stays, however old it is.
  const std::string own = fs::path(staged_->config_file()).parent_path() / "lock";
  fs::last_write_time(own, fs::file_time_type::clock::now() - std::chrono::hours(1));
  EXPECT_TRUE(StagedModel::Make(flags_, scratch_.path(), is_cancelled_).ok());
  EXPECT_TRUE(fs::exists(own));
}

// The row cache finds its rows again only if the times of large files and the content of small ones
// stay.
TEST_F(StagedModelTest, LinksKeepTheTimesOfFiles) {
  ASSERT_EQ(StageFile("net.pb", kGraph), "");
  const std::string signature = ReadAll(InVersion("signature.txt"));
  ASSERT_EQ(Stage(), "");
  EXPECT_EQ(ReadAll(InVersion("signature.txt")), signature);
  EXPECT_EQ(TimeOf(InVersion("model.pb")).tv_nsec, TimeOf(flags_.model).tv_nsec);
}

TEST_F(StagedModelTest, OnnxFilesAreKnownByNameOrContent) {
  flags_.outputs = "y";
  ASSERT_EQ(StageFile("net.onnx", kOnnx), "");
  EXPECT_THAT(Names(), ElementsAre("model.onnx"));
  EXPECT_THAT(staged_->warnings(), ElementsAre(HasSubstr("--outputs have no effect")));
  ASSERT_EQ(StageFile("net.pb", kOnnx), "");
  EXPECT_THAT(Names(), ElementsAre("model.onnx"));
  flags_.outputs.clear();
  ASSERT_EQ(StageFile("net.ort", "PK?"), "");
  EXPECT_THAT(Names(), ElementsAre("model.ort"));
  EXPECT_THAT(staged_->warnings(), IsEmpty());
}

TEST_F(StagedModelTest, FilesThatAreNoModels) {
  EXPECT_THAT(StageFile("saved_model.pb", "\x08\x01\x12"), HasSubstr("give the folder"));
  EXPECT_THAT(StageFile("net.zip", "PK\x03\x04"), HasSubstr("it is an archive: unpack it"));
  EXPECT_THAT(StageFile("net.pb", "<!DOCTYPE html>"), HasSubstr("it is a web page"));
  EXPECT_THAT(StageFile("net.pb", ""), HasSubstr("the file is empty"));
  flags_.model = files_ / "none.pb";
  EXPECT_THAT(Stage(), HasSubstr("none.pb: No such file"));
  flags_.model = "/dev/null";
  EXPECT_THAT(Stage(), HasSubstr("it is no file"));
  EXPECT_TRUE(fs::is_empty(scratch_.path()));
}

TEST_F(StagedModelTest, ASavedModelIsLinkedFileByFile) {
  files_.Write("mine/saved_model.pb", "\x08\x01");
  files_.Write("mine/signature.txt", "inputs: q\n");
  files_.Write("mine/variables/variables.index", "v");
  flags_.model = files_ / "mine/";
  ASSERT_EQ(Stage(), "");
  EXPECT_EQ(fs::read_symlink(InVersion("variables/variables.index")),
            files_ / "mine/variables/variables.index");
  EXPECT_EQ(ReadAll(InVersion("signature.txt")), "names: graph\n");
  EXPECT_EQ(files_.Read("mine/signature.txt"), "inputs: q\n");
  EXPECT_THAT(ReadAll(staged_->config_file()), HasSubstr("name: \"mine\""));
}

TEST_F(StagedModelTest, Caffe2NetsGetTheirUsualNames) {
  flags_.init_net = files_.Write("a", "i");
  flags_.predict_net = files_.Write("b", "p");
  flags_.value_inputs = files_.Write("c", "v");
  ASSERT_EQ(Stage(), "");
  EXPECT_EQ(ReadAll(InVersion("init_net.pb")) + ReadAll(InVersion("predict_net.pb")) +
                ReadAll(InVersion("value_inputs.json")),
            "ipv");
}

TEST_F(StagedModelTest, TheCacheHasAFolderForEachModel) {
  flags_.cache = true;
  ASSERT_EQ(StageFile("one/net.pb", kGraph), "");
  const auto cache_of = [&] {
    const std::string config = ReadAll(staged_->config_file());
    return config.substr(config.find("penstock {"));
  };
  const std::string one = cache_of();
  EXPECT_THAT(one, HasSubstr("cache { path: \"net-"));
  ASSERT_EQ(StageFile("two/net.pb", kGraph), "");
  EXPECT_NE(cache_of(), one);
  flags_.model = files_ / "one/net.pb";
  ASSERT_EQ(Stage(), "");
  EXPECT_EQ(cache_of(), one);
}

TEST_F(StagedModelTest, AUrlIsDownloaded) {
  const FakeHttpServer server([](const std::string& head) {
    if (head.starts_with("GET /net.onnx")) return FakeHttpServer::Ok(kOnnx);
    return FakeHttpServer::Response("404 Not Found", "no");
  });
  const std::string address = fmt::format("http://127.0.0.1:{}", server.port());
  flags_.model = address + "/net.onnx?token=x";
  testing::internal::CaptureStderr();
  ASSERT_EQ(Stage(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "penstock graphpipe: downloading " + address +
                "/net.onnx\npenstock graphpipe: got 3 bytes, SHA-256 "
                "c36cc90a8eb4bbe104aa4f25e1ab471c3a2009397eb95c6535f9df60dca4e8ed\n");
  EXPECT_EQ(ReadAll(InVersion("model.onnx")), kOnnx);
  EXPECT_THAT(ReadAll(staged_->config_file()), HasSubstr("name: \"net\""));
  flags_.model = address + "/none.pb";
  EXPECT_THAT(Stage(), HasSubstr("the server does not have it (HTTP status 404)"));
  flags_.model = address + "/net.onnx";
  flags_.download_bytes_max = 2;
  EXPECT_THAT(Stage(), HasSubstr("it has more than 2 bytes"));
}

TEST_F(StagedModelTest, ACancelledDownloadLeavesNothing) {
  const FakeHttpServer server([&](const std::string&) {
    is_cancelled_ = true;
    return std::string(FakeHttpServer::kSilence);
  });
  flags_.model = fmt::format("http://user:pass@127.0.0.1:{}/net.pb", server.port());
  testing::internal::CaptureStderr();
  EXPECT_THAT(Stage(), Not(HasSubstr("pass")));  // a user name is refused
  flags_.model = fmt::format("http://127.0.0.1:{}/net.pb", server.port());
  EXPECT_THAT(Stage(), HasSubstr("cancelled"));
  EXPECT_THAT(testing::internal::GetCapturedStderr(), Not(HasSubstr("pass")));
  EXPECT_TRUE(fs::is_empty(scratch_.path()));
}

TEST_F(StagedModelTest, WeightsBesideAnOnnxFileAreLinked) {
  files_.Write("net.onnx.data", "w");
  files_.Write("net.onnx_data_1", "w");
  files_.Write("net.onnx.bak", "w");
  files_.Write("weights.bin", "w");
  files_.Write("other.bin", "w");
  ASSERT_EQ(StageFile("net.onnx", std::string(kOnnx) + "location weights.bin"), "");
  EXPECT_THAT(Names(),
              ElementsAre("model.onnx", "net.onnx.data", "net.onnx_data_1", "weights.bin"));
}

TEST_F(StagedModelTest, TemporaryFilesWithinTheModelAreNoPartOfIt) {
  files_.Write("model.onnx", kOnnx);
  files_.Write("penstock-graphpipe-x/model/1/loop", "x");
  flags_.model = files_.path();
  ASSERT_EQ(Stage(), "");
  EXPECT_THAT(Names(), ElementsAre("model.onnx"));
}

TEST_F(StagedModelTest, NamesOfModels) {
  EXPECT_EQ(StagedModelName("/m/squeeze net.v1.pb"), "squeeze_net.v1");
  EXPECT_EQ(StagedModelName("https://host/a/net.onnx?x=/y"), "net");
  EXPECT_EQ(StagedModelName("/m/mine/1/"), "default");
  EXPECT_EQ(StagedModelName("http://host"), "default");
}

}  // namespace
}  // namespace penstock
