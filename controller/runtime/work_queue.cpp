#include "runtime/work_queue.h"

#include <algorithm>
#include <array>
#include <list>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/mutex.h"

namespace quay_rotator::runtime {

namespace {

using Health = Lane::Health;

// Ties in time are broken by order of arrival: the same calls give the same order in every run.
using Ticket = std::pair<base::MonotonicTime, std::uint64_t>;

constexpr base::Duration youth = std::chrono::seconds(1);

struct Waiting {
  Ticket ticket;
  Urgency urgency = Urgency::normal;
};

struct InWork {
  base::MonotonicTime since{};
  base::Duration waited{};
  std::shared_ptr<Lane> lane = nullptr;
  Health health = Health::answering;   // when it was taken …
  Urgency taken_as = Urgency::normal;  // … from which class
  int permits = 0;                     // of the lane, for this run
  int wants = 0;                       // permits that it comes back for …
  Urgency urgency = Urgency::normal;   // … in that class
  bool failed = false;
  std::optional<Waiting> again = std::nullopt;  // added meanwhile
};

struct Track;

// At most one of `ready` and `in_work` is set.
struct Entry {
  Track* track = nullptr;
  std::optional<Waiting> ready;  // since ticket.first
  std::optional<Waiting> delayed;
  std::unique_ptr<InWork> in_work;
  std::optional<Ticket> in_line;  // its place among those that wait for permits
  int wants = 0;                  // ready, but for these permits
  int permits = 0;                // ready, and they are there
  int failures = 0;
};

using Entries = std::unordered_map<kube::ObjectKey, Entry>;
using Node = Entries::value_type;

// The keys of one lane in one namespace.
struct Track {
  std::shared_ptr<Lane> lane = nullptr;  // null: of all keys without one
  std::size_t keys = 0;                  // that are assigned to it
  std::array<std::map<Ticket, Node*>, 4> ready = {};
  std::map<std::pair<Urgency, Ticket>, Node*> line = {};  // that wait for permits
  // Permits that whoever is first in the line then gets.
  struct Promise {
    Ticket ticket;
    int permits = 0;
  };
  std::optional<Promise> promise = std::nullopt;
  bool granted = false;  // somebody has permits and was not taken yet
};

Urgency more_urgent(Urgency left, Urgency right) {
  return std::min(left, right);
}

std::size_t index(Urgency urgency) {
  return static_cast<std::size_t>(urgency);
}

// A worker that waits for a key.
struct Idle {
  base::Signal* signal;
  Serves serves;
  bool woken = false;  // something came that it is to look for
};

// Who holds the workers just now.
struct Holder {
  const Lane* lane;
  const std::string* name_space;
  Health health;
};

}  // namespace

Next Next::or_earlier(const Next& other) const {
  if (other.when != When::at) return *this;
  return when != When::at || other.time < time ? other : *this;
}

Shares Shares::of(int workers) {
  constexpr int most_of_a_lane = 8;
  const int third = std::max(1, (workers + 2) / 3);
  return {std::min(third, most_of_a_lane),
          std::max(1, (workers + 1) / 2),
          third,
          std::clamp(workers - 1, 1, 2),
          2,
          std::max(most_of_a_lane, workers / 4)};
}

struct WorkQueue::State {
  State(base::Executor& executor_given, Shares shares_given)
      : executor(executor_given), shares(shares_given) {}

  base::Executor& executor;
  const Shares shares;
  base::Mutex mutex;
  Entries entries GUARDED_BY(mutex);  // its nodes do not move: all that follows points to them
  Track laneless GUARDED_BY(mutex);
  std::map<std::pair<const Lane*, std::string>, std::unique_ptr<Track>> tracks GUARDED_BY(mutex);
  std::array<std::list<Track*>, 4> turns
      GUARDED_BY(mutex);  // those with ready keys; whose turn it is comes first
  std::size_t ready GUARDED_BY(mutex) = 0;
  std::map<Ticket, Node*> delayed GUARDED_BY(mutex);
  std::map<Ticket, Track*> promises GUARDED_BY(mutex);
  std::vector<Node*> working GUARDED_BY(mutex);
  std::uint64_t arrivals GUARDED_BY(mutex) = 0;
  Urgency least GUARDED_BY(mutex) = Urgency::initial;  // that is handed out
  std::vector<Idle*> idle GUARDED_BY(mutex);           // the one that came last is woken first
  const Idle* timekeeper GUARDED_BY(mutex) =
      nullptr;  // the one of them that waits for what is due next …
  base::MonotonicTime keeps_until GUARDED_BY(mutex){};                   // … which was then
  std::vector<std::unique_ptr<base::Signal>> signals GUARDED_BY(mutex);  // that no worker uses
  base::Mutex report_mutex;

