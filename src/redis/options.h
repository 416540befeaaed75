// SPDX-License-Identifier: Apache-2.0
// What a client of a Redis cluster must know, and its limits.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics/metrics.h"
#include "redis/slot_map.h"

namespace penstock::redis {

class Cluster;

// How connections are encrypted.
struct TlsOptions {
  bool enabled = false;
  std::string ca_file;    // PEM; empty: the authorities of the machine
  std::string cert_file;  // PEM, for clusters that want certificates of clients; empty: none
  std::string key_file;
};

// What a client counts. Null: it is not counted.
struct ClusterCounters {
  Counter* replica_reads = nullptr;  // commands that were sent to a replica
  Counter* hedges = nullptr;  // those that were sent to a second node before the first one answered
  Counter* redirects = nullptr;      // MOVED and ASK
  Counter* retries = nullptr;        // commands that were sent again for another reason
  Counter* node_failures = nullptr;  // connections that failed, or that could not be made
  Counter* refreshes = nullptr;      // slot maps that were read
};

// The addresses and limits of a cluster.
struct ClusterOptions {
  std::vector<Address> seeds;  // some nodes; they name the others
  std::string user;            // empty: the default user
  std::string password;        // empty: none
  TlsOptions tls;
  Duration connect_timeout = std::chrono::milliseconds(50);
  // A connection that was lost, or could not be made, is tried again after this time. The time
  // doubles, up to eight times, while it fails.
  Duration retry_after = std::chrono::milliseconds(200);
  // A node that sends nothing for so long while it owes an answer gets no more commands until it
  // does, and others are asked in its place.
  Duration stall_time = std::chrono::milliseconds(20);
  // After this time the connection is closed.
  Duration silence_max = std::chrono::milliseconds(1000);
  // A request without a deadline ends after this time.
  Duration answer_timeout = std::chrono::seconds(2);
  // A second node is asked after the 95th percentile of the time that answers take, but not before
  // this time, and for at most one in twenty commands.
  Duration hedge_after_min = std::chrono::milliseconds(2);
  Duration refresh_interval =
      std::chrono::seconds(10);     // of the slot map, if nothing asks for it before
  size_t batches_max = 1024;        // requests that wait at the same time
  size_t bulk_bytes_max = 1 << 20;  // a longer value breaks the connection
  // Called on the cluster's thread, at most once in this time. Empty: never.
  std::function<void(Cluster&)> poll;
  Duration poll_interval = std::chrono::seconds(1);
  ClusterCounters counters;
};

}  // namespace penstock::redis
