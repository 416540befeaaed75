// SPDX-License-Identifier: Apache-2.0
// Loads SavedModels and frozen graphs. TensorFlow restores the SavedModel; this file adds what
// TensorFlow does not check or explains badly. It refuses what would block the loading thread
// (pipes and devices in place of files) and what TensorFlow loads although no run could succeed
// (missing variables). It recognises models that were saved under the wrong name. When a load
// fails, it reads saved_model.pb again to say more than TensorFlow does.
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include "tf_graph_scan.h"
#include "tf_model.h"
#include "tf_saved_model.h"

namespace penstock::tensorflow {
namespace {

using plugin::Error;

// Splits `list` at its commas. An empty list is valid: it means the graph that was saved without
// tags.
std::vector<std::string> ReadTags(std::string_view list) {
  std::vector<std::string> tags;
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (comma > 0) tags.emplace_back(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return tags;
}

bool IsFile(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

// Returns the path of the frozen graph: a usual name first, or else the only .pb file. If there are
// several files with other names, a guess could serve the wrong model, so that is an error.
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

// Throws if `path` is something else than a regular file: reading a pipe would block the thread for
// ever, and /dev/zero has no end. A missing file passes; whoever reads it reports that.
void CheckRegular(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    throw Error(PENSTOCK_INVALID_ARGUMENT, path + " is no regular file");
  }
}

// TensorFlow's own words for a file in text form are about bytes that it cannot parse.
void CheckForm(const std::string& file) {
  CheckRegular(file);
  const TextForm form = TextFormOf(file);
  const std::string name = file.substr(file.rfind('/') + 1);
  if (form == TextForm::kGraph) {
    throw Error(PENSTOCK_INVALID_ARGUMENT,
                name + " is a graph (a GraphDef) in text form, which is not served: write it in " +
                    "binary form as model.pb (tf.io.write_graph with as_text=False), or export a " +
                    "SavedModel");
  }
  if (form == TextForm::kSavedModel && !file.ends_with(".pbtxt")) {
    throw Error(PENSTOCK_INVALID_ARGUMENT,
                name + " is a SavedModel in text form: call it saved_model.pbtxt");
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

// What the options of the load, or signature.txt, say about the tensors. An option counts more.
GraphNames NamesFor(const plugin::LoadArguments& arguments) {
  const std::string folder(arguments.folder);
  const auto named = [&](const std::string& key) {
    const std::string_view option = plugin::OptionOr(arguments.options, key, "");
    return option.empty() ? FromSignatureFile(folder, key) : std::string(option);
  };
  const std::string names = named("names");
  if (!names.empty() && names != "graph") {
    throw Error(PENSTOCK_INVALID_ARGUMENT,
                "\"names\" is '" + names +
                    "'; it can be 'graph', if clients call tensors as the graph does (op:0), or "
                    "be missing");
  }
  return {.inputs = named("inputs"),
          .outputs = named("outputs"),
          .more_outputs = named("more_outputs"),
          .as_in_graph = names == "graph"};
}

// Returns a hint to put behind TensorFlow's message about a failed load, or nothing if no hint is
// known.
std::string_view HintFor(const TfApi& api, const CallStatus& status) {
  const std::string_view text = api.Message(status.get());
  return text.find("Op type not registered") == std::string_view::npos
             ? ""
             : " (--tensorflow_op_libraries loads libraries with further operations)";
}

// `graph` is a serialized GraphDef.
uint32_t FlagsOf(const TfApi& api, std::string_view graph, const ModelSignatures& signatures) {
  uint32_t flags = ScanGraph(graph, signatures.bound);
  if (!AbortsOnWrongRank(graph)) flags |= PENSTOCK_ANY_SHAPE;
  if (CanRunTogether(api, signatures.bound)) flags |= PENSTOCK_SEVERAL_SIGNATURES;
  return flags;
}

LoadedGraph LoadFrozen(const TfApi& api, const TF_SessionOptions* session_options,
                       const plugin::LoadArguments& arguments, const std::string& file) {
  CheckForm(file);
  const std::string bytes = ReadFile(file);
  LoadedGraph result;
  result.graph = GraphPtr(api.NewGraph(), {&api});
  TF_ImportGraphDefOptions* const options = api.NewImportGraphDefOptions();
  CallStatus status(api);
  // No deallocator: `bytes` keeps the memory, and the import is over before it goes.
  TF_Buffer graph_def{bytes.data(), bytes.size(), nullptr};
  api.GraphImportGraphDef(result.graph.get(), &graph_def, options, status.get());
  api.DeleteImportGraphDefOptions(options);
  status.Check(file + " is not a frozen graph that can be loaded: ", HintFor(api, status));
  result.signatures.bound.push_back(MakeSignature(api, result.graph.get(), NamesFor(arguments)));
  result.flags = FlagsOf(api, bytes, result.signatures);
  result.session =
      SessionPtr(api.NewSession(result.graph.get(), session_options, status.get()), {&api});
  status.Check();
  return result;
}

// TensorFlow loads some SavedModels although their variables are missing, and then each run fails.
// So a folder that was copied only in part must fail here: otherwise it would replace a good
// version.
void CheckVariables(std::string_view meta_graph, const std::string& folder) {
  const std::string index = folder + "/variables/variables.index";
  if (IsFile(index) || !NeedsVariables(meta_graph)) return;
  throw Error(PENSTOCK_NOT_FOUND,
              "the version is incomplete: saved_model.pb has variables, but there is no " + index +
                  " to read them from");
}

// Throws the reason of a failed load, in clearer words than TensorFlow's where the reason is known.
// A wrong tag comes before missing variables: without the right graph it is unknown whether
// variables are needed.
void ThrowLoadError(const TfApi& api, const CallStatus& status, const std::string& folder,
                    const std::vector<std::string>& tags) {
  const std::string file = folder + "/saved_model.pb";
  if (IsFile(file)) {
    const std::string saved_model = ReadFile(file);
    const std::string_view meta_graph = FindMetaGraph(saved_model, tags);
    const std::string has = ListTagSets(saved_model);
    if (meta_graph.empty() && !has.empty()) {
      throw Error(PENSTOCK_NOT_FOUND, "saved_model.pb has no graph with the tags " +
                                          TagSetText(tags) + "; it has " + has +
                                          " (saved_model_tags says which one to load)");
    }
    CheckVariables(meta_graph, folder);
  }
  status.Check("the SavedModel (saved_model.pb, variables/, assets/) cannot be loaded: ",
               HintFor(api, status));
}

LoadedGraph LoadSavedModel(const TfApi& api, const TF_SessionOptions* session_options,
                           const TF_Buffer* run_options, const plugin::LoadArguments& arguments) {
  const std::string folder(arguments.folder);
  const std::vector<std::string> tags =
      ReadTags(plugin::OptionOr(arguments.options, "saved_model_tags", "serve"));
  std::vector<const char*> tag_pointers;
  for (const std::string& tag : tags) tag_pointers.push_back(tag.c_str());
  LoadedGraph result;
  result.graph = GraphPtr(api.NewGraph(), {&api});
  const BufferPtr meta_graph(api.NewBuffer(), {&api});
  CallStatus status(api);
  result.session =
      SessionPtr(api.LoadSessionFromSavedModel(session_options, run_options, folder.c_str(),
                                               tag_pointers.data(), static_cast<int>(tags.size()),
                                               result.graph.get(), meta_graph.get(), status.get()),
                 {&api});
  if (!status.ok()) ThrowLoadError(api, status, folder, tags);
  const std::string_view meta(static_cast<const char*>(meta_graph->data), meta_graph->length);
  CheckVariables(meta, folder);
  result.signatures = ReadSignatures(api, result.graph.get(), meta);
  if (GraphNames names = NamesFor(arguments); names.any())
    ReplaceSignatures(api, result.graph.get(), std::move(names), result.signatures);
  result.flags = FlagsOf(api, GraphOf(meta), result.signatures);
  return result;
}

}  // namespace

LoadedGraph LoadGraph(const TfApi& api, const TF_SessionOptions* session_options,
                      const TF_Buffer* run_options, const plugin::LoadArguments& arguments) {
  const std::string folder(arguments.folder);
  // Checked here because TensorFlow itself opens this file later, and would block.
  CheckRegular(folder + "/saved_model.pb");
  if (StartsAsGraph(folder + "/saved_model.pb")) {
    LoadedGraph frozen = LoadFrozen(api, session_options, arguments, folder + "/saved_model.pb");
    frozen.signatures.notes.emplace_back(
        "saved_model.pb is a frozen graph (a GraphDef) and no SavedModel: call it model.pb");
    return frozen;
  }
  if (IsFile(folder + "/saved_model.pb") || IsFile(folder + "/saved_model.pbtxt")) {
    const bool is_binary = IsFile(folder + "/saved_model.pb");  // TensorFlow prefers it
    CheckForm(folder + (is_binary ? "/saved_model.pb" : "/saved_model.pbtxt"));
    return LoadSavedModel(api, session_options, run_options, arguments);
  }
  if (IsFile(folder + "/saved_model.cpb")) {
    throw Error(PENSTOCK_UNIMPLEMENTED,
                "saved_model.cpb, the split form of a SavedModel, is not served: save the model as "
                "saved_model.pb (tf.saved_model.SaveOptions with experimental_image_format=False)");
  }
  return LoadFrozen(api, session_options, arguments, FrozenGraphFile(folder));
}

}  // namespace penstock::tensorflow
