// SPDX-License-Identifier: Apache-2.0
// Gets the record of each call that has ended: for the access log, traces and the like.
#pragma once

#include "base/calls/call_record.h"
#include "net/call.h"

namespace penstock::net {

// Reads the records of calls on every protocol and port. ServerOptions::observer names the one of a
// server; CallObservers (observe) passes calls to several. Its functions run on event loops and on
// threads of models, several at a time. Thread-safe.
class CallObserver {
 public:
  virtual ~CallObserver() = default;
  // The calls to read. Fixed.
  virtual CallFilter filter() const = 0;
  // True if OnCallStart does anything. Fixed.
  virtual bool observes_starts() const { return false; }
  // The handler of `call` is about to start, on this event loop. May make the call a traced one.
  virtual void OnCallStart(Call& /*call*/) {}
  // `call` has ended, and its handler has dropped it. It gets the calls that the filter wants,
  // traced ones, and perhaps others. Must be quick, because most calls end on an event loop.
  virtual void OnCallEnd(const Call& call) = 0;
};

}  // namespace penstock::net