  // -- Tracks

  Track& track_of(const std::shared_ptr<Lane>& lane, const std::string& name_space)
      REQUIRES(mutex) {
    auto& track = tracks[{lane.get(), name_space}];
    if (!track) track = std::make_unique<Track>(Track{.lane = lane});
    return *track;
  }
  Node& node_of(const kube::ObjectKey& key) REQUIRES(mutex) {
    Node& node = *entries.try_emplace(key).first;
    if (node.second.track == nullptr) node.second.track = &laneless;
    return node;
  }
  void move_to(Node& node, Track& track) REQUIRES(mutex) {
    Track* const before = node.second.track;
    if (before == &track) return;
    const bool filed = node.second.ready.has_value();
    if (filed) {
      unfile(node);
      give_back(node.second);
    }
    node.second.track = &track;
    ++track.keys;
    if (filed) file(node);
    if (before != &laneless && --before->keys == 0) drop(*before, node.first.name_space);
  }
  void drop(Track& track, const std::string& name_space) REQUIRES(mutex) {
    withdraw_promise(track);
    tracks.erase({track.lane.get(), name_space});
  }
  void drop_if_idle(Node& node) REQUIRES(mutex) {
    const Entry& entry = node.second;
    if (!entry.ready && !entry.delayed && !entry.in_work && entry.failures == 0 &&
        entry.track == &laneless) {
      entries.erase(entries.find(node.first));
    }
  }

  // -- What is ready

  void file(Node& node) REQUIRES(mutex) {
    Entry& entry = node.second;
    Track& track = *entry.track;
    if (entry.wants > 0) {
      track.line.emplace(std::pair{entry.ready->urgency, *entry.in_line}, &node);
      return;
    }
    auto& keys = track.ready[index(entry.ready->urgency)];
    if (keys.empty()) turns[index(entry.ready->urgency)].push_back(&track);
    keys.emplace(entry.ready->ticket, &node);
    ++ready;
    if (entry.ready->urgency <= least) wake(entry.ready->urgency);
  }
  void unfile(Node& node) REQUIRES(mutex) {
    Entry& entry = node.second;
    Track& track = *entry.track;
    if (entry.wants > 0) {
      track.line.erase({entry.ready->urgency, *entry.in_line});
      return;
    }
    auto& keys = track.ready[index(entry.ready->urgency)];
    keys.erase(entry.ready->ticket);
    if (keys.empty()) turns[index(entry.ready->urgency)].remove(&track);
    --ready;
  }

  // `since` is when it became due, which is before now for one whose delay has run out.
  void make_ready(Node& node, base::MonotonicTime since, Urgency urgency) REQUIRES(mutex) {
    Entry& entry = node.second;
    if (entry.in_work) {
      auto& again = entry.in_work->again;
      if (!again) again = Waiting{{since, ++arrivals}, urgency};
      again->urgency = more_urgent(again->urgency, urgency);
      return;
    }
    if (entry.ready) {
      // One that waits for permits is looked at now: it may not need them any more.
      if (entry.wants == 0 && entry.ready->urgency <= urgency) return;
      unfile(node);
      entry.wants = 0;
      entry.ready->urgency = more_urgent(entry.ready->urgency, urgency);
    } else {
      entry.ready = Waiting{{since, ++arrivals}, urgency};
    }
    file(node);
  }

  // -- Permits

