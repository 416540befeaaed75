// SPDX-License-Identifier: Apache-2.0
// Random lives of a table in shards over virtual time: a root with the real code (ShardStore,
// ShardRun, RemoteRun, the budgets, the health checks), and pods with the shards that die, freeze,
// are slow, and get new versions. The promises:
//   - each request is answered once, at its deadline at the latest;
//   - each row is that of its key, and all rows of an answer are of one version: of the one that
//     the root asks for, if it does;
//   - a request fails only as "unavailable" or "too late", and only while pods have trouble;
//   - when all is over, no call is left open.
// A violated promise prints its seed: PENSTOCK_SIM_SEED=N runs it again.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <queue>
#include <random>
#include <set>
#include <thread>
#include <tuple>
#include <vector>

#include "absl/strings/str_split.h"
#include "remote/configured_targets.h"
#include "remote/messages.h"
#include "remote/shards/shard_store.h"
#include "remote/version_watch.h"
#include "schedule/simulation_seeds.h"
#include "serving/get_model_status.pb.h"
#include "serving/predict.pb.h"
#include "tables/table_model.h"

namespace penstock::remote {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int64_t kDimension = 2;
// After the last trouble of a pod: ejections and back-offs are over.
constexpr Duration kTroubleEnds = seconds(90);
// Deadlines pass on ticks of timers.
constexpr Duration kDeadlineSlack = milliseconds(2);
// After this time a connection to a frozen pod is given up.
constexpr Duration kPingTime = seconds(15);
// For this time a pod keeps a version that a root has asked it to keep.
constexpr Duration kLeaseTime = seconds(10);

float ElementOf(int64_t key, int64_t version, int64_t column) {
  return static_cast<float>(key * 8 + version % 4 * 2 + column);
}
bool HasKey(int64_t key) { return key % 10 != 9; }

// --- virtual time

// What happens at which moment, in the order of time and then of the calls of At. One thread.
class Events final {
 public:
  void At(SteadyTime when, std::function<void()> what) {
    queue_.push({when, next_++, std::move(what)});
  }
  bool empty() const { return queue_.empty(); }
  SteadyTime next() const { return queue_.top().when; }
  std::function<void()> Pop() {
    std::function<void()> what = queue_.top().what;
    queue_.pop();
    return what;
  }

 private:
  struct Event {
    SteadyTime when;
    uint64_t number = 0;
    std::function<void()> what;
    bool operator<(const Event& other) const {
      return std::tie(when, number) > std::tie(other.when, other.number);
    }
  };

  std::priority_queue<Event> queue_;
  uint64_t next_ = 0;
};

enum class PodState { kUp, kDead, kFrozen };

// A server with one copy of a shard. Plain data.
struct Pod {
  uint32_t shard = 0;
  PodState state = PodState::kUp;
  Duration delay = microseconds(200);  // of an answer, on average
  std::set<int64_t> versions = {1};
  std::map<int64_t, SteadyTime> leases = {};  // until when it keeps a version
};

// A call at a pod. Plain data.
struct PodCall {
  net::UnaryRequest request;
  net::UnaryDone done;
  SteadyTime begun;
  bool has_arrived = false;

  // Those of requests, and not the questions of health checks.
  bool IsForRows() const { return request.landing != nullptr; }
};

// What the channels of a life share: time, chance, pods. One thread.
struct World {
  explicit World(uint64_t seed) : random(seed) {}

  int64_t Pick(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  }
  bool Chance(int percent) { return Pick(1, 100) <= percent; }
  SteadyTime now() const { return clock.Now(); }

  std::mt19937_64 random;
  FakeClock clock;
  Events events;
  uint32_t shards = 1;
  std::map<std::string, Pod> pods;  // by address
  // The pods of shard 0 tell a version that is not that of their rows: the checks must find it.
  bool lies = false;
  int64_t row_calls = 0;  // that are open
  // Calls of channels that are gone, perhaps on another thread; they are ended on the loop.
  std::mutex mutex;
  std::vector<net::UnaryDone> orphans;
};

// The connection of the root to a pod. One thread at a time.
class PodChannel final : public net::UnaryChannel {
 public:
  PodChannel(World& world, Pod& pod) : world_(world), pod_(pod) {}
  ~PodChannel() override {
    const std::lock_guard lock(world_.mutex);
    for (auto& [id, call] : *calls_) world_.orphans.push_back(std::move(call.done));
  }

