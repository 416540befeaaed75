// SPDX-License-Identifier: Apache-2.0
#include "core/handle.h"

#include "core/lookup.h"

namespace penstock::core {

Handle::~Handle() {
  if (entry_ != nullptr) entry_->Unref();
}
Handle Handle::Share() const {
  entry_->Ref();
  return Handle(entry_);
}
Servable& Handle::servable() const { return entry_->servable(); }
const ServableId& Handle::id() const { return entry_->id(); }

}  // namespace penstock::core
