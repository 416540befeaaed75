// SPDX-License-Identifier: Apache-2.0
// The server takes model folders with versions, and GraphPipe's servers took a file. Links cost
// nothing, and keep the sizes and times of the files: by these the row cache finds its rows again
// after a restart. Of small files it compares the content, so signature.txt may be made anew.
#include "app/staged_model.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/escaping.h"
#include "base/encoding/crc32c.h"
#include "s3/url_download.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "penstock-graphpipe-";
constexpr std::string_view kLockFile = "lock";
// A folder that is younger may belong to a process that has not locked it yet.
constexpr std::chrono::minutes kSureAge{1};
// More are no model, but somebody's home folder.
constexpr size_t kFilesMax = 10'000;
constexpr size_t kNamesBytesMax = 16 << 20;
constexpr size_t kNameBytesMin = 4;  // shorter names may be in any text
constexpr int kDepthMax = 8;

std::string ReasonOf(const std::error_code& error) { return error.message(); }

// Removes the folders of processes that were killed. Errors do not matter: the next start tries
// again.
void RemoveLeftFolders(const std::string& parent) {
  std::error_code error;
  for (fs::directory_iterator entries(parent, error); !error && entries != fs::directory_iterator();
       entries.increment(error)) {
    if (!entries->path().filename().native().starts_with(kPrefix)) continue;
    const std::string lock_path = entries->path() / kLockFile;
    struct stat info = {};
    // NOFOLLOW: in a folder for everybody, others may have made this one.
    const int lock = open(lock_path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (lock < 0) continue;
    const auto age = [&] {
      return std::chrono::system_clock::now() -
             std::chrono::system_clock::from_time_t(info.st_mtim.tv_sec);
    };
    if (fstat(lock, &info) == 0 && info.st_uid == geteuid() && age() > kSureAge &&
        flock(lock, LOCK_EX | LOCK_NB) == 0) {
      std::error_code ignored;
      fs::remove_all(entries->path(), ignored);
    }
    close(lock);
  }
}

Status WriteFile(const std::string& path, const std::string& text) {
  errno = 0;
  std::ofstream stream(path, std::ios::binary);
  stream << text;
  stream.close();
  if (stream) return OkStatus();
  return Error(StatusCode::kInternal, "cannot write {}: {}", path,
               ReasonOf({errno, std::generic_category()}));
}

// The kinds of files that can be told apart by their first bytes.
enum class FileKind { kGraph, kOnnx, kSavedModel, kArchive, kWebPage, kEmpty };

FileKind KindOf(const std::string& path) {
  std::array<char, 16> bytes{};
  std::ifstream stream(path, std::ios::binary);
  stream.read(bytes.data(), bytes.size());
  const std::string_view start(bytes.data(), static_cast<size_t>(stream.gcount()));
  if (start.empty()) return FileKind::kEmpty;
  if (start.starts_with("PK\x03\x04") || start.starts_with("\x1f\x8b")) return FileKind::kArchive;
  if (start.starts_with("<")) return FileKind::kWebPage;
  // The first field of ModelProto is the version of ONNX's format, and that of SavedModel the
  // version of its schema, which is 1. A GraphDef begins with a node.
  if (start.size() < 2 || start[0] != '\x08') return FileKind::kGraph;
  return start[1] == '\x01' ? FileKind::kSavedModel : FileKind::kOnnx;
}

Status CheckKind(FileKind kind, std::string_view model) {
  const auto fail = [&](std::string_view why) {
    return InvalidArgument("--model={:.300}: {}", model, why);
  };
  switch (kind) {
    case FileKind::kSavedModel:
      return fail("it is the saved_model.pb of a SavedModel: give the folder that it lies in");
    case FileKind::kArchive:
      return fail("it is an archive: unpack it, and give the file or the SavedModel's folder");
    case FileKind::kWebPage:
      return fail("it is a web page, or another text, and no model");
    case FileKind::kEmpty:
      return fail("the file is empty");
    case FileKind::kGraph:
    case FileKind::kOnnx:
      return OkStatus();
  }
  return OkStatus();
}

// The part of a file in which names are looked for. ONNX files with weights elsewhere are small.
std::string StartOf(const fs::path& path) {
  std::string text(kNamesBytesMax, '\0');
  std::ifstream stream(path, std::ios::binary);
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(stream.gcount()));
  return text;
}

// The end of the name of a file or URL, with the dot; empty if there is none.
std::string ExtensionOf(std::string_view path) {
  if (IsWebUrl(path)) path = PathOfUrl(path);
  return fs::path(path).extension();
}

}  // namespace