  void promise(Track& track, int permits, base::MonotonicTime now) REQUIRES(mutex) {
    const base::MonotonicTime time = track.lane->reserve(permits, now);
    track.promise = Track::Promise{{time, ++arrivals}, permits};
    promises.emplace(track.promise->ticket, &track);
    wake_timekeeper(track.promise->ticket.first);
  }
  void withdraw_promise(Track& track) REQUIRES(mutex) {
    if (!track.promise) return;
    track.lane->release(track.promise->permits);
    forget_promise(track);
  }
  void forget_promise(Track& track) REQUIRES(mutex) {
    promises.erase(track.promise->ticket);
    track.promise.reset();
  }
  // What was promised becomes the permits of a run that needs so many.
  void accept_promise(Track& track, int permits, base::MonotonicTime now) REQUIRES(mutex) {
    if (permits > track.promise->permits) {
      track.lane->reserve(permits - track.promise->permits, now);  // later ones wait for these
    } else {
      track.lane->release(track.promise->permits - permits);
    }
    forget_promise(track);
  }
  void grant(Track& track, base::MonotonicTime now) REQUIRES(mutex) {
    Node& node = *track.line.begin()->second;
    Entry& entry = node.second;
    const int permits = entry.wants;
    accept_promise(track, permits, now);
    unfile(node);
    entry.wants = 0;
    entry.permits = permits;
    track.granted = true;
    file(node);
  }
  // It is not the lane's any more, or not there.
  void give_back(Entry& entry) REQUIRES(mutex) {
    entry.wants = 0;
    entry.in_line.reset();
    if (entry.permits == 0) return;
    entry.track->lane->release(std::exchange(entry.permits, 0));
    entry.track->granted = false;
    next_in_line(*entry.track, executor.now());
  }

  // -- Time

  void undelay(Entry& entry) REQUIRES(mutex) {
    if (!entry.delayed) return;
    delayed.erase(entry.delayed->ticket);
    entry.delayed.reset();
  }
  void add_at(Node& node, base::MonotonicTime time, Urgency urgency) REQUIRES(mutex) {
    Entry& entry = node.second;
    if (entry.delayed) {
      time = std::min(time, entry.delayed->ticket.first);
      urgency = more_urgent(urgency, entry.delayed->urgency);
      undelay(entry);
    }
    entry.delayed = Waiting{{time, ++arrivals}, urgency};
    delayed.emplace(entry.delayed->ticket, &node);
    if (delayed.begin()->second == &node) wake_timekeeper(time);
  }
  void promote_due(base::MonotonicTime now) REQUIRES(mutex) {
    while (!delayed.empty() && delayed.begin()->first.first <= now) {
      Node& node = *delayed.begin()->second;
      const Waiting due = *node.second.delayed;
      undelay(node.second);
      make_ready(node, due.ticket.first, due.urgency);
    }
    for (auto next = promises.begin(); next != promises.end() && next->first.first <= now;) {
      Track& track = *(next++)->second;
      if (!track.line.empty() && !track.granted) grant(track, now);
    }
  }
  [[nodiscard]] base::MonotonicTime next_time(base::MonotonicTime now) const REQUIRES(mutex) {
    // An hour stands for ever: a time that every clock can represent.
    base::MonotonicTime time = now + std::chrono::hours(1);
    if (!delayed.empty()) time = std::min(time, delayed.begin()->first.first);
    // A promise that has come waits for a worker, not for a time.
    const auto next = promises.upper_bound({now, arrivals});
    if (next != promises.end()) time = std::min(time, next->first.first);
    // What is ready is held back by a lane, and a lane recovers without a word to this queue.
    if (most_urgent()) time = std::min(time, now + std::chrono::seconds(1));
    return time;
  }

  // -- Shares

  [[nodiscard]] std::vector<Holder> holders(base::MonotonicTime now) const REQUIRES(mutex) {
    std::vector<Holder> result;
    result.reserve(working.size());
    for (const Node* node : working) {
      const InWork& work = *node->second.in_work;
      if (!work.lane) continue;
      Health health = work.lane->health(now);
      // One that was not known stays in its share until it is done, unless it has answered.
      if (health == Health::failing && work.health == Health::unproven) health = work.health;
      result.push_back({work.lane.get(), &node->first.name_space, health});
    }
    return result;
  }
  [[nodiscard]] bool has_share(const Lane& lane, const std::string& name_space, Health health,
                               const std::vector<Holder>& all) const REQUIRES(mutex) {
    int of_lane = 0;
    int of_name_space = 0;
    int doubtful = 0;  // of the namespace
    int alike = 0;
    for (const Holder& holder : all) {
      const bool mine = *holder.name_space == name_space;
      of_lane += holder.lane == &lane ? 1 : 0;
      of_name_space += mine ? 1 : 0;
      doubtful += mine && holder.health != Health::answering ? 1 : 0;
      alike += holder.health == health ? 1 : 0;
    }
    if (of_name_space >= shares.name_space) return false;
    if (health == Health::answering) return of_lane < shares.lane;
    return of_lane == 0 && doubtful < shares.doubtful &&
           alike < (health == Health::failing ? shares.failing : shares.unproven);
  }

