// SPDX-License-Identifier: Apache-2.0
#include "cache/row_cache.h"

#include "cache/cache_run.h"
#include "cache/slot_step.h"

namespace penstock::cache {
namespace {

bool IsSmall(const InferRequest& request, uint64_t bytes_max) {
  uint64_t bytes = 0;
  for (const NamedTensor& input : request.inputs) {
    bytes += input.tensor.bytes();
    if (bytes > bytes_max) return false;
    bytes += input.tensor.StringBytes();
  }
  return bytes <= bytes_max;
}

}  // namespace

void RowCache::Run(Engine& engine, const ModelHandle& handle, const InferRequest& request,
                   RunPlace place, ResponseCallback done) {
  Lookup lookup;
  if (!cache_->Describe(request, lookup))
    return engine.RunPastCache(handle, request, place, std::move(done));
  // An event loop must not stop for the hash of a large request.
  if (place.lease == nullptr && !IsSmall(request, engine.inline_request_bytes_max())) {
    auto again = [this, &engine, handle = std::make_shared<ModelHandle>(handle.Share()), &request,
                  done = std::move(done)](StatusOr<schedule::Lease*> lease) mutable {
      if (!lease.ok()) return AnswerError(done, lease.status());
      Run(engine, *handle, request, {/*may_run_inline=*/false, *lease}, std::move(done));
    };
    return SlotStep::Enter(engine, handle, request, std::move(again));
  }
  const SteadyTime start = engine.clock().Now();
  cache_->ComputeKeys(request, lookup);
  const bool is_refresh = request.cache_use == CacheUse::kRefresh;
  if (!is_refresh) cache_->Find(lookup, start);
  cache_->lookup_time().Record(
      std::chrono::duration<double, std::micro>(engine.clock().Now() - start).count());
  const size_t found = lookup.found;
  if (!lookup.is_complete() && !is_refresh) {
    if (place.lease != nullptr) {
      cache_->FindOnDisk(lookup, start);
    } else if (cache_->MayBeOnDisk(lookup)) {
      auto read = [this, &engine, handle = std::make_shared<ModelHandle>(handle.Share()), &request,
                   lookup = std::move(lookup), found,
                   done = std::move(done)](StatusOr<schedule::Lease*> lease) mutable {
        if (!lease.ok()) return AnswerError(done, lease.status());
        cache_->FindOnDisk(lookup, engine.clock().Now());
        Proceed(engine, *handle, request, {/*may_run_inline=*/false, *lease}, std::move(lookup),
                found, std::move(done));
      };
      return SlotStep::Enter(engine, handle, request, std::move(read));
    }
  }
  Proceed(engine, handle, request, place, std::move(lookup), found, std::move(done));
}

void RowCache::Proceed(Engine& engine, const ModelHandle& handle, const InferRequest& request,
                       RunPlace place, Lookup&& lookup, size_t found_in_memory,
                       ResponseCallback&& done) {
  cache_->CountRows(found_in_memory, lookup.found - found_in_memory,
                    lookup.values.size() - lookup.found);
  if (!lookup.is_complete()) {
    return CacheRun::Start({cache_, engine, handle.Share()}, request, place, std::move(lookup),
                           std::move(done));
  }
  RequestMemory memory = engine.MemoryOfAnswer();
  StatusOr<NamedTensors> outputs = cache_->Answer(lookup, memory);
  if (!outputs.ok()) [[unlikely]] {
    if (outputs.status().code() != StatusCode::kFailedPrecondition)
      return AnswerError(done, outputs.status());
    // Each row has another shape, so the model must say how they become one tensor.
    return engine.RunPastCache(handle, request, place, std::move(done));
  }
  cache_->CountRequest(CacheOutcome::kHit);
  InferResponse response;
  response.outputs = *std::move(outputs);
  response.cache = CacheOutcome::kHit;
  done(std::move(response));
}

}  // namespace penstock::cache
