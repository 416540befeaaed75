// SPDX-License-Identifier: Apache-2.0
// Which requests are kept, and what that costs. A runtime prepares itself for each combination of
// signature, names, types and shapes, so one request of each such form is enough. Only one request
// in kSample of a thread is looked at, so the others pay an addition and a load.
//
// The bytes of a request are gone when its answer is there, but only an answered request is worth
// keeping. So the request is copied before the run, and the copy is kept, or dropped, by the
// callback of the answer. Clear increments a number that the callback compares: a request that was
// running when the model broke is not kept, because it may be the cause.
#include "infer/recent_requests.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace penstock {
namespace {

// What a kept request takes beyond its names and tensors.
constexpr uint64_t kOverheadBytes = 512;
constexpr uint64_t kOverheadOfInput = 256;

bool HaveSameForm(const NamedTensor& one, const NamedTensor& other) {
  return one.name == other.name && one.tensor.dtype() == other.tensor.dtype() &&
         one.tensor.shape() == other.tensor.shape();
}

bool HaveSameForm(const FurtherSignature& one, const FurtherSignature& other) {
  return one.name == other.name && one.output_filter == other.output_filter;
}

// True if a runtime prepares itself in the same way for the two.
bool HaveSameForm(const InferRequest& one, const InferRequest& other) {
  const auto same = [](const auto& a, const auto& b) { return HaveSameForm(a, b); };
  return one.signature_name == other.signature_name && one.output_filter == other.output_filter &&
         std::ranges::equal(one.further_signatures, other.further_signatures, same) &&
         std::ranges::equal(one.inputs, other.inputs, same) && one.options == other.options;
}

// Calls `visit` for each name of the request.
template <typename Request, typename Visit>
void ForEachName(Request& request, Visit visit) {
  visit(request.signature_name);
  for (auto& input : request.inputs) visit(input.name);
  for (auto& output : request.output_filter) visit(output);
  for (auto& further : request.further_signatures) {
    visit(further.name);
    for (auto& output : further.output_filter) visit(output);
  }
}

size_t BytesOfNames(const InferRequest& request) {
  size_t bytes = 0;
  ForEachName(request, [&bytes](std::string_view name) { bytes += name.size(); });
  return bytes;
}

// Returns the memory of a copy, or any number above `bytes_max`.
uint64_t BytesOfCopy(const InferRequest& request, uint64_t bytes_max) {
  uint64_t bytes = kOverheadBytes + BytesOfNames(request);
  for (const auto& [name, value] : request.options) bytes += name.size() + value.size();
  for (const NamedTensor& input : request.inputs) {
    bytes += kOverheadOfInput + input.tensor.bytes();
    // The array of a string tensor is counted first: to sum up the characters visits each string.
    if (bytes > bytes_max) return bytes;
    bytes += input.tensor.StringBytes();
  }
  return bytes;
}

StatusOr<Tensor> CopyOf(const Tensor& tensor) {
  ASSIGN_OR_RETURN(Tensor copy, Tensor::Allocate(tensor.dtype(), tensor.shape()));
  if (tensor.dtype() != DType::kString) {
    if (tensor.bytes() > 0) std::memcpy(copy.mutable_data(), tensor.data(), tensor.bytes());
    return copy;
  }
  BufferRef characters = AllocateBuffer(tensor.StringBytes());
  auto* at = reinterpret_cast<char*>(characters->data());
  StringElement* element = copy.mutable_as<StringElement>().data();
  for (const StringElement& from : tensor.strings()) {
    if (from.size > 0) std::memcpy(at, from.data, from.size);
    *element++ = {at, from.size};
    at += from.size;
  }
  copy.set_string_owner(std::move(characters));
  return copy;
}

}  // namespace