StatusOr<std::unique_ptr<ScratchFolder>> ScratchFolder::Make(const std::string& parent) {
  RemoveLeftFolders(parent);
  std::unique_ptr<ScratchFolder> folder(new ScratchFolder());
  std::string path = fmt::format("{}/{}XXXXXX", parent, kPrefix);
  const auto fail = [&] {
    return Error(StatusCode::kInternal,
                 "cannot make a folder for temporary files in {}: {}; TMPDIR names another place",
                 parent, ReasonOf({errno, std::generic_category()}));
  };
  if (mkdtemp(path.data()) == nullptr) return fail();
  folder->path_ = path;
  const std::string lock_path = fmt::format("{}/{}", path, kLockFile);
  folder->lock_ = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (folder->lock_ < 0 || flock(folder->lock_, LOCK_EX | LOCK_NB) != 0) return fail();
  return folder;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
  if (lock_ >= 0) close(lock_);
}

StagedModel::StagedModel(std::unique_ptr<ScratchFolder> folder)
    : folder_(std::move(folder)),
      version_(folder_->path() + "/model/1"),
      config_file_(folder_->path() + "/models.config") {}

StatusOr<std::unique_ptr<StagedModel>> StagedModel::Make(const GraphPipeFlags& flags,
                                                         const std::string& parent,
                                                         const std::atomic<bool>& is_cancelled) {
  ASSIGN_OR_RETURN(std::unique_ptr<ScratchFolder> folder, ScratchFolder::Make(parent));
  std::unique_ptr<StagedModel> staged(new StagedModel(std::move(folder)));
  std::error_code error;
  fs::create_directories(staged->version_, error);
  if (error)
    return Error(StatusCode::kInternal, "cannot make {}: {}", staged->version_, ReasonOf(error));
  if (!flags.model.empty()) {
    TRY(staged->PutModel(flags, is_cancelled));
  } else {
    const auto put = [&](std::string_view flag, const std::string& from, std::string_view name) {
      return staged->Put(flag, from, name, flags, is_cancelled);
    };
    TRY(put("init-net", flags.init_net, "init_net.pb"));
    TRY(put("predict-net", flags.predict_net, "predict_net.pb"));
    TRY(put("value-inputs", flags.value_inputs, "value_inputs.json"));
  }
  TRY(staged->WriteConfig(flags));
  return staged;
}

Status StagedModel::Put(std::string_view flag, const std::string& from, std::string_view name,
                        const GraphPipeFlags& flags, const std::atomic<bool>& is_cancelled) {
  const std::string to = fmt::format("{}/{}", version_, name);
  if (IsWebUrl(from)) {
    fmt::print(stderr, "penstock graphpipe: downloading {}\n", UrlForLogs(from));
    const DownloadLimits limits{.bytes_max = static_cast<uint64_t>(flags.download_bytes_max),
                                .time_max = std::chrono::seconds(flags.download_seconds_max)};
    ASSIGN_OR_RETURN(const DownloadedFile file, DownloadUrl(from, to, limits, is_cancelled));
    fmt::print(stderr, "penstock graphpipe: got {} bytes, SHA-256 {:02x}\n", file.bytes,
               fmt::join(file.sha256, ""));
    return OkStatus();
  }
  std::error_code error;
  const fs::path target = fs::absolute(from, error);
  if (!error && !fs::is_regular_file(target, error) && !error)
    return InvalidArgument("--{}={}: it is no file", flag, from);
  if (!error) fs::create_symlink(target, to, error);
  if (error) return InvalidArgument("--{}={}: {}", flag, from, ReasonOf(error));
  return OkStatus();
}

Status StagedModel::PutModel(const GraphPipeFlags& flags, const std::atomic<bool>& is_cancelled) {
  std::error_code ignored;
  if (!fs::is_directory(flags.model, ignored)) {
    TRY(Put("model", flags.model, "model", flags, is_cancelled));
    return NameByContent(flags);
  }
  TRY(PutFolder(flags.model));
  const bool is_graph = fs::exists(version_ + "/saved_model.pb", ignored) ||
                        fs::exists(version_ + "/saved_model.pbtxt", ignored);
  return is_graph ? WriteSignature(flags) : OkStatus();
}

Status StagedModel::PutFolder(const std::string& from) {
  std::error_code error;
  const fs::path folder = fs::absolute(from, error);
  size_t files = 0;
  fs::recursive_directory_iterator entries(folder, fs::directory_options::follow_directory_symlink,
                                           error);
  for (; !error && entries != fs::recursive_directory_iterator(); entries.increment(error)) {
    if (++files > kFilesMax || entries.depth() > kDepthMax)
      return InvalidArgument(
          "--model={}: it is no SavedModel: it has more than {} files, or folders in more than {} "
          "levels",
          from, kFilesMax, kDepthMax);
    // The temporary files of this process, or of another one, may lie there.
    if (entries->path().filename().native().starts_with(kPrefix)) {
      entries.disable_recursion_pending();
      continue;
    }
    const fs::path to = fs::path(version_) / entries->path().lexically_relative(folder);
    if (entries->is_directory(error)) {
      fs::create_directory(to, error);
    } else if (!error) {
      fs::create_symlink(entries->path(), to, error);
    }
    if (error) break;
  }
  if (error) return InvalidArgument("--model={}: {}", from, ReasonOf(error));
  return OkStatus();
}

