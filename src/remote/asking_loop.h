// SPDX-License-Identifier: Apache-2.0
// For tests: requests that begin on the test's thread, or on a loop.
#pragma once

#include <future>
#include <thread>
#include <utility>

#include "infer/model.h"
#include "net/socket/io_loop.h"

namespace penstock::remote {

// Runs one request at a time, and waits for its answer. One thread.
struct AskingLoop {
  net::IoLoop* loop = nullptr;  // null: requests begin on the caller's thread
  std::thread::id answered_on;  // of the last request

  InferResponse Run(Model& model, const InferRequest& request) {
    std::promise<InferResponse> promise;
    const auto run = [&] {
      model.Run(request, [&](InferResponse&& response) {
        answered_on = std::this_thread::get_id();
        promise.set_value(std::move(response));
      });
    };
    if (loop == nullptr) {
      run();
    } else {
      loop->Post(run);
    }
    return promise.get_future().get();
  }
};

}  // namespace penstock::remote
