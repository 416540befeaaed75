// SPDX-License-Identifier: Apache-2.0
#include "base/options/option_row.h"

namespace penstock {

OptionType OptionRow::type() const {
  if (const auto* foreign = std::get_if<ForeignOption>(&target)) return foreign->type;
  return std::get<OptionField>(target).type;
}

std::string_view OptionRow::UnitText() const {
  const auto* const field = std::get_if<OptionField>(&target);
  return field == nullptr || field->unit.empty() ? unit : field->unit;
}

std::string OptionRow::DefaultText() const {
  if (const auto* foreign = std::get_if<ForeignOption>(&target))
    return std::string(foreign->default_text);
  const OptionValues defaults;
  const OptionField& field = std::get<OptionField>(target);
  if (field.type == OptionType::kString) return field.text(defaults);
  const int64_t value = field.get(defaults);
  if (field.type == OptionType::kBool) return value != 0 ? "true" : "false";
  return std::to_string(value);
}

}  // namespace penstock
