// SPDX-License-Identifier: Apache-2.0
#include "backends/host/detect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/os/test_folder.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
namespace fs = std::filesystem;

class DetectTest : public testing::Test {
 protected:
  void AddBackend(const std::string& name, const std::string& patterns) {
    root_.Write("backends/" + name + "/penstock_" + name + ".so");
    root_.Write("backends/" + name + "/models.txt", patterns);
  }
  std::vector<InstalledBackend> Found() const {
    return FindBackends(root_ / "backends", importers_);
  }
  StatusOr<InstalledBackend> Choose(const std::string& platform, const std::string& folder) const {
    return ChooseBackend(Found(), platform, root_ / folder);
  }

  const TestFolder root_;
  std::vector<ModelImporter> importers_;
};

TEST_F(DetectTest, FindsBackendsSortedWithTheirPatterns) {
  AddBackend("zeta", "# what it takes\nmodel.zeta  # exactly\n\n*.z\t \r\n");
  root_.Write("backends/alpha/penstock_alpha.so");     // no models.txt
  root_.Write("backends/empty/readme.txt");            // no library
  root_.Write("backends/misnamed/penstock_other.so");  // another's
  root_.Write("backends/penstock_file.so");            // not in a folder of its own
  const std::vector<InstalledBackend> found = Found();
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].name, "alpha");
  EXPECT_THAT(found[0].patterns, IsEmpty());
  EXPECT_EQ(found[1].name, "zeta");
  EXPECT_EQ(found[1].library, root_ / "backends/zeta/penstock_zeta.so");
  EXPECT_THAT(found[1].patterns, ElementsAre("model.zeta", "*.z"));
}

TEST_F(DetectTest, NoFolderHoldsNoBackends) { EXPECT_THAT(Found(), IsEmpty()); }

TEST_F(DetectTest, BackendsLieBesideTheProgram) {
  EXPECT_EQ(fs::path(DefaultBackendFolder()),
            fs::read_symlink("/proc/self/exe").parent_path() / "backends");
}

TEST_F(DetectTest, ContentChoosesTheBackend) {
  AddBackend("one", "model.one\n");
  AddBackend("many", "*.many\n");
  root_.Write("a/model.one");
  root_.Write("b/some.many");
  root_.Write("b/readme.txt");
  EXPECT_EQ(Choose("", "a")->name, "one");
  EXPECT_EQ(Choose("", "b")->name, "many");
}

TEST_F(DetectTest, HiddenFilesChooseNothing) {
  AddBackend("many", "*.many\n");
  root_.Write("a/.partial.many");
  EXPECT_EQ(Choose("", "a").status().code(), StatusCode::kInvalidArgument);
}

TEST_F(DetectTest, NoBackendFits) {
  AddBackend("one", "model.one\n");
  root_.Write("a/model.other");
  const Status status = Choose("", "a").status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr(root_ / "a"));
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("files: model.other"));
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("installed backends: one"));
}

TEST_F(DetectTest, VariablesAloneAreAnIncompleteVersion) {
  AddBackend("one", "model.one\n");
  root_.Write("a/variables/variables.index");
  const Status status = Choose("", "a").status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("the version is incomplete: "));
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("no saved_model.pb"));
}

TEST_F(DetectTest, TheListOfFilesInTheMessageIsShort) {
  for (char c = 'a'; c <= 'z'; ++c) root_.Write(std::string("full/file_") + c);
  const Status status = Choose("", "full").status();
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("file_j, ..."));
  EXPECT_THAT(std::string(MessageOf(status)), Not(HasSubstr("file_k")));
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("installed backends: none"));
}

TEST_F(DetectTest, SeveralBackendsFit) {
  AddBackend("one", "model.one\n");
  AddBackend("two", "model.*\n");
  root_.Write("a/model.one");
  const Status status = Choose("", "a").status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(MessageOf(status)),
              HasSubstr("one, two; keep the files of one, or name it: model_platform: \"one\" in "
                        "--model_config_file (for inspect: --platform=one)"));
  EXPECT_EQ(Choose("two", "a")->name, "two");
}

TEST_F(DetectTest, AWeakPatternCountsOnlyIfNoOtherFits) {
  AddBackend("graphs", "saved.pb\notherwise *.pb\n");
  AddBackend("one", "*.one\n");
  root_.Write("a/model.one");
  root_.Write("a/weights.pb");
  root_.Write("b/frozen.pb");
  root_.Write("c/saved.pb");
  root_.Write("c/model.one");
  EXPECT_EQ(Choose("", "a")->name, "one");
  EXPECT_EQ(Choose("", "b")->name, "graphs");
  EXPECT_EQ(Choose("", "c").status().code(), StatusCode::kInvalidArgument);
}

TEST_F(DetectTest, ThePlatformChoosesWhateverTheContent) {
  AddBackend("onnxruntime", "model.onnx\n");
  EXPECT_EQ(Choose("onnxruntime", "nowhere")->name, "onnxruntime");
  EXPECT_EQ(Choose("onnx", "nowhere")->name, "onnxruntime");
  const Status status = Choose("caffe", "nowhere").status();
  EXPECT_EQ(status, InvalidArgument("there is no backend 'caffe'; installed: onnxruntime"));
}

TEST_F(DetectTest, AnImporterIsAPlatformOfItsOwn) {
  importers_ = {{.platform = "nets", .patterns = {"net.pb"}, .backend = "graphs", .import = {}},
                {.platform = "other", .patterns = {"*"}, .backend = "not_installed", .import = {}}};
  AddBackend("graphs", "*.graph\notherwise *.pb\n");
  root_.Write("a/net.pb");
  root_.Write("b/other.pb");
  root_.Write("c/net.pb");
  root_.Write("c/model.graph");
  const StatusOr<InstalledBackend> found = Choose("", "a");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->name, "nets");
  EXPECT_EQ(found->library, root_ / "backends/graphs/penstock_graphs.so");
  EXPECT_EQ(found->importer, &importers_[0]);
  EXPECT_EQ(Choose("", "b")->name, "graphs");
  EXPECT_EQ(Choose("", "b")->importer, nullptr);
  EXPECT_EQ(Choose("nets", "b")->name, "nets");
  EXPECT_THAT(std::string(MessageOf(Choose("", "c").status())), HasSubstr("graphs, nets; keep"));
  EXPECT_THAT(std::string(MessageOf(Choose("other", "a").status())),
              HasSubstr("there is no backend 'other'; installed: graphs, nets"));
}

TEST_F(DetectTest, ListsFolders) {
  root_.Write("a/two");
  root_.Write("a/one");
  EXPECT_THAT(*ListFolder(root_ / "a"), ElementsAre("one", "two"));
  for (const char* wrong : {"nowhere", "a/one"}) {
    const Status status = ListFolder(root_ / wrong).status();
    EXPECT_EQ(status.code(), StatusCode::kNotFound);
    EXPECT_THAT(std::string(MessageOf(status)), HasSubstr(root_ / wrong));
  }
}

TEST_F(DetectTest, SumsTheBytesOfAllFilesBelow) {
  root_.Write("a/one", "123");
  root_.Write("a/below/deeper/two", "12345");
  fs::create_symlink("nowhere", root_ / "a/dangling");
  EXPECT_EQ(*FolderBytes(root_ / "a"), 8U);
  EXPECT_EQ(FolderBytes(root_ / "nowhere").status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace penstock