  // Whether another run that nobody waits for may begin.
  [[nodiscard]] bool has_room_for_young(base::MonotonicTime now) const REQUIRES(mutex) {
    const auto young = std::ranges::count_if(working, [now](const Node* node) {
      const InWork& work = *node->second.in_work;
      return work.taken_as >= Urgency::normal && now - work.since < youth;
    });
    return young < shares.young;
  }

  Node* pop(Serves serves, base::MonotonicTime now) REQUIRES(mutex) {
    const std::size_t last = index(serves == Serves::ledgers ? Urgency::outage : least);
    std::optional<std::vector<Holder>> all;
    for (std::size_t urgency = 0; urgency <= last; ++urgency) {
      auto& tracks_in_turn = turns[urgency];
      if (urgency == index(Urgency::normal) && !has_room_for_young(now)) return nullptr;
      for (auto turn = tracks_in_turn.begin(); turn != tracks_in_turn.end(); ++turn) {
        Track& track = **turn;
        auto& keys = track.ready[urgency];
        Node& node = *keys.begin()->second;
        Health health = Health::answering;
        if (track.lane) {
          health = track.lane->health(now);
          if (serves == Serves::ledgers && health != Health::answering) continue;
          if (!all) all = holders(now);
          if (!has_share(*track.lane, node.first.name_space, health, *all)) continue;
        }
        keys.erase(keys.begin());
        if (keys.empty()) {
          tracks_in_turn.erase(turn);
        } else {
          tracks_in_turn.splice(tracks_in_turn.end(), tracks_in_turn, turn);
        }
        --ready;
        begin(node, health, now);
        return &node;
      }
    }
    return nullptr;
  }
  void begin(Node& node, Health health, base::MonotonicTime now) REQUIRES(mutex) {
    Entry& entry = node.second;
    entry.in_work = std::make_unique<InWork>(InWork{
        now, now - entry.ready->ticket.first, entry.track->lane, health, entry.ready->urgency});
    entry.in_work->permits = std::exchange(entry.permits, 0);
    if (entry.in_work->permits > 0) {
      entry.in_line.reset();
      entry.track->granted = false;
      next_in_line(*entry.track, now);
    }
    entry.ready.reset();
    working.push_back(&node);
    undelay(entry);
  }
  void next_in_line(Track& track, base::MonotonicTime now) REQUIRES(mutex) {
    if (track.line.empty() || track.promise || track.granted) return;
    promise(track, track.line.begin()->second->second.wants, now);
  }

  // -- Workers

