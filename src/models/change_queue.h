// SPDX-License-Identifier: Apache-2.0
// The changes of the models that clients and operators have asked for and whose turn has not come.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <variant>

#include "base/clock.h"
#include "frontends/admin/model_change.h"
#include "frontends/tfs_grpc/reload.h"

namespace penstock {

// A whole list of models, or a change of one.
using ChangeRequest = std::variant<tfs::ReloadRequest, ModelChange>;

// Keeps the order in which they came, where it matters: among changes of one model, and between
// these and a whole list. One thread at a time.
class ChangeQueue final {
 public:
  void Add(ChangeRequest request);

  // The oldest one whose turn it is. A change of a model that `is_busy` waits; so does what came
  // after it, if that changes the same model or is a list, and all that came after such a list.
  std::optional<ChangeRequest> TakeNext(
      const std::function<bool(const std::string& model)>& is_busy);

  // True if some change will remove or unload the model.
  bool Unwants(const std::string& model) const;

  // Answers those whose client has gone (CANCELLED) or whose time is up (DEADLINE_EXCEEDED): they
  // are not carried out.
  void AnswerGone(SteadyTime now);
  void AnswerAll(const Status& status);

  size_t size() const { return requests_.size(); }

 private:
  std::deque<ChangeRequest> requests_;
};

}  // namespace penstock
