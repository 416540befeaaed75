// SPDX-License-Identifier: Apache-2.0
// Makes the fields of the option table: each names a member of the settings, or a member of the
// options of a component in the settings.
#pragma once

#include <chrono>
#include <string>
#include <type_traits>
#include <utility>

#include "options/options.h"

namespace penstock {

// The option is the member at the end of `path`, such as
// Field<&Settings::net, &net::ServerOptions::requests_max>().
template <auto... path>
constexpr OptionField Field() {
  using Value = std::remove_cvref_t<decltype((std::declval<Settings&>().*....*path))>;
  if constexpr (std::is_same_v<Value, std::string>) {
    return {.type = OptionType::kString,
            .text = [](Settings& settings) -> std::string& { return (settings.*....*path); }};
  } else {
    return {
        .type = std::is_same_v<Value, bool> ? OptionType::kBool : OptionType::kInt,
        .get = [](const Settings& settings) { return static_cast<int64_t>((settings.*....*path)); },
        .set = [](Settings& settings,
                  int64_t value) { (settings.*....*path) = static_cast<Value>(value); }};
  }
}

// The same for a Duration, which the flag gives as a number of `Unit`.
template <typename Unit, auto... path>
constexpr OptionField In() {
  constexpr bool is_seconds = std::is_same_v<Unit, std::chrono::seconds>;
  constexpr bool is_milliseconds = std::is_same_v<Unit, std::chrono::milliseconds>;
  return {.type = OptionType::kInt,
          .unit = is_seconds        ? "s"
                  : is_milliseconds ? "ms"
                                    : "us",
          .get =
              [](const Settings& settings) {
                return static_cast<int64_t>(
                    std::chrono::duration_cast<Unit>((settings.*....*path)).count());
              },
          .set = [](Settings& settings, int64_t value) { (settings.*....*path) = Unit(value); }};
}

}  // namespace penstock
