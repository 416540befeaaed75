// SPDX-License-Identifier: Apache-2.0
#include "core/version_content.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace penstock::core {
namespace {

TEST(VersionContentTest, UnfinishedUploadIsNoVersion) {
  struct {
    std::vector<std::string> names;
    const char* missing;
  } const rows[] = {
      {{}, "it has no files, or only empty ones"},
      {{"variables/variables.index"}, "it has variables and no saved_model.pb"},
      {{"fingerprint.pb"}, "it has fingerprint.pb and no saved_model.pb"},
      {{"variables/variables.index", "saved_model.pb"}, ""},
      {{"saved_model.pb"}, ""},  // one without variables is whole
      {{"model.onnx"}, ""},
      {{"model.onnx/model.onnx"}, ""},
  };
  for (const auto& row : rows) {
    VersionContent content;
    for (const std::string& name : row.names) content.Add(name, 1);
    EXPECT_EQ(content.Missing(), row.missing);
  }
}

TEST(VersionContentTest, MarkerObjectIsNoContent) {
  VersionContent content;
  content.Add("", 0);
  content.Add("_SUCCESS", 0);
  EXPECT_EQ(content.Missing(), "it has no files, or only empty ones");
}

}  // namespace
}  // namespace penstock::core