  uint64_t Start(net::UnaryRequest request, net::UnaryDone done) override {
    const uint64_t id = ++next_;
    if (request.deadline != kNoDeadline)
      After(std::max(request.deadline, world_.now()) - world_.now(),
            [this, id] { End(id, {.status = absl::DeadlineExceededError("too late")}); });
    PodCall& call = (*calls_)[id] = {std::move(request), std::move(done), world_.now()};
    if (call.IsForRows()) ++world_.row_calls;
    After(microseconds(world_.Pick(20, 200)), [this, id] { Arrive(id); });
    return id;
  }
  void Cancel(uint64_t call) override {
    After(Duration::zero(),
          [this, call] { End(call, {.status = absl::CancelledError("given up")}); });
  }
  // The connection breaks.
  void Break() {
    std::vector<uint64_t> open;
    for (const auto& [id, call] : *calls_) open.push_back(id);
    for (const uint64_t id : open)
      End(id, {.status = absl::UnavailableError("the connection broke"),
               .is_unprocessed = !calls_->at(id).has_arrived});
  }

 private:
  // The channel may be gone then.
  void After(Duration delay, std::function<void()> what) {
    world_.events.At(world_.now() + delay, [alive = std::weak_ptr(calls_), what = std::move(what)] {
      if (alive.lock() != nullptr) what();
    });
  }
  void Arrive(uint64_t id) {
    const auto found = calls_->find(id);
    if (found == calls_->end()) return;
    if (pod_.state == PodState::kDead)
      return End(id, {.status = absl::UnavailableError("refused"), .is_unprocessed = true});
    found->second.has_arrived = true;
    const double mean = static_cast<double>(pod_.delay.count());
    const double drawn = std::exponential_distribution<double>(1 / mean)(world_.random);
    After(Duration(static_cast<int64_t>(drawn)), [this, id] { Serve(id); });
  }
  void Serve(uint64_t id) {
    if (!calls_->contains(id)) return;
    const PodCall& call = calls_->at(id);
    if (pod_.state == PodState::kUp) return End(id, Answer(call.request));
    if (world_.now() - call.begun > kPingTime)
      return End(id, {.status = absl::UnavailableError("no answer to a ping")});
    // It goes on when it thaws.
    After(milliseconds(20), [this, id] { Serve(id); });
  }
  void End(uint64_t id, net::UnaryAnswer answer) {
    const auto found = calls_->find(id);
    if (found == calls_->end()) return;
    net::UnaryDone done = std::move(found->second.done);
    if (found->second.IsForRows()) --world_.row_calls;
    calls_->erase(found);
    done(std::move(answer));
  }

  net::UnaryAnswer Answer(const net::UnaryRequest& asked) const;
  net::UnaryAnswer AnswerStatus(const net::UnaryRequest& asked) const;
  void Describe(tensorflow::serving::PredictResponse& response) const;
  static void GiveRows(const tensorflow::TensorProto& keys, int64_t version,
                       tensorflow::serving::PredictResponse& response);

