// SPDX-License-Identifier: Apache-2.0
// Loads SavedModels and frozen graphs.
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include "tf_model.h"
#include "wire.h"

namespace penstock::tensorflow {
namespace {

using plugin::Error;

std::vector<std::string> ReadTags(std::string_view list) {
  std::vector<std::string> tags;
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (comma > 0) tags.emplace_back(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  if (tags.empty()) {
    throw Error(PENSTOCK_INVALID_ARGUMENT,
                "saved_model_tags names no tag; a model for serving has the tag \"serve\"");
  }
  return tags;
}

bool IsFile(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

// The only .pb file of the folder, or the one with a usual name.
std::string FrozenGraphFile(const std::string& folder) {
  for (const char* usual : {"frozen_inference_graph.pb", "model.pb"}) {
    if (IsFile(folder + "/" + usual)) return folder + "/" + usual;
  }
  std::vector<std::string> names;
  DIR* const entries = opendir(folder.c_str());
  if (entries == nullptr) throw Error(PENSTOCK_NOT_FOUND, "cannot read the folder");
  while (const dirent* entry = readdir(entries)) {
    const std::string_view name = entry->d_name;
    if (name.ends_with(".pb") && name.front() != '.') names.emplace_back(name);
  }
  closedir(entries);
  if (names.size() == 1) return folder + "/" + names.front();
  throw Error(PENSTOCK_NOT_FOUND,
              names.empty() ? "the folder holds neither a SavedModel nor a frozen graph (.pb)"
                            : "the folder holds several .pb files; call the graph model.pb");
}

// A pipe would hold up the thread for good, and /dev/zero has no end.
void CheckRegular(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    throw Error(PENSTOCK_INVALID_ARGUMENT, path + " is no regular file");
  }
}

std::string ReadFile(const std::string& path) {
  CheckRegular(path);
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw Error(PENSTOCK_NOT_FOUND, "cannot read " + path);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

// The value of "inputs:" or "outputs:" in signature.txt, or nothing.
std::string FromSignatureFile(const std::string& folder, const std::string& key) {
  const std::string file = folder + "/signature.txt";
  CheckRegular(file);
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    if (line.rfind(key + ":", 0) != 0) continue;
    line.erase(0, key.size() + 1);
    line.erase(
        std::remove_if(line.begin(), line.end(), [](char c) { return c == ' ' || c == '\r'; }),
        line.end());
    return line;
  }
  return {};
}

LoadedGraph LoadFrozen(const TfApi& api, const TF_SessionOptions* session_options,
                       const plugin::LoadArguments& arguments) {
  const std::string folder(arguments.folder);
  const std::string file = FrozenGraphFile(folder);
  const std::string bytes = ReadFile(file);
  LoadedGraph result;
  result.graph = GraphPtr(api.NewGraph(), {&api});
  TF_ImportGraphDefOptions* const options = api.NewImportGraphDefOptions();
  CallStatus status(api);
  TF_Buffer graph_def{bytes.data(), bytes.size(), nullptr};
  api.GraphImportGraphDef(result.graph.get(), &graph_def, options, status.get());
  api.DeleteImportGraphDefOptions(options);
  status.Check(file + " is not a frozen graph that can be loaded: ");
  const auto named = [&](const std::string& key) {
    const std::string_view option = plugin::OptionOr(arguments.options, key, "");
    return option.empty() ? FromSignatureFile(folder, key) : std::string(option);
  };
  result.signatures.push_back(
      MakeSignature(api, result.graph.get(), named("inputs"), named("outputs")));
  result.session =
      SessionPtr(api.NewSession(result.graph.get(), session_options, status.get()), {&api});
  status.Check();
  return result;
}

// True if the MetaGraphDef names an operation that restores variables.
bool HasRestoreOperation(std::string_view meta_graph) {
  enum : uint32_t { kMetaGraphSaverDef = 3, kSaverRestoreOpName = 3 };
  for (WireReader reader(meta_graph); reader.Next();) {
    if (reader.field() != kMetaGraphSaverDef) continue;
    for (WireReader saver(reader.bytes()); saver.Next();) {
      if (saver.field() == kSaverRestoreOpName && !saver.bytes().empty()) return true;
    }
  }
  return false;
}

// TensorFlow loads a SavedModel without its variables, and then each run fails: a folder that was
// half copied must not take the place of a good version.
void CheckVariables(const TfApi& api, TF_Graph* graph, std::string_view meta_graph,
                    const std::string& folder) {
  const std::string index = folder + "/variables/variables.index";
  if (IsFile(index) || !HasRestoreOperation(meta_graph)) return;
  size_t position = 0;
  while (TF_Operation* const operation = api.GraphNextOperation(graph, &position)) {
    const std::string_view type = api.OperationOpType(operation);
    if (type != "VarHandleOp" && type != "VariableV2") continue;
    throw Error(PENSTOCK_NOT_FOUND,
                "the SavedModel has variables, but there is no " + index + " to read them from");
  }
}

LoadedGraph LoadSavedModel(const TfApi& api, const TF_SessionOptions* session_options,
                           const TF_Buffer* run_options, const plugin::LoadArguments& arguments) {
  const std::vector<std::string> tags =
      ReadTags(plugin::OptionOr(arguments.options, "saved_model_tags", "serve"));
  CheckRegular(std::string(arguments.folder) + "/saved_model.pb");
  std::vector<const char*> tag_pointers;
  for (const std::string& tag : tags) tag_pointers.push_back(tag.c_str());
  LoadedGraph result;
  result.graph = GraphPtr(api.NewGraph(), {&api});
  const BufferPtr meta_graph(api.NewBuffer(), {&api});
  CallStatus status(api);
  result.session =
      SessionPtr(api.LoadSessionFromSavedModel(
                     session_options, run_options, std::string(arguments.folder).c_str(),
                     tag_pointers.data(), static_cast<int>(tag_pointers.size()), result.graph.get(),
                     meta_graph.get(), status.get()),
                 {&api});
  status.Check("the SavedModel (saved_model.pb, variables/, assets/) cannot be loaded: ");
  const std::string_view meta(static_cast<const char*>(meta_graph->data), meta_graph->length);
  CheckVariables(api, result.graph.get(), meta, std::string(arguments.folder));
  result.signatures = ReadSignatures(api, result.graph.get(), meta);
  return result;
}

}  // namespace

LoadedGraph LoadGraph(const TfApi& api, const TF_SessionOptions* session_options,
                      const TF_Buffer* run_options, const plugin::LoadArguments& arguments) {
  const std::string folder(arguments.folder);
  if (IsFile(folder + "/saved_model.pb") || IsFile(folder + "/saved_model.pbtxt")) {
    return LoadSavedModel(api, session_options, run_options, arguments);
  }
  return LoadFrozen(api, session_options, arguments);
}

}  // namespace penstock::tensorflow
