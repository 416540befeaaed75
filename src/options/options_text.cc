// SPDX-License-Identifier: Apache-2.0
// Writes the option table as text for people.
#include <array>
#include <iterator>

#include "options/options.h"

namespace penstock {
namespace {

constexpr std::string_view kMarkdownHead =
    "<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
    "<!-- Made by `penstock options --markdown`. To change it, change the row of the option. -->\n"
    "# Configuration\n"
    "\n"
    "`penstock serve` takes these flags, as `--name=value` or `--name value`; a truth value as\n"
    "`--name=value`, `--name` or `--noname`. Names and meanings are those of "
    "`tensorflow_model_server` where it "
    "has\n"
    "such a flag. An unknown flag, a value out of bounds and a contradiction end the start with a\n"
    "message and exit code 1.\n"
    "\n"
    "*Change*: \"restart\" is read once, at the start; \"reload\" is a file that is read again "
    "while\n"
    "the server runs.\n";

std::string_view TypeName(OptionType type) {
  constexpr std::array<std::string_view, 3> kNames = {"bool", "int", "string"};
  return kNames[static_cast<size_t>(type)];
}

bool IsForeign(const OptionRow& row) { return std::holds_alternative<ForeignOption>(row.target); }

std::string BoundsText(const OptionRow& row) {
  if (IsForeign(row)) return "";
  if (!row.choices.empty()) return fmt::format("{}", fmt::join(row.choices, ", "));
  if (row.type() != OptionType::kInt) return "";
  // The lowest values stand for "all negative values mean the same", so as a bound they would only
  // confuse.
  const bool has_min = row.min >= -std::numeric_limits<int32_t>::max();
  const bool has_max = row.max < std::numeric_limits<int64_t>::max();
  return fmt::format("{}..{}", has_min ? std::to_string(row.min) : "",
                     has_max ? std::to_string(row.max) : "");
}

// Breaks `text` into lines of at most `width` characters, each indented by `indent` spaces.
void AppendWrapped(std::string& to, std::string_view text, size_t indent, size_t width) {
  while (!text.empty()) {
    size_t length = text.size();
    if (length > width) {
      length = text.rfind(' ', width);
      if (length == std::string_view::npos) length = std::min(text.find(' '), text.size());
    }
    to.append(indent, ' ').append(text.substr(0, length)) += '\n';
    text.remove_prefix(std::min(length + 1, text.size()));
  }
}

}  // namespace

std::string OptionsHelp(const OptionTable& table) {
  std::string help = "Usage: penstock serve --model_base_path=FOLDER [--name=value ...]\n";
  std::string_view group;
  for (const OptionRow& row : table.rows()) {
    if (row.group != group) fmt::format_to(std::back_inserter(help), "\n{}:\n", row.group);
    group = row.group;
    fmt::format_to(std::back_inserter(help), "  --{}", row.name);
    if (row.type() != OptionType::kBool)
      fmt::format_to(std::back_inserter(help), "=<{}>", TypeName(row.type()));
    const std::string bounds = BoundsText(row);
    std::string facts = row.DefaultText().empty() ? "" : "default " + row.DefaultText();
    if (!row.UnitText().empty()) facts += fmt::format(" {}", row.UnitText());
    if (!bounds.empty()) facts += (facts.empty() ? "" : "; ") + bounds;
    if (!facts.empty()) fmt::format_to(std::back_inserter(help), "  ({})", facts);
    help += '\n';
    AppendWrapped(help, row.sentence, 6, 90);
  }
  return help;
}

std::string OptionsMarkdown(const OptionTable& table) {
  std::string page(kMarkdownHead);
  std::string_view group;
  for (const OptionRow& row : table.rows()) {
    if (row.group != group) {
      fmt::format_to(std::back_inserter(page),
                     "\n## {}\n\n| Flag | Type | Default | Unit | Bounds | Change | Meaning |\n"
                     "|---|---|---|---|---|---|---|\n",
                     row.group);
    }
    group = row.group;
    const std::string default_text = row.DefaultText();
    fmt::format_to(std::back_inserter(page), "| `{}` | {} | {} | {} | {} | {} | {} |\n", row.name,
                   TypeName(row.type()), default_text.empty() ? "" : "`" + default_text + "`",
                   row.UnitText(), BoundsText(row),
                   IsForeign(row)                        ? ""
                   : row.change == OptionChange::kReload ? "reload"
                                                         : "restart",
                   row.sentence);
  }
  return page;
}

}  // namespace penstock