  World& world_;
  Pod& pod_;
  const std::shared_ptr<std::map<uint64_t, PodCall>> calls_ =
      std::make_shared<std::map<uint64_t, PodCall>>();
  uint64_t next_ = 0;
};

net::UnaryAnswer PodChannel::AnswerStatus(const net::UnaryRequest& asked) const {
  for (const auto& [name, value] : asked.metadata) {
    if (name != "x-penstock-lease" || value == "none") continue;
    const std::vector<std::string> versions = absl::StrSplit(value, ',');
    for (const std::string& version : versions)
      pod_.leases[std::stoll(version)] = world_.now() + kLeaseTime;
  }
  tensorflow::serving::GetModelStatusResponse response;
  for (const int64_t version : pod_.versions) {
    auto& status = *response.add_model_version_status();
    status.set_version(version);
    status.set_state(tensorflow::serving::ModelVersionStatus::AVAILABLE);
  }
  return {.status = OkStatus(),
          .message = WholeSlice(CopyToBuffer(response.SerializeAsString())),
          .is_from_server = true};
}

net::UnaryAnswer PodChannel::Answer(const net::UnaryRequest& asked) const {
  if (asked.path == kStatusMethod) return AnswerStatus(asked);
  const Slice bytes = Flatten(asked.message);
  tensorflow::serving::PredictRequest request;
  request.ParseFromArray(bytes.data, static_cast<int>(bytes.size));
  const auto& spec = request.model_spec();
  const int64_t version = spec.has_version() ? spec.version().value() : *pod_.versions.rbegin();
  if (!pod_.versions.contains(version))
    return {.status = absl::NotFoundError("Servable not found for request"),
            .is_from_server = true};
  tensorflow::serving::PredictResponse response;
  response.mutable_model_spec()->mutable_version()->set_value(version);
  if (spec.signature_name() == tables::kTableSignature) {
    Describe(response);
  } else {
    GiveRows(request.inputs().at("keys"), version + (world_.lies && pod_.shard == 0 ? 1 : 0),
             response);
  }
  return {.status = OkStatus(),
          .message = WholeSlice(CopyToBuffer(response.SerializeAsString())),
          .is_from_server = true};
}

void PodChannel::Describe(tensorflow::serving::PredictResponse& response) const {
  auto& outputs = *response.mutable_outputs();
  const auto numbers = [&](const char* name, const std::vector<int64_t>& values) {
    outputs[name].set_dtype(tensorflow::DT_INT64);
    for (const int64_t value : values) outputs[name].add_int64_val(value);
    if (values.size() > 1)
      outputs[name].mutable_tensor_shape()->add_dim()->set_size(
          static_cast<int64_t>(values.size()));
  };
  const auto text = [&](const char* name, const char* value) {
    outputs[name].set_dtype(tensorflow::DT_STRING);
    outputs[name].add_string_val(value);
  };
  numbers("dimension", {kDimension});
  numbers("row_count", {10});
  text("key_type", "int64");
  text("hash", "mix64");
  numbers("shard", {pod_.shard, world_.shards});
  outputs["default_row"].set_dtype(tensorflow::DT_FLOAT);
  outputs["default_row"].mutable_tensor_shape()->add_dim()->set_size(0);
}

void PodChannel::GiveRows(const tensorflow::TensorProto& keys, int64_t version,
                          tensorflow::serving::PredictResponse& response) {
  const auto count = keys.tensor_content().size() / sizeof(int64_t);
  std::vector<int64_t> numbers(count);
  std::memcpy(numbers.data(), keys.tensor_content().data(), keys.tensor_content().size());
  auto& rows = (*response.mutable_outputs())["rows"];
  auto& found = (*response.mutable_outputs())["found"];
  rows.set_dtype(tensorflow::DT_FLOAT);
  found.set_dtype(tensorflow::DT_BOOL);
  for (auto* tensor : {&rows, &found})
    tensor->mutable_tensor_shape()->add_dim()->set_size(static_cast<int64_t>(count));
  rows.mutable_tensor_shape()->add_dim()->set_size(kDimension);
  for (const int64_t key : numbers) {
    found.add_bool_val(HasKey(key));
    for (int64_t column = 0; column < kDimension; ++column)
      rows.add_float_val(HasKey(key) ? ElementOf(key, version, column) : -1);
  }
}

// --- a life

// A request of the life, and what became of it.
struct Asked {
  InferRequest request;
  CancelToken cancel;
  std::vector<int64_t> keys;
  SteadyTime begun;
  int64_t version = 0;  // that the root must ask for; 0: any
  bool is_cancelled = false;
  int answers = 0;
};

// What all lives share.
struct Server {
  MetricsRegistry metrics;
  core::Manager manager{{}};
  schedule::Scheduler scheduler{{.compute_slots = 1, .threads = schedule::PoolThreads::kNone}};
  Engine engine{{}, manager, scheduler};
};

// One life. One thread, but for the end of a root.
class Life final {
 public:
  Life(Server& server, uint64_t seed, bool lies) : server_(server), world_(seed) {
    world_.shards = static_cast<uint32_t>(world_.Pick(lies ? 2 : 1, 4));
    world_.lies = lies;
    copies_ = world_.Pick(1, 3);
    is_fenced_ = world_.Chance(50);
    is_pinned_ = is_fenced_ || world_.Chance(50);
    is_calm_ = world_.Chance(30);
    for (uint32_t shard = 0; shard < world_.shards; ++shard) {
      for (int64_t copy = 0; copy < copies_; ++copy) {
        world_.pods[TargetOf(shard, copy).ToString()].shard = shard;
      }
    }
    loops_ = std::make_shared<RemoteLoops>(
        std::make_unique<net::ClientLoop>(world_.clock), [this](const std::string& address) {
          auto channel = std::make_shared<PodChannel>(world_, world_.pods.at(address));
          channels_[address].push_back(channel);
          return channel;
        });
  }