std::shared_ptr<const RecentRequest> RecentRequest::Copy(const InferRequest& request,
                                                         uint64_t bytes_max,
                                                         std::shared_ptr<Allowance> total) {
  const uint64_t bytes = BytesOfCopy(request, bytes_max);
  if (bytes > bytes_max) return nullptr;
  try {
    std::shared_ptr<RecentRequest> copy(new RecentRequest(std::move(total)));
    if (!copy->total_->TryTake(bytes)) return nullptr;
    copy->bytes_ = bytes;
    if (!copy->CopyFrom(request).ok()) return nullptr;
    return copy;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

Status RecentRequest::CopyFrom(const InferRequest& request) {
  request_.signature_name = request.signature_name;
  request_.output_filter = request.output_filter;
  request_.further_signatures = request.further_signatures;
  request_.options = request.options;
  for (const NamedTensor& input : request.inputs) {
    ASSIGN_OR_RETURN(Tensor tensor, CopyOf(input.tensor));
    request_.inputs.push_back({input.name, std::move(tensor), input.signature});
  }
  // The names are views of the message. Now they become views of one buffer with all of them.
  request_.names_owner = AllocateBuffer(BytesOfNames(request_));
  auto* at = reinterpret_cast<char*>(request_.names_owner->data());
  ForEachName(request_, [&at](std::string_view& name) {
    if (!name.empty()) std::memcpy(at, name.data(), name.size());
    name = {at, name.size()};
    at += name.size();
  });
  return OkStatus();
}

ResponseCallback RecentRequests::Watch(const InferRequest& request, ResponseCallback done) {
  uint64_t clears = 0;
  {
    MutexLock lock(mutex_);
    clears = clears_;
    if (requests_max_ == 0 || Renew(request)) return done;
  }
  // The bytes of the request may be gone when the answer is there, so they are copied now.
  std::shared_ptr<const RecentRequest> copy = RecentRequest::Copy(request, bytes_max_, total_);
  if (copy == nullptr) {
    // Perhaps all requests of the model are too large. So from now on only samples are looked at.
    wants_any_.store(false, std::memory_order_relaxed);
    return done;
  }
  return [self = shared_from_this(), copy = std::move(copy), clears,
          done = std::move(done)](InferResponse&& part) mutable {
    if (part.is_last && part.status.ok()) self->Keep(std::move(copy), clears);
    done(std::move(part));
  };
}

void RecentRequests::Add(const InferRequest& request) {
  Watch(request, [](InferResponse&&) {})(InferResponse());
}

bool RecentRequests::Renew(const InferRequest& request) {
  const auto found = std::ranges::find_if(
      kept_, [&](const auto& kept) { return HaveSameForm(kept->request(), request); });
  if (found == kept_.end()) return false;
  std::rotate(kept_.begin(), found, found + 1);
  return true;
}

void RecentRequests::Keep(std::shared_ptr<const RecentRequest> copy, uint64_t clears) {
  std::vector<std::shared_ptr<const RecentRequest>> dropped;  // freed without the lock
  MutexLock lock(mutex_);
  if (clears != clears_) return;
  wants_any_.store(false, std::memory_order_relaxed);
  // Another thread may have kept such a request meanwhile.
  if (Renew(copy->request())) return;
  kept_.insert(kept_.begin(), std::move(copy));
  uint64_t bytes = 0;
  for (const auto& kept : kept_) bytes += kept->bytes();
  while (kept_.size() > requests_max_ || bytes > bytes_max_) {
    bytes -= kept_.back()->bytes();
    dropped.push_back(std::move(kept_.back()));
    kept_.pop_back();
  }
}

void RecentRequests::Clear() {
  std::vector<std::shared_ptr<const RecentRequest>> dropped;  // freed without the lock
  MutexLock lock(mutex_);
  ++clears_;
  dropped.swap(kept_);
}

std::vector<std::shared_ptr<const RecentRequest>> RecentRequests::Kept() const {
  MutexLock lock(mutex_);
  return kept_;
}

}  // namespace penstock
