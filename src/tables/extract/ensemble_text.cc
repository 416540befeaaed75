// SPDX-License-Identifier: Apache-2.0
#include "tables/extract/ensemble_text.h"

#include <fmt/format.h>

namespace penstock::tables {
namespace {

// A text of protobuf's text format, with its quotes.
std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char each : text) {
    if (each == '"' || each == '\\') {
      quoted += '\\';
      quoted += each;
    } else if (static_cast<unsigned char>(each) < 0x20) {
      quoted += fmt::format("\\{:03o}", static_cast<unsigned>(each));
    } else {
      quoted += each;
    }
  }
  return quoted + '"';
}

std::string Entry(std::string_view field, std::string_view key, std::string_view value) {
  return fmt::format(" {} {{ key: {} value: {} }}", field, Quoted(key), Quoted(value));
}

}  // namespace

std::string MakeEnsembleText(const EnsembleText& ensemble) {
  std::string text = "model_config_list {\n";
  const auto add_model = [&](std::string_view model) {
    text += fmt::format("  config {{ name: {} base_path: {} }}\n", Quoted(model),
                        Quoted(fmt::format("{}/{}", ensemble.folder, model)));
  };
  for (const std::string& table : ensemble.tables) add_model(table);
  add_model(ensemble.rest);
  text += fmt::format("  config {{\n    name: {}\n    penstock {{\n      ensemble {{\n",
                      Quoted(ensemble.name));
  text += fmt::format("        version: {}\n", ensemble.version);
  for (const std::string& input : ensemble.inputs)
    text += fmt::format("        input: {}\n", Quoted(input));
  for (const std::string& output : ensemble.outputs)
    text += fmt::format("        output: {}\n", Quoted(output));
  for (size_t i = 0; i < ensemble.lookups.size(); ++i) {
    const LookupStep& step = ensemble.lookups[i];
    text +=
        fmt::format("        step {{ name: {} model: {}{}{} }}\n",
                    Quoted(fmt::format("look-up {} of '{}'", i + 1, step.keys)), Quoted(step.model),
                    Entry("inputs", "keys", step.keys), Entry("outputs", "rows", step.rows));
  }
  text += fmt::format("        step {{ name: \"rest\" model: {}", Quoted(ensemble.rest));
  for (const std::string& input : ensemble.inputs) text += Entry("inputs", input, input);
  for (const LookupStep& step : ensemble.lookups) text += Entry("inputs", step.rows, step.rows);
  for (const std::string& output : ensemble.outputs) text += Entry("outputs", output, output);
  return text + " }\n      }\n    }\n  }\n}\n";
}

}  // namespace penstock::tables
