// SPDX-License-Identifier: Apache-2.0
#include "tf_api.h"

#include <dlfcn.h>

#include "penstock/backend.hpp"

namespace penstock::tensorflow {

TfApi TfApi::Open(const std::string& path) {
  // RTLD_LOCAL: TensorFlow exports symbols of libraries that the server or another backend may also
  // contain (protobuf, abseil), and calls must not reach the other copy. RTLD_NOW: a missing symbol
  // is an error here and not during a run. The library is never closed, because it cannot be
  // unloaded: its threads and static objects stay.
  void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw plugin::Error(PENSTOCK_FAILED_PRECONDITION, dlerror());
  TfApi api;
  const auto find = [&](const char* name) {
    void* const found = dlsym(handle, name);
    if (found == nullptr) {
      throw plugin::Error(PENSTOCK_FAILED_PRECONDITION,
                          path + " has no " + name + "; TensorFlow 2.15 or newer is needed");
    }
    return found;
  };
#define PENSTOCK_TF_FIND(name) api.name = reinterpret_cast<decltype(api.name)>(find("TF_" #name));
  PENSTOCK_TF_FUNCTIONS(PENSTOCK_TF_FIND)
#undef PENSTOCK_TF_FIND
  return api;
}

void CallStatus::Check(std::string_view context, std::string_view after) const {
  if (ok()) return;
  std::string_view text = api_.Message(status_);
  // Cuts off the trace. It names nodes of the graph and lines of the code that built it, which
  // means nothing to a client, and it can be many kilobytes long.
  for (const std::string_view trace : {"\n\t [[", "\n\nErrors may have originated", "\n\nStack"}) {
    text = text.substr(0, text.find(trace));
  }
  if (!after.empty() && text.ends_with('.')) text.remove_suffix(1);
  throw plugin::Error(static_cast<int32_t>(api_.GetCode(status_)),
                      std::string(context) + std::string(text) + std::string(after));
}

void SessionDeleter::operator()(TF_Session* session) const {
  CallStatus status(*api);
  api->CloseSession(session, status.get());
  api->DeleteSession(session, status.get());
}

BufferPtr MakeBuffer(const TfApi& api, std::string_view bytes) {
  return BufferPtr(api.NewBufferFromString(bytes.data(), bytes.size()), {&api});
}

}  // namespace penstock::tensorflow
