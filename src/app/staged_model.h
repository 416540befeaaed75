// SPDX-License-Identifier: Apache-2.0
// Makes the files of one model, which may lie anywhere, look like a model folder.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "options/graphpipe_flags.h"

namespace penstock {

// A folder for temporary files, in TMPDIR or /tmp. The destructor removes it. If the process is
// killed before, the next folder that is made removes it. One thread at a time.
class ScratchFolder final {
 public:
  // `parent`: where it is made. INTERNAL if it cannot be made, with what to do.
  static StatusOr<std::unique_ptr<ScratchFolder>> Make(const std::string& parent);
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  ScratchFolder() = default;

  std::string path_;
  int lock_ = -1;  // a file that is locked as long as the folder is used
};

// A model folder that links to the model's files, or has those that were downloaded; and a
// configuration file for it. One thread at a time.
//
//   ASSIGN_OR_RETURN(const auto staged, StagedModel::Make(flags, "/tmp", is_cancelled));
//   Serve({"--model_config_file=" + staged->config_file()});
class StagedModel final {
 public:
  // Blocks while files are downloaded. `parent`: as for ScratchFolder. Errors name the flag or the
  // URL, and say what is wrong with the file. CANCELLED soon after `is_cancelled` is set.
  static StatusOr<std::unique_ptr<StagedModel>> Make(const GraphPipeFlags& flags,
                                                     const std::string& parent,
                                                     const std::atomic<bool>& is_cancelled);

  const std::string& config_file() const { return config_file_; }
  // What has no effect for this kind of model.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  explicit StagedModel(std::unique_ptr<ScratchFolder> folder);

  // Puts the file of a flag, or what its URL has, into the version's folder.
  Status Put(std::string_view flag, const std::string& from, std::string_view name,
             const GraphPipeFlags& flags, const std::atomic<bool>& is_cancelled);
  Status PutModel(const GraphPipeFlags& flags, const std::atomic<bool>& is_cancelled);
  // Links to all files of a folder, and of those below it.
  Status PutFolder(const std::string& from);
  // Links to the files with the weights of an ONNX file: those beside it that have its name, and
  // then ".data" or "_data", and those whose names are in its text.
  Status PutWeights(const std::string& model);
  // Gives the file that PutModel has got the name that its content calls for.
  Status NameByContent(const GraphPipeFlags& flags);
  // Writes signature.txt, for graphs of TensorFlow.
  Status WriteSignature(const GraphPipeFlags& flags);
  Status WriteConfig(const GraphPipeFlags& flags);

  const std::unique_ptr<ScratchFolder> folder_;
  const std::string version_;  // the version's folder
  const std::string config_file_;
  std::vector<std::string> warnings_;
};

// The name that the model gets: that of its file or folder, without odd characters.
std::string StagedModelName(std::string_view path);

}  // namespace penstock
