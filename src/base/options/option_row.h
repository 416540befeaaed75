// SPDX-License-Identifier: Apache-2.0
// The options of the server. Each part of the server declares rows for the options that set its own
// struct. src/options joins the rows to one table, and parses the command line by it.
#pragma once

#include <any>
#include <chrono>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeindex>
#include <utility>
#include <variant>

namespace penstock {

// The values of all options: one struct of each type that an option is a member of. A component
// reads its own struct, and knows nothing of flags:
//
//   const auto& options = values.Get<TraceOptions>();
//
// One thread at a time while the options are parsed, then immutable.
class OptionValues final {
 public:
  // Returns the struct of this type. Before Mutable was called it has its defaults.
  template <typename Options>
  const Options& Get() const {
    const auto found = structs_.find(typeid(Options));
    if (found != structs_.end()) return std::any_cast<const Options&>(found->second);
    static const Options kDefaults;
    return kDefaults;
  }
  // For the parser and for tests. The first call makes the struct with its defaults.
  template <typename Options>
  Options& Mutable() {
    std::any& value = structs_[typeid(Options)];
    if (!value.has_value()) value = Options();
    return std::any_cast<Options&>(value);
  }

 private:
  std::map<std::type_index, std::any> structs_;
};

// The type of a value on the command line. A duration is a kInt with a unit.
enum class OptionType { kBool, kInt, kString };

// The member that holds the value of an option, made by Field or In. Immutable.
struct OptionField {
  OptionType type = OptionType::kInt;
  std::string_view unit = "";  // of a duration
  // For kBool (0 or 1) and kInt.
  int64_t (*get)(const OptionValues& values) = nullptr;
  void (*set)(OptionValues& values, int64_t value) = nullptr;
  // For kString.
  const std::string& (*text)(const OptionValues& values) = nullptr;
  void (*set_text)(OptionValues& values, std::string_view value) = nullptr;
};

// An option of tensorflow_model_server that Penstock accepts, but that has no effect.
struct ForeignOption {
  OptionType type = OptionType::kBool;
  std::string_view default_text;  // TensorFlow Serving's
  // The value that describes what Penstock always does. Any other value gets a warning, or is
  // refused.
  std::string_view natural_text;
  bool refuse = false;  // other values are refused: ignoring them would change results or safety
};

// The value of another option without which an option has no effect. Immutable, static.
struct OptionNeed {
  std::string_view option;                        // a string
  std::span<const std::string_view> one_of = {};  // empty: any value but the empty one
};

// When a changed value takes effect. The documentation shows it for each option.
enum class OptionChange {
  kRestart,  // read once, at the start
  kReload,   // the option names a file, which is read again after changes while the server runs
};

// The groups of options, in the order of the documentation.
namespace option_group {
inline constexpr std::string_view kModels = "Models";
inline constexpr std::string_view kListening = "Listening";
inline constexpr std::string_view kTls = "TLS";
inline constexpr std::string_view kAccess = "Access";
inline constexpr std::string_view kLimits = "Limits";
inline constexpr std::string_view kTimeouts = "Time-outs";
inline constexpr std::string_view kHttp2 = "HTTP/2 and gRPC";
inline constexpr std::string_view kThreads = "Threads";
inline constexpr std::string_view kBackends = "Backends";
inline constexpr std::string_view kObservation = "Observation";
// For --compat and the foreign options.
inline constexpr std::string_view kCompat = "Accepted for compatibility";
}  // namespace option_group

// One option. A new one is a member of a component's struct of options, with its default, and a
// row:
//
//   struct TraceOptions { std::string endpoint; Duration interval = std::chrono::seconds(1); };
//
//   const OptionRow kRows[] = {
//       {.group = option_group::kObservation,
//        .name = "trace_endpoint",
//        .target = Field<&TraceOptions::endpoint>(),
//        .sentence = "The collector that gets traces; empty is no traces."},
//       {.group = option_group::kObservation,
//        .name = "trace_interval_ms",
//        .target = In<std::chrono::milliseconds, &TraceOptions::interval>(),
//        .sentence = "The longest time that a span waits for others.",
//        .min = 1,
//        .max = 60'000}};
//
// The default stands only in the struct. The flag, its check, --help and docs/configuration.md come
// from the row. The rows of a source, of a front end and of observe are in their folders, and
// AllOptions (app/builtins.cc) names each list once. All others are in options/server_options.cc,
// as members of Settings. src/options/README.md has the steps. Immutable, static.
struct OptionRow {
  std::string_view group;  // one of option_group
  std::string_view name;
  std::variant<OptionField, ForeignOption> target;
  // One sentence: the meaning. For a foreign option: why it has no effect, or what to do instead.
  std::string_view sentence;
  // The unit of a number, as the documentation shows it: "bytes", "s". Empty: that of the field, or
  // a plain number.
  std::string_view unit = "";
  // The bounds of a number, both allowed.
  int64_t min = 0;
  int64_t max = std::numeric_limits<int64_t>::max();
  std::span<const std::string_view> choices = {};  // the allowed strings; empty: all
  OptionChange change = OptionChange::kRestart;
  // Who gives this option without the other gets a warning.
  std::optional<OptionNeed> needs = std::nullopt;

  OptionType type() const;
  // `unit`, or that of the field.
  std::string_view UnitText() const;
  // The default as on the command line. Empty for an empty string.
  std::string DefaultText() const;
};

namespace option_internal {
// The struct that a member belongs to.
template <typename Member, typename Owner>
Owner OwnerOf(Member Owner::*);
}  // namespace option_internal

// The option is the member at the end of a path of members, such as
// Field<&Settings::net, &net::ServerOptions::requests_max>().
template <auto first, auto... rest>
constexpr OptionField Field() {
  using Owner = decltype(option_internal::OwnerOf(first));
  using Value = std::remove_cvref_t<decltype(((std::declval<Owner&>().*first).*....*rest))>;
  if constexpr (std::is_same_v<Value, std::string>) {
    return {.type = OptionType::kString,
            .text = [](const OptionValues& values) -> const std::string& {
              return ((values.Get<Owner>().*first).*....*rest);
            },
            .set_text =
                [](OptionValues& values, std::string_view value) {
                  ((values.Mutable<Owner>().*first).*....*rest) = value;
                }};
  } else {
    return {.type = std::is_same_v<Value, bool> ? OptionType::kBool : OptionType::kInt,
            .get =
                [](const OptionValues& values) {
                  return static_cast<int64_t>(((values.Get<Owner>().*first).*....*rest));
                },
            .set =
                [](OptionValues& values, int64_t value) {
                  ((values.Mutable<Owner>().*first).*....*rest) = static_cast<Value>(value);
                }};
  }
}

// The same for a duration, which the flag gives as a number of `Unit`.
template <typename Unit, auto first, auto... rest>
constexpr OptionField In() {
  using Owner = decltype(option_internal::OwnerOf(first));
  constexpr bool is_seconds = std::is_same_v<Unit, std::chrono::seconds>;
  constexpr bool is_milliseconds = std::is_same_v<Unit, std::chrono::milliseconds>;
  return {
      .type = OptionType::kInt,
      .unit = is_seconds        ? "s"
              : is_milliseconds ? "ms"
                                : "us",
      .get =
          [](const OptionValues& values) {
            return static_cast<int64_t>(
                std::chrono::duration_cast<Unit>(((values.Get<Owner>().*first).*....*rest))
                    .count());
          },
      .set = [](OptionValues& values,
                int64_t value) { ((values.Mutable<Owner>().*first).*....*rest) = Unit(value); }};
}

}  // namespace penstock