  [[nodiscard]] std::optional<Urgency> most_urgent() const REQUIRES(mutex) {
    for (std::size_t urgency = 0; urgency <= index(least); ++urgency) {
      if (!turns[urgency].empty()) return static_cast<Urgency>(urgency);
    }
    return std::nullopt;
  }
  void wake(Urgency urgency) REQUIRES(mutex) {
    const auto wake_one = [this](Serves serves) REQUIRES(mutex) {
      const auto found = std::find_if(idle.rbegin(), idle.rend(), [&](const Idle* each) {
        return each->serves == serves && !each->woken;
      });
      if (found == idle.rend()) return false;
      (*found)->woken = true;
      (*found)->signal->notify_all();
      return true;
    };
    // The one for ledgers may be able to take it where another is not: all are asked.
    if (urgency == Urgency::outage) wake_one(Serves::ledgers);
    wake_one(Serves::everything);
  }
  void wake_timekeeper(base::MonotonicTime time) REQUIRES(mutex) {
    if (timekeeper == nullptr || time >= keeps_until) return;
    timekeeper->signal->notify_all();
  }
  // Whoever stops waiting leaves nothing behind that only they were to look for.
  void pass_on() REQUIRES(mutex) {
    if (const auto urgency = most_urgent()) wake(*urgency);
    if (timekeeper != nullptr || idle.empty()) return;
    if (delayed.empty() && promises.empty()) return;
    if (std::ranges::any_of(idle, &Idle::woken)) return;
    idle.back()->woken = true;
    idle.back()->signal->notify_all();
  }
  void sleep(base::Lock& lock, base::MonotonicTime now, Serves serves, const std::stop_token& stop)
      REQUIRES(mutex) {
    if (signals.empty()) signals.push_back(executor.make_signal());
    std::unique_ptr<base::Signal> signal = std::move(signals.back());
    signals.pop_back();
    Stay me(*this, {signal.get(), serves});
    const base::MonotonicTime next = next_time(now);
    base::MonotonicTime until = now + std::chrono::hours(1);
    if (timekeeper == &me.idle) {
      until = keeps_until = next;
    } else {
      wake_timekeeper(next);
    }
    signal->wait_until(lock, until, stop);
    signals.push_back(std::move(signal));
  }
  // Among the idle ones.
  struct Stay {
    Stay(State& state_given, Idle idle_given) : state(state_given), idle(idle_given) {
      state.idle.push_back(&idle);
      if (state.timekeeper == nullptr) state.timekeeper = &idle;
    }
    ~Stay() {
      if (state.timekeeper == &idle) state.timekeeper = nullptr;
      std::erase(state.idle, &idle);
    }
    Stay(const Stay&) = delete;
    Stay& operator=(const Stay&) = delete;
    State& state;
    Idle idle;
  };
};

WorkQueue::WorkQueue(base::Executor& executor, base::BackoffPolicy backoff, Metrics metrics,
                     Shares shares)
    : executor_(executor),
      backoff_(backoff),
      metrics_(std::move(metrics)),
      state_(std::make_unique<State>(executor, shares)) {}

WorkQueue::~WorkQueue() = default;

void WorkQueue::add(const kube::ObjectKey& key, Urgency urgency) {
  {
    const base::Lock lock(state_->mutex);
    state_->make_ready(state_->node_of(key), executor_.now(), urgency);
  }
  report_depth();
}

void WorkQueue::add(const kube::ObjectKey& key, Urgency urgency,
                    const std::shared_ptr<Lane>& lane) {
  {
    const base::Lock lock(state_->mutex);
    Node& node = state_->node_of(key);
    state_->move_to(node, state_->track_of(lane, key.name_space));
    state_->make_ready(node, executor_.now(), urgency);
  }
  report_depth();
}

void WorkQueue::add_at(const kube::ObjectKey& key, base::MonotonicTime time, Urgency urgency) {
  const base::Lock lock(state_->mutex);
  state_->add_at(state_->node_of(key), time, urgency);
}

void WorkQueue::add_at(const kube::ObjectKey& key, base::MonotonicTime time, Urgency urgency,
                       const std::shared_ptr<Lane>& lane) {
  const base::Lock lock(state_->mutex);
  Node& node = state_->node_of(key);
  state_->move_to(node, state_->track_of(lane, key.name_space));
  state_->add_at(node, time, urgency);
}

base::Duration WorkQueue::add_after_failure(const kube::ObjectKey& key, Urgency urgency) {
  const std::uint64_t random = executor_.random();
  const base::Lock lock(state_->mutex);
  Node& node = state_->node_of(key);
  if (node.second.in_work) node.second.in_work->failed = true;
  const base::Duration delay = base::backoff_delay(backoff_, ++node.second.failures, random);
  state_->add_at(node, executor_.now() + delay, urgency);
  return delay;
}

void WorkQueue::remove(const kube::ObjectKey& key) {
  {
    const base::Lock lock(state_->mutex);
    const auto found = state_->entries.find(key);
    if (found == state_->entries.end()) return;
    Entry& entry = found->second;
    entry.failures = 0;
    state_->undelay(entry);
    // Added since it was taken: it exists again.
    if (!entry.in_work || !entry.in_work->again) {
      if (entry.ready) state_->unfile(*found);
      entry.ready.reset();
      state_->give_back(entry);
      state_->move_to(*found, state_->laneless);
      state_->drop_if_idle(*found);
    }
  }
  report_depth();
}

void WorkQueue::admit(Urgency least) {
  const base::Lock lock(state_->mutex);
  state_->least = least;
  state_->pass_on();
}

std::optional<kube::ObjectKey> WorkQueue::take(const std::stop_token& stop, Serves serves) {
  std::optional<kube::ObjectKey> key;
  base::Duration waited{};
  {
    base::Lock lock(state_->mutex);
    for (;;) {
      if (stop.stop_requested()) {
        state_->pass_on();
        return std::nullopt;
      }
      const base::MonotonicTime now = executor_.now();
      state_->promote_due(now);
      if (const Node* node = state_->pop(serves, now)) {
        key = node->first;
        waited = node->second.in_work->waited;
        break;
      }
      // What was held back may be for others to take by now.
      if (const auto urgency = state_->most_urgent(); urgency && serves == Serves::ledgers) {
        state_->wake(*urgency);
      }
      state_->sleep(lock, now, serves, stop);
    }
    state_->pass_on();
  }
  if (metrics_.started) metrics_.started(waited);
  report_depth();
  return key;
}

bool WorkQueue::reserve(const kube::ObjectKey& key, int permits, Urgency urgency) {
  const base::Lock lock(state_->mutex);
  const auto found = state_->entries.find(key);
  if (found == state_->entries.end() || !found->second.in_work) return true;
  Entry& entry = found->second;
  Track& track = *entry.track;
  InWork& work = *entry.in_work;
  // It was given to another lane meanwhile: there the calls will be a debt.
  if (!track.lane || track.lane != work.lane) return true;
  const base::MonotonicTime now = executor_.now();
  if (work.permits > 0) {
    if (permits > work.permits) track.lane->reserve(permits - work.permits, now);
    work.permits = std::max(permits, work.permits);
    return true;
  }
  if (track.line.empty() && !track.granted) {
    if (!track.promise) state_->promise(track, permits, now);
    if (track.promise->ticket.first <= now) {
      state_->accept_promise(track, permits, now);
      entry.in_line.reset();
      work.permits = permits;
      return true;
    }
  }
  work.wants = permits;
  work.urgency = urgency;
  if (!entry.in_line) entry.in_line = Ticket{now, ++state_->arrivals};
  return false;
}

void WorkQueue::done(const kube::ObjectKey& key, const Next& next) {
  switch (next.when) {
    case Next::When::changed:
      break;
    case Next::When::at:
      add_at(key, next.time, next.urgency);
      break;
    case Next::When::failed:
      add_after_failure(key, next.urgency);
      break;
    case Next::When::gone:
      remove(key);
      break;
  }
  base::Duration worked{};
  {
    const base::Lock lock(state_->mutex);
    const auto found = state_->entries.find(key);
    if (found == state_->entries.end() || !found->second.in_work) return;
    Entry& entry = found->second;
    const std::unique_ptr<const InWork> work = std::move(entry.in_work);
    worked = executor_.now() - work->since;
    std::erase(state_->working, &*found);
    if (work->permits > 0) work->lane->release(work->permits);
    if (!work->failed) entry.failures = 0;
    if (work->again) {
      state_->make_ready(*found, work->again->ticket.first, work->again->urgency);
    } else if (work->wants > 0 && entry.in_line) {
      entry.wants = work->wants;
      entry.ready = Waiting{*entry.in_line, work->urgency};
      state_->file(*found);
      state_->next_in_line(*entry.track, executor_.now());
      state_->promote_due(executor_.now());
    } else {
      entry.in_line.reset();
      state_->drop_if_idle(*found);
    }
    state_->pass_on();
  }
  if (metrics_.finished) metrics_.finished(worked);
  report_depth();
}

std::size_t WorkQueue::depth() const {
  const base::Lock lock(state_->mutex);
  return state_->ready;
}

std::map<Lane::Health, WorkQueue::LaneLoad> WorkQueue::lane_loads() const {
  std::map<Health, LaneLoad> loads{
      {Health::answering, {}}, {Health::unproven, {}}, {Health::failing, {}}};
  const base::MonotonicTime now = executor_.now();
  const base::Lock lock(state_->mutex);
  const Lane* before = nullptr;  // one lane may have tracks in several namespaces, side by side
  for (const auto& [place, track] : state_->tracks) {
    if (!track->lane) continue;
    LaneLoad& load = loads[track->lane->health(now)];
    if (track->lane.get() != std::exchange(before, track->lane.get())) ++load.lanes;
    const auto count = [&](base::MonotonicTime since) {
      ++load.waiting;
      load.oldest = std::max(load.oldest, now - since);
    };
    for (const auto& keys : track->ready) {
      for (const auto& [ticket, node] : keys) count(ticket.first);
    }
    for (const auto& [rank, node] : track->line) count(rank.second.first);
  }
  return loads;
}

// Each report reads the depth anew and they come one by one, so the last one is right.
void WorkQueue::report_depth() {
  if (!metrics_.depth) return;
  const base::Lock one_report(state_->report_mutex);
  metrics_.depth(depth());
}

}  // namespace quay_rotator::runtime
