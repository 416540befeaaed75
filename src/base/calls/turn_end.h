// SPDX-License-Identifier: Apache-2.0
// Work that waits until an event loop has read everything that has arrived at the moment.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace penstock {

// The tasks for the end of the current turn of an event loop. A turn is what the loop does for one
// event, such as input of a connection. A task runs on the loop's thread, before the answers of the
// turn are sent:
//
//   if (TurnEnd* const turn = TurnEnd::Current()) turn->Add(batch);  // else run it now
//
// Owned by one event loop. One thread.
class TurnEnd final {
 public:
  // What is done at the end of a turn. Owned by whoever adds it. One thread.
  class Task {
   public:
    // May add tasks, and may destroy the object.
    virtual void OnTurnEnd() = 0;

   protected:
    ~Task() = default;
  };

  // Returns that of the event loop which runs on this thread; null on any other thread.
  static TurnEnd* Current() { return current_; }
  // Makes `turn` the current one of this thread, and returns the one before.
  static TurnEnd* SetCurrent(TurnEnd* turn) { return std::exchange(current_, turn); }

  // Calls OnTurnEnd once. `task` must live until then.
  void Add(Task& task) { tasks_.push_back(&task); }
  // Runs the tasks, and those that they add. The event loop calls it at the end of each turn.
  void Run() {
    if (!tasks_.empty()) [[unlikely]]
      RunTasks();
  }

 private:
  void RunTasks() {
    for (size_t i = 0; i < tasks_.size(); ++i) tasks_[i]->OnTurnEnd();
    tasks_.clear();
  }

  static inline thread_local constinit TurnEnd* current_ = nullptr;

  std::vector<Task*> tasks_;
};

}  // namespace penstock