  // The first promise that was broken; empty: none.
  std::string Run() {
    if (is_fenced_) {
      StartWatch();
    } else {
      root_ = MakeRoot(1);
    }
    for (int64_t step = world_.Pick(20, 80); step > 0 && violation_.empty(); --step) {
      RunFor(world_.Chance(10) ? milliseconds(world_.Pick(1000, 10000))
                               : microseconds(world_.Pick(100, 20000)));
      Step();
    }
    Settle();
    for (auto* root : {&root_, &old_root_, &coming_}) {
      if (*root != nullptr) EndRoot(std::move(*root));
    }
    if (watch_ != nullptr) Pump([&] { watch_->EndOwner(); });
    return violation_;
  }

 private:
  static RemoteTarget TargetOf(uint32_t shard, int64_t copy) {
    return {fmt::format("pod-{}-{}", shard, copy), 8500};
  }
  net::ClientLoop& loop() { return static_cast<net::ClientLoop&>(loops_->at(0)); }
  void Violated(std::string what) {
    if (violation_.empty())
      violation_ = fmt::format("{} ({} shards, {} copies{}{})", what, world_.shards, copies_,
                               is_fenced_   ? ", with a fence"
                               : is_pinned_ ? ", one version asked for"
                                            : "",
                               is_calm_ ? ", without trouble" : "");
  }

  // --- time

  void RunFor(Duration time) {
    const SteadyTime until = world_.now() + time;
    loop().Turn();
    while (true) {
      const SteadyTime event = world_.events.empty() ? kNoDeadline : world_.events.next();
      const SteadyTime timer =
          loop().timers().empty() ? kNoDeadline : loop().timers().NextRun(world_.now());
      const SteadyTime next = std::min(event, timer);
      if (next > until) break;
      if (next > world_.now()) world_.clock.Advance(next - world_.now());
      if (event <= timer) world_.events.Pop()();
      loop().Turn();
    }
    world_.clock.Advance(until - world_.now());
  }

  // --- the root

  std::unique_ptr<Model> MakeRoot(int64_t version) {
    found_ = std::make_shared<size_t>(0);
    auto table = std::make_shared<ShardedTable>();
    const auto pool = std::make_shared<ChannelPool>();
    const core::ServableId id{"table", {version}};
    for (uint32_t shard = 0; shard < world_.shards; ++shard) {
      RemoteVersion remote;
      remote.model = fmt::format("table-{}", shard);
      remote.is_idempotent = true;
      if (is_pinned_) remote.model_version = core::VersionNumber{version};
      for (int64_t copy = 0; copy < copies_; ++copy)
        remote.targets.push_back(TargetOf(shard, copy));
      const auto core =
          std::make_shared<RemoteCore>(id, remote, settings_, "", server_.engine, *loops_,
                                       server_.metrics, SourceOf(shard, remote), pool);
      core->is_shard = true;
      core->parts[0].random.seed(static_cast<uint32_t>(world_.Pick(1, 1 << 30)));
      core->Open([found = found_](const auto& targets) { *found += targets.ok() ? 1U : 0U; });
      table->shards.push_back(core);
    }
    loop().Turn();
    tables::TableDescription description;
    description.dimension = kDimension;
    description.shard = {0, world_.shards};
    table->info = {.key_type = tables::KeyType::kInt64,
                   .dtype = DType::kFloat32,
                   .dimension = kDimension,
                   .row_bytes = kDimension * sizeof(float),
                   .rows = 0,
                   .shard = {},
                   .asks_servers = true};
    auto store = std::make_unique<ShardStore>(loops_, std::move(table), description);
    return std::make_unique<tables::TableModel>(
        std::move(store), tables::TableModelOptions{.id = id, .default_row = {}});
  }

