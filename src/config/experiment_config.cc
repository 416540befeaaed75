// SPDX-License-Identifier: Apache-2.0
// The errors here begin with a verb, as in config_files.cc: the caller puts the file and the model
// before them.
#include "config/experiment_config.h"

#include <algorithm>
#include <set>

#include "penstock/model_options.pb.h"

namespace penstock {
namespace {

// Each copy in flight holds the tensors of its request.
constexpr uint32_t kInFlightMax = 10'000;

// Reads the target of an arm or a shadow. `what` is for messages.
template <typename From>
StatusOr<ExperimentTarget> ReadTarget(const From& from, const std::string& model,
                                      std::string_view what) {
  ExperimentTarget target;
  target.model = from.model().empty() ? model : from.model();
  target.label = from.label();
  if (!from.has_version()) return target;
  if (!target.label.empty()) {
    return InvalidArgument("has {} with both a version and a label; name one of them", what);
  }
  if (from.version() < 0) {
    return InvalidArgument("has {} with the version {}, which is negative", what, from.version());
  }
  target.version = core::VersionNumber{from.version()};
  return target;
}

// The name of the target. If it has none, one is made from its model and its version or label.
std::string NameOf(const std::string& name, const ExperimentTarget& target,
                   const std::string& model) {
  // Each arm and shadow needs a name, because the name is a label of its metrics. For arms it also
  // decides which requests they get.
  if (!name.empty()) return name;
  std::string which = target.label;
  if (target.version) which = fmt::format("v{}", target.version->value);
  if (target.model == model) return which.empty() ? "newest" : which;
  return which.empty() ? target.model : fmt::format("{}:{}", target.model, which);
}

Status AddName(std::set<std::string>& names, const std::string& name, std::string_view what) {
  // Two arms of one name would have the same hash, and only one of them would ever get a request.
  if (names.insert(name).second) return OkStatus();
  return InvalidArgument("has two {} called '{}'; give them names of their own", what, name);
}

Status CheckHeaderName(std::string_view name) {
  const bool is_fine = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return c > ' ' && c < 0x7F && c != ':' && c != ',' && c != '"';
  });
  if (is_fine) return OkStatus();
  return InvalidArgument("has traffic with the sticky_header '{}', which is no name of a header",
                         name);
}

Status ReadTraffic(const config::Traffic& from, const std::string& model, ExperimentOptions& to) {
  std::set<std::string> names;
  // 64 bits, because a sum of 32-bit weights could overflow to 0.
  uint64_t weights = 0;
  for (const config::TrafficArm& arm : from.arm()) {
    if (arm.ByteSizeLong() == 0)
      return InvalidArgument("has an empty arm; say a weight, and a version, a label or a model");
    ASSIGN_OR_RETURN(ExperimentTarget target, ReadTarget(arm, model, "an arm"));
    const std::string name = NameOf(arm.name(), target, model);
    TRY(AddName(names, name, "arms"));
    weights += arm.weight();
    to.arms.push_back({name, std::move(target), arm.weight()});
  }
  if (to.arms.size() > kArmsMax) {
    return InvalidArgument("has traffic with {} arms: more than {}", to.arms.size(), kArmsMax);
  }
  if (weights == 0) return InvalidArgument("has traffic, but no arm with a weight above 0");
  if (!from.sticky_header().empty() && !from.sticky_input().empty()) {
    return InvalidArgument("has traffic with both sticky_header and sticky_input; say one of them");
  }
  TRY(CheckHeaderName(from.sticky_header()));
  to.sticky_header = from.sticky_header();
  to.sticky_input = from.sticky_input();
  return OkStatus();
}

StatusOr<ShadowOptions> ReadShadow(const config::Shadow& from, const std::string& model,
                                   bool has_traffic) {
  ShadowOptions shadow;
  // Without a target the copies go to the newest version, which answers the requests if no arm
  // does.
  const bool has_target = !from.model().empty() || !from.label().empty() || from.has_version();
  if (!has_target && !has_traffic)
    return InvalidArgument("has a shadow without a target; say its model, version or label");
  ASSIGN_OR_RETURN(shadow.target, ReadTarget(from, model, "a shadow"));
  shadow.name = NameOf(from.name(), shadow.target, model);
  if (from.has_fraction()) shadow.fraction = from.fraction();
  // In this form the test also refuses NaN.
  if (!(shadow.fraction > 0 && shadow.fraction <= 1)) {
    return InvalidArgument("has the shadow '{}' with the fraction {}; it must be above 0, up to 1",
                           shadow.name, shadow.fraction);
  }
  if (from.in_flight_max() > kInFlightMax) {
    return InvalidArgument("has the shadow '{}' with in_flight_max {}: more than {}", shadow.name,
                           from.in_flight_max(), kInFlightMax);
  }
  if (from.in_flight_max() > 0) shadow.in_flight_max = static_cast<int>(from.in_flight_max());
  return shadow;
}

}  // namespace

StatusOr<ExperimentOptions> ReadExperiment(const config::ModelOptions& options,
                                           const std::string& model) {
  ExperimentOptions experiment;
  if (options.has_traffic()) TRY(ReadTraffic(options.traffic(), model, experiment));
  if (options.shadow_size() > kShadowsMax) {
    return InvalidArgument("has {} shadows: more than {}", options.shadow_size(), kShadowsMax);
  }
  std::set<std::string> names;
  for (const config::Shadow& each : options.shadow()) {
    ASSIGN_OR_RETURN(ShadowOptions shadow, ReadShadow(each, model, options.has_traffic()));
    TRY(AddName(names, shadow.name, "shadows"));
    experiment.shadows.push_back(std::move(shadow));
  }
  return experiment;
}

}  // namespace penstock
