// SPDX-License-Identifier: Apache-2.0
// `penstock convert caffe2`: writes the ONNX model that a pair of Caffe2 nets is imported to.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "app/commands.h"
#include "base/options/nearest_name.h"
#include "base/os/durable_file.h"
#include "convert/caffe2/caffe2_files.h"

namespace penstock {
namespace {

using convert::Caffe2Files;

constexpr std::string_view kConvertUsage =
    R"(Usage: penstock convert caffe2 --output=FILE [FOLDER] [flags]

Writes the ONNX model that computes the same as a pair of Caffe2 nets. FOLDER holds init_net.pb,
predict_net.pb and value_inputs.json; the flags name files with other names or in other folders.

  --init_net=FILE      the net that makes the weights
  --predict_net=FILE   the net that computes the outputs
  --value_inputs=FILE  JSON: the type and shape of each input, as {"data_0": [1, [1, 3, 227, 227]]}
  --output=FILE        the ONNX model, replaced if it exists
)";

// The parsed command line.
struct Conversion {
  bool help = false;
  std::string folder;
  Caffe2Files files;
  std::string output;
};

struct FileFlag {
  std::string_view name;
  std::string& value;
};

// The last step of parsing: files that no flag names are in the folder.
Status Complete(Conversion& conversion, const std::string& folder) {
  if (conversion.output.empty())
    return InvalidArgument("--output is missing: where is it written to?");
  const Caffe2Files in_folder = convert::Caffe2FilesIn(folder);
  const auto set = [&](std::string& path, const std::string& default_path, std::string_view flag) {
    if (!path.empty()) return OkStatus();
    if (folder.empty()) return InvalidArgument("--{} is missing, or the folder of the model", flag);
    path = default_path;
    return OkStatus();
  };
  TRY(set(conversion.files.init_net, in_folder.init_net, "init_net"));
  TRY(set(conversion.files.predict_net, in_folder.predict_net, "predict_net"));
  return set(conversion.files.value_inputs, in_folder.value_inputs, "value_inputs");
}

StatusOr<Conversion> ParseConversion(std::span<const std::string> arguments) {
  Conversion conversion;
  std::array flags = {FileFlag{"init_net", conversion.files.init_net},
                      FileFlag{"predict_net", conversion.files.predict_net},
                      FileFlag{"value_inputs", conversion.files.value_inputs},
                      FileFlag{"output", conversion.output}};
  std::vector<std::string_view> names;
  for (const FileFlag& flag : flags) names.push_back(flag.name);
  std::string folder;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--help" || argument == "-h") {
      conversion.help = true;
      return conversion;
    }
    if (!argument.starts_with("--")) {
      if (!folder.empty() || argument.empty())
        return InvalidArgument("one folder at a time, not both '{}' and '{}'", folder, argument);
      folder = argument;
      continue;
    }
    const size_t equals = argument.find('=');
    std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
    std::replace(name.begin(), name.end(), '-', '_');  // graphpipe-onnx spells them with dashes
    const auto flag = std::find_if(flags.begin(), flags.end(),
                                   [&](const FileFlag& each) { return each.name == name; });
    if (flag == flags.end()) {
      const std::string_view nearest = NearestName(name, names);
      return InvalidArgument("unknown flag {}{}", argument,
                             nearest.empty() ? "" : fmt::format("; did you mean --{}?", nearest));
    }
    if (equals == std::string::npos && ++i == arguments.size())
      return InvalidArgument("{} needs a value", argument);
    flag->value = equals == std::string::npos ? arguments[i] : argument.substr(equals + 1);
  }
  TRY(Complete(conversion, folder));
  conversion.folder = folder;
  return conversion;
}

// The newest version's folder, if `folder` is that of a model that has such folders. Or empty.
std::string VersionFolderIn(const std::string& folder) {
  namespace fs = std::filesystem;
  std::optional<uint64_t> newest;
  std::string found;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename();
    uint64_t number = 0;
    const auto [stop, is_wrong] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (is_wrong != std::errc{} || stop != name.data() + name.size()) continue;
    std::error_code absent;
    if (newest > number || !fs::exists(convert::Caffe2FilesIn(entry->path()).predict_net, absent))
      continue;
    newest = number;
    found = entry->path();
  }
  return found;
}

int FailConversion(const Status& status) {
  fmt::print(stderr, "penstock convert: {}\n", MessageOf(status));
  return 1;
}

}  // namespace

int ConvertCommand(std::span<const std::string> arguments) {
  if (!arguments.empty() && (arguments[0] == "--help" || arguments[0] == "-h")) {
    fmt::print("{}", kConvertUsage);
    return 0;
  }
  if (arguments.empty() || arguments[0] != "caffe2")
    return FailConversion(
        InvalidArgument("say `penstock convert caffe2`; ONNX models and SavedModels need "
                        "no conversion"));
  const StatusOr<Conversion> conversion = ParseConversion(arguments.subspan(1));
  if (!conversion.ok()) return FailConversion(conversion.status());
  if (conversion->help) {
    fmt::print("{}", kConvertUsage);
    return 0;
  }
  const StatusOr<std::string> model = convert::ImportCaffe2(conversion->files);
  if (model.status().code() == StatusCode::kNotFound && !conversion->folder.empty()) {
    const std::string version = VersionFolderIn(conversion->folder);
    if (!version.empty())
      return FailConversion(Error(StatusCode::kNotFound,
                                  "{}. It is the folder of a version that is converted: did you "
                                  "mean {}?",
                                  MessageOf(model.status()), version));
  }
  if (!model.ok()) return FailConversion(model.status());
  if (const Status status = ReplaceFileDurably(conversion->output, *model); !status.ok())
    return FailConversion(status);
  fmt::print("{}: {} bytes\n", conversion->output, model->size());
  return 0;
}

}  // namespace penstock