  std::shared_ptr<TargetSource> SourceOf(uint32_t shard, const RemoteVersion& remote) {
    if (is_fenced_) return watch_->TargetsOf(shard, *remote.model_version);
    return std::make_shared<ConfiguredTargets>("table", remote.targets, settings_.dns_interval,
                                               *loops_);
  }

  void EndRoot(std::unique_ptr<Model> root) {
    Pump([&] { root = nullptr; });
  }

  // Runs what waits for the loop, on another thread.
  void Pump(const std::function<void()>& what) {
    std::atomic<bool> has_ended = false;
    std::thread thread([&] {
      what();
      has_ended = true;
    });
    while (!has_ended) {
      loop().Turn();
      std::this_thread::yield();
    }
    thread.join();
    loop().Turn();
    for (net::UnaryDone& done : world_.orphans) done({.status = absl::CancelledError("gone")});
    world_.orphans.clear();
  }

  // --- the fence, used as the source of versions and the manager use it

  void StartWatch() {
    RemoteVersion remote;
    for (uint32_t shard = 0; shard < world_.shards; ++shard) {
      RemoteShard& added = remote.shards.emplace_back();
      added.model = fmt::format("table-{}", shard);
      for (int64_t copy = 0; copy < copies_; ++copy) added.targets.push_back(TargetOf(shard, copy));
    }
    watch_ = std::make_shared<VersionWatch>("table", remote, settings_, *loops_, [this] {
      world_.events.At(world_.now(), [this] { FollowVersions(); });
    });
    watch_->Start();
    for (auto& [address, pod] : world_.pods) DropVersions(pod);
    RunFor(seconds(5));
    if (root_ == nullptr) Violated("no version is served at the start");
  }
  // A pod keeps its newest version, and those of which a root holds leases.
  void DropVersions(Pod& pod) {
    std::erase_if(pod.versions, [newest = *pod.versions.rbegin(), &pod, this](int64_t version) {
      return version != newest && pod.leases[version] < world_.now();
    });
    world_.events.At(world_.now() + milliseconds(200), [this, &pod] { DropVersions(pod); });
  }
  // Serves the newest version that is complete. The former one goes when it has no requests.
  void FollowVersions() {
    if (old_root_ != nullptr || coming_ != nullptr) return;  // it looks again then
    const WatchView view = watch_->view();
    if (!view.is_known) return;
    const auto chosen = ChooseVersions(view.versions, {}, {});
    if (chosen.empty() || (root_ != nullptr && chosen.rbegin()->value == version_)) return;
    coming_version_ = chosen.rbegin()->value;
    coming_ = MakeRoot(coming_version_);
    AwaitTargets(50);
  }
  // A version is loaded when each shard has a target.
  void AwaitTargets(int tries) {
    if (*found_ < world_.shards) {
      if (tries > 0)
        return world_.events.At(world_.now() + milliseconds(100),
                                [this, tries] { AwaitTargets(tries - 1); });
      EndRoot(std::move(coming_));
      return world_.events.At(world_.now() + milliseconds(100), [this] { FollowVersions(); });
    }
    old_root_ = std::exchange(root_, std::move(coming_));
    RetireBehindFence(std::exchange(version_, coming_version_));
  }
  void RetireBehindFence(int64_t former) {
    if (old_root_ != nullptr && IsUsed(former))
      return world_.events.At(world_.now() + milliseconds(100),
                              [this, former] { RetireBehindFence(former); });
    if (old_root_ != nullptr) EndRoot(std::move(old_root_));
    FollowVersions();
  }

  // --- what happens

  void Step() {
    const int64_t chance = world_.Pick(1, 100);
    if (chance <= 75) {
      for (int64_t i = world_.Pick(1, 5); i > 0; --i) Ask();
    } else if (chance <= 90) {
      if (!is_calm_) Trouble();
    } else {
      ChangeVersion();
    }
  }

