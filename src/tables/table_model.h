// SPDX-License-Identifier: Apache-2.0
// A table as a model that clients can call.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/metrics/metrics.h"
#include "base/status.h"
#include "core/servable.h"
#include "infer/engine.h"
#include "infer/model.h"
#include "tables/manifest.h"
#include "tables/store.h"

namespace penstock::tables {

// What a table has been asked for. One object for each version. Thread-safe.
class TableMetrics final {
 public:
  // `metrics` must outlive it.
  TableMetrics(const core::ServableId& id, MetricsRegistry& metrics);

  void CountRows(uint64_t found, uint64_t missing, bool has_default) const;
  void SetRows(uint64_t rows) const { rows_.Set(static_cast<double>(rows)); }

 private:
  MetricSeries series_;
  Counter& hits_;
  Counter& missing_;
  Counter& defaults_;
  Gauge& rows_;
};

// What a TableModel needs beside its store.
struct TableModelOptions {
  core::ServableId id;
  // The bytes of the row for keys that are missing. Empty: zeros, which are not counted.
  std::string default_row;
  // The folder of the passwords and keys that table.json names. Empty: that of the version.
  std::string secrets_path = {};
  MetricsRegistry* metrics = nullptr;  // null: nothing is counted. Outlives the model
  const Engine* engine = nullptr;      // null: answers are not limited. Outlives the model
};

// Answers "keys", of any shape, with "rows": that shape and one more dimension for the elements of
// a row; and with "found": which keys the table has. Further signatures give the rows of keys in
// groups
// ("ragged"), one row for each group ("sum", "mean"), and what the table is ("table"). Thread-safe.
class TableModel final : public Model {
 public:
  TableModel(std::unique_ptr<Store> store, TableModelOptions options);

  const ModelInfo& info() const override { return info_; }
  void Run(const InferRequest& request, ResponseCallback done) override;
  void SetBrokenCallback(core::BrokenCallback callback) override {
    store_->SetBrokenCallback(std::move(callback));
  }

 private:
  class LookupRun;

  RequestMemory MemoryOfAnswer() const;
  void AnswerDescription(const InferRequest& request, ResponseCallback& done) const;

  const std::unique_ptr<Store> store_;
  const TableModelOptions options_;
  const std::unique_ptr<const TableMetrics> metrics_;
  const ModelInfo info_;
};

}  // namespace penstock::tables