Status StagedModel::NameByContent(const GraphPipeFlags& flags) {
  const std::string path = version_ + "/model";
  const std::string extension = ExtensionOf(flags.model);
  const bool is_ort = extension == ".ort";
  FileKind kind = KindOf(path);
  // Their first bytes can be like those of another kind.
  if (kind == FileKind::kSavedModel && (is_ort || extension == ".onnx")) kind = FileKind::kOnnx;
  TRY(CheckKind(kind, IsWebUrl(flags.model) ? UrlForLogs(flags.model) : flags.model));
  const bool is_onnx = is_ort || extension == ".onnx" || kind == FileKind::kOnnx;
  std::error_code error;
  fs::rename(path, path + (is_ort ? ".ort" : is_onnx ? ".onnx" : ".pb"), error);
  if (error) return Error(StatusCode::kInternal, "cannot rename {}: {}", path, ReasonOf(error));
  if (!is_onnx) return WriteSignature(flags);
  if (!IsWebUrl(flags.model)) TRY(PutWeights(flags.model));
  if (flags.names_tensors())
    warnings_.emplace_back(
        "--inputs and --outputs have no effect: an ONNX model says itself what they are");
  return OkStatus();
}

Status StagedModel::PutWeights(const std::string& model) {
  std::error_code error;
  const fs::path path = fs::absolute(model, error);
  const std::string name = path.filename();
  const std::string text = StartOf(path);
  size_t files = 0;
  for (fs::directory_iterator entries(path.parent_path(), error);
       !error && entries != fs::directory_iterator() && files < kFilesMax;
       entries.increment(error)) {
    const std::string other = entries->path().filename();
    const bool is_named_so = other.starts_with(name + ".data") || other.starts_with(name + "_data");
    // The model's text has the names of such files.
    const bool is_named_inside = other != name && other.size() >= kNameBytesMin &&
                                 text.find(other) != std::string::npos &&
                                 entries->is_regular_file(error);
    if (!is_named_so && !is_named_inside) continue;
    ++files;
    fs::create_symlink(entries->path(), fs::path(version_) / other, error);
    if (error == std::errc::file_exists) error.clear();  // a name that Penstock has given
  }
  // Without the right to list the folder, the file can still be a model of its own.
  if (error && error != std::errc::permission_denied)
    return InvalidArgument("--model={}: {}", model, ReasonOf(error));
  return OkStatus();
}

Status StagedModel::WriteSignature(const GraphPipeFlags& flags) {
  std::string text = "names: graph\n";
  const std::pair<std::string_view, const std::string&> lists[] = {
      {"inputs", flags.inputs}, {"outputs", flags.outputs}, {"more_outputs", flags.more_outputs}};
  for (const auto& [key, list] : lists) {
    if (list.empty()) continue;
    if (list.find_first_of("\n\r=") != std::string::npos)
      return InvalidArgument("--{}={}: expected tensors of the graph, as \"x:0,y:0\"", key, list);
    text += fmt::format("{}: {}\n", key, list);
  }
  const std::string path = version_ + "/signature.txt";
  std::error_code ignored;
  fs::remove(path, ignored);  // it may be a link to a file of the SavedModel's folder
  return WriteFile(path, text);
}

Status StagedModel::WriteConfig(const GraphPipeFlags& flags) {
  const std::string& path = flags.model.empty() ? flags.predict_net : flags.model;
  const std::string name = StagedModelName(path);
  std::string cache;
  if (flags.cache) {
    // Several servers may share the folder of the cache, each with its model.
    std::error_code ignored;
    const std::string place = IsWebUrl(path) ? path : fs::absolute(path, ignored).native();
    cache = fmt::format(" penstock {{ cache {{ path: \"{}-{:08x}\" }} }}", name, Crc32c(place));
  }
  return WriteFile(
      config_file_,
      fmt::format("model_config_list {{ config {{ name: \"{}\" base_path: \"{}\"{} }} }}\n", name,
                  absl::CEscape(folder_->path() + "/model"), cache));
}

std::string StagedModelName(std::string_view path) {
  if (IsWebUrl(path)) path = PathOfUrl(path);
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  std::string name = fs::path(path).stem();
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_' && c != '-' && c != '.')
      c = '_';
  // A folder that is named by a version's number says nothing.
  const bool has_letter =
      std::ranges::any_of(name, [](unsigned char c) { return std::isalpha(c) != 0; });
  return has_letter ? name : "default";
}

}  // namespace penstock