  void Trouble() {
    auto pod = world_.pods.begin();
    std::advance(pod, world_.Pick(0, static_cast<int64_t>(world_.pods.size()) - 1));
    if (!in_trouble_.insert(pod->first).second) return;
    Pod& it = pod->second;
    switch (world_.Pick(0, 2)) {
      case 0:
        it.state = PodState::kDead;
        for (const auto& channel : channels_[pod->first]) {
          if (const auto alive = channel.lock()) alive->Break();
        }
        break;
      case 1:
        it.state = PodState::kFrozen;
        break;
      default:
        it.delay = milliseconds(world_.Pick(5, 100));
        break;
    }
    const Duration time =
        milliseconds(world_.Chance(50) ? world_.Pick(10, 500) : world_.Pick(500, 20000));
    world_.events.At(world_.now() + time, [this, address = pod->first] {
      Pod& healed = world_.pods.at(address);
      if (is_fenced_ && healed.state == PodState::kDead) {
        // A new process: it has no leases, and loads what is newest.
        healed.versions = {*healed.versions.rbegin()};
        healed.leases.clear();
      }
      healed.state = PodState::kUp;
      healed.delay = Pod().delay;
      in_trouble_.erase(address);
      trouble_ended_ = world_.now();
    });
  }

  // The next version comes to one pod after the other. When all have it, a root that asks for a
  // version moves to it, and the former version is unloaded when nobody asks for it any more.
  void ChangeVersion() {
    if (changing_to_ != 0 || old_root_ != nullptr) return;
    const int64_t newest = *world_.pods.begin()->second.versions.rbegin();
    if (newest == 3) return;
    changing_to_ = newest + 1;
    loads_left_ = world_.pods.size();
    for (auto& [address, pod] : world_.pods) {
      world_.events.At(world_.now() + milliseconds(world_.Pick(1, 3000)), [this, &pod] {
        pod.versions.insert(changing_to_);
        if (!is_pinned_) pod.versions = {changing_to_};
        if (--loads_left_ == 0) OnLoaded();
      });
    }
  }
  void OnLoaded() {
    versions_changed_ = world_.now();
    const int64_t former = changing_to_ - 1;
    changing_to_ = 0;
    if (!is_pinned_ || is_fenced_) return;
    old_root_ = std::move(root_);
    version_ = former + 1;
    root_ = MakeRoot(version_);
    world_.events.At(world_.now() + seconds(world_.Pick(0, 20)),
                     [this, former] { Retire(former); });
  }
  void Retire(int64_t former) {
    if (IsUsed(former))
      return world_.events.At(world_.now() + seconds(1), [this, former] { Retire(former); });
    EndRoot(std::move(old_root_));
    for (auto& [address, pod] : world_.pods) pod.versions.erase(former);
  }

  bool IsUsed(int64_t version) const {
    return std::ranges::any_of(
        asked_, [&](const auto& each) { return each->version == version && each->answers == 0; });
  }

  // --- requests

  void Ask() {
    if (root_ == nullptr) return;
    Asked& asked = *asked_.emplace_back(std::make_unique<Asked>());
    asked.begun = world_.now();
    asked.version = is_pinned_ ? version_ : 0;
    for (int64_t i = world_.Pick(1, 60); i > 0; --i) asked.keys.push_back(world_.Pick(-500, 500));
    Tensor keys = *Tensor::Allocate(DType::kInt64, {static_cast<int64_t>(asked.keys.size())});
    std::ranges::copy(asked.keys, keys.mutable_as<int64_t>().begin());
    asked.request.inputs.push_back({"keys", std::move(keys)});
    asked.request.cancel = &asked.cancel;
    if (world_.Chance(80))
      asked.request.deadline = world_.now() + milliseconds(world_.Pick(30, 3000));
    if (const Status status = CheckRequest(root_->info(), asked.request); !status.ok())
      return Violated(status.ToString());
    root_->Run(asked.request, [this, &asked](InferResponse&& answer) { Check(asked, answer); });
    if (world_.Chance(10)) {
      world_.events.At(world_.now() + microseconds(world_.Pick(0, 2000)), [&asked] {
        if (asked.answers > 0) return;
        asked.is_cancelled = true;
        asked.cancel.Cancel();
      });
    }
  }

  bool HasTrouble() const {
    const bool is_new = changing_to_ != 0 || world_.now() < versions_changed_ + kTroubleEnds;
    return !in_trouble_.empty() || world_.now() < trouble_ended_ + kTroubleEnds ||
           (!is_pinned_ && is_new);
  }

  void Check(Asked& asked, const InferResponse& answer) {
    if (++asked.answers > 1) return Violated("a request was answered twice");
    if (asked.request.deadline != kNoDeadline &&
        world_.now() > asked.request.deadline + kDeadlineSlack)
      Violated("a request was answered after its deadline");
    if (answer.status.ok()) return CheckRows(asked, answer);
    const StatusCode code = answer.status.code();
    if (code == StatusCode::kCancelled && asked.is_cancelled) return;
    if (code != StatusCode::kUnavailable && code != StatusCode::kDeadlineExceeded)
      return Violated("a request failed as " + answer.status.ToString());
    if (!HasTrouble()) Violated("a request failed without a reason: " + answer.status.ToString());
  }

  void CheckRows(const Asked& asked, const InferResponse& answer) {
    std::span<const float> rows;
    std::span<const bool> found;
    for (const NamedTensor& output : answer.outputs) {
      if (output.name == "rows") rows = output.tensor.as<float>();
      if (output.name == "found") found = output.tensor.as<bool>();
    }
    if (rows.size() != asked.keys.size() * kDimension || found.size() != asked.keys.size())
      return Violated("an answer has too few rows");
    const auto fits = [&](int64_t version) {
      for (size_t i = 0; i < asked.keys.size(); ++i) {
        if (found[i] != HasKey(asked.keys[i])) return false;
        for (int64_t column = 0; column < kDimension; ++column) {
          const float element = rows[i * kDimension + static_cast<size_t>(column)];
          if (element != (found[i] ? ElementOf(asked.keys[i], version, column) : 0)) return false;
        }
      }
      return true;
    };
    if (asked.version != 0 ? !fits(asked.version) : !fits(1) && !fits(2) && !fits(3))
      Violated("an answer has wrong rows, or rows of two versions");
  }

  // Everything heals, and what is under way comes to an end.
  void Settle() {
    RunFor(seconds(60));
    for (const auto& each : asked_) {
      if (each->answers != 1) Violated("a request was not answered");
    }
    if (world_.row_calls != 0) Violated(fmt::format("{} calls are left open", world_.row_calls));
    is_calm_ = true;
    RunFor(kTroubleEnds);
    Ask();
    RunFor(seconds(10));
    if (asked_.back()->answers != 1) Violated("the last request was not answered");
  }

  Server& server_;
  World world_;
  int64_t copies_ = 1;
  bool is_pinned_ = false;  // the root asks for a version by its number
  bool is_fenced_ = false;  // which is one that all shards have, as the fence says
  bool is_calm_ = false;
  std::map<std::string, std::vector<std::weak_ptr<PodChannel>>> channels_;  // by address
  std::shared_ptr<RemoteLoops> loops_;
  const RemoteSettings settings_;
  std::shared_ptr<VersionWatch> watch_;  // null: there is no fence
  std::unique_ptr<Model> coming_;        // has no targets yet
  int64_t coming_version_ = 0;
  std::shared_ptr<size_t> found_;  // shards with targets, of the root that was made last
  std::unique_ptr<Model> root_;
  std::unique_ptr<Model> old_root_;  // its requests end
  int64_t version_ = 1;              // of the root
  std::vector<std::unique_ptr<Asked>> asked_;

  int64_t changing_to_ = 0;  // the version that pods load; 0: none
  size_t loads_left_ = 0;
  SteadyTime versions_changed_{};
  std::set<std::string> in_trouble_;  // addresses
  SteadyTime trouble_ended_{};
  std::string violation_;
};

std::string RunLife(uint64_t seed, bool lies = false) {
  static Server& server = *new Server;
  const std::string violation = Life(server, seed, lies).Run();
  return violation.empty() ? "" : fmt::format("seed {}: {}", seed, violation);
}

TEST(ClusterSimTest, EveryLifeKeepsItsPromises) {
  // A life has a cluster of its own, and takes as long as thirty of a queue.
  schedule::ExpectAllSeedsHold([](uint64_t seed) { return RunLife(seed); }, /*seeds_usual=*/400);
}

TEST(ClusterSimTest, RowsOfAnotherVersionAreFound) {
  int found = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) found += RunLife(seed, /*lies=*/true).empty() ? 0 : 1;
  EXPECT_GE(found, 18);
}

}  // namespace
}  // namespace penstock::remote
