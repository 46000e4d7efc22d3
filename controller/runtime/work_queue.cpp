#include "runtime/work_queue.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace quay_rotator::runtime {

namespace {

// Ties in time are broken by order of arrival: the same calls give the same order in every run.
using Ticket = std::pair<base::MonotonicTime, std::uint64_t>;

struct Waiting {
  Ticket ticket;
  Urgency urgency = Urgency::normal;
};

// At most one of `ready` and `in_work` is set.
struct Entry {
  std::optional<Waiting> ready;  // since ticket.first
  std::optional<Waiting> delayed;
  std::optional<Waiting> again;  // added while in work
  std::optional<base::MonotonicTime> in_work;
  int failures = 0;
};

using Entries = std::unordered_map<kube::ObjectKey, Entry>;

Urgency more_urgent(Urgency left, Urgency right) {
  return std::min(left, right);
}

}  // namespace

struct WorkQueue::State {
  explicit State(base::Executor& executor) : signal(executor.make_signal()) {}

  std::mutex mutex;
  std::unique_ptr<base::Signal> signal;
  Entries entries;  // its nodes do not move: the maps below point to them
  std::array<std::map<Ticket, Entries::value_type*>, 4> ready;
  std::map<Ticket, Entries::value_type*> delayed;
  std::uint64_t arrivals = 0;
  Urgency least = Urgency::initial;  // that is handed out
  std::mutex report_mutex;

  std::map<Ticket, Entries::value_type*>& ready_of(Urgency urgency) {
    return ready[static_cast<std::size_t>(urgency)];
  }
  [[nodiscard]] std::size_t depth() const {
    std::size_t all = 0;
    for (const auto& keys : ready) all += keys.size();
    return all;
  }

  void undelay(Entry& entry) {
    if (!entry.delayed) return;
    delayed.erase(entry.delayed->ticket);
    entry.delayed.reset();
  }
  void drop_if_idle(Entries::value_type& node) {
    const Entry& entry = node.second;
    if (!entry.ready && !entry.delayed && !entry.in_work && entry.failures == 0) {
      entries.erase(entries.find(node.first));
    }
  }

  // `since` is when it became due, which is before now for one whose delay has run out.
  void make_ready(Entries::value_type& node, base::MonotonicTime since, Urgency urgency) {
    Entry& entry = node.second;
    auto& place = entry.in_work ? entry.again : entry.ready;
    if (!place) {
      place = Waiting{{since, ++arrivals}, urgency};
    } else {
      if (place->urgency <= urgency) return;
      if (!entry.in_work) ready_of(place->urgency).erase(place->ticket);
      place->urgency = urgency;
    }
    if (!entry.in_work) ready_of(urgency).emplace(place->ticket, &node);
    signal->notify_all();
  }

  void promote_due(base::MonotonicTime now) {
    while (!delayed.empty() && delayed.begin()->first.first <= now) {
      Entries::value_type& node = *delayed.begin()->second;
      const Waiting due = *node.second.delayed;
      undelay(node.second);
      make_ready(node, due.ticket.first, due.urgency);
    }
  }

  Entries::value_type* pop() {
    for (std::size_t urgency = 0; urgency <= static_cast<std::size_t>(least); ++urgency) {
      auto& keys = ready[urgency];
      if (!keys.empty()) return keys.extract(keys.begin()).mapped();
    }
    return nullptr;
  }

  void add_at(const kube::ObjectKey& key, base::MonotonicTime time, Urgency urgency) {
    Entries::value_type& node = *entries.try_emplace(key).first;
    Entry& entry = node.second;
    if (entry.delayed) {
      time = std::min(time, entry.delayed->ticket.first);
      urgency = more_urgent(urgency, entry.delayed->urgency);
      undelay(entry);
    }
    entry.delayed = Waiting{{time, ++arrivals}, urgency};
    delayed.emplace(entry.delayed->ticket, &node);
    // Workers sleep until the earliest time there was.
    if (delayed.begin()->second == &node) signal->notify_all();
  }
};

WorkQueue::WorkQueue(base::Executor& executor, base::BackoffPolicy backoff, Metrics metrics)
    : executor_(executor),
      backoff_(backoff),
      metrics_(std::move(metrics)),
      state_(std::make_unique<State>(executor)) {}

WorkQueue::~WorkQueue() = default;

void WorkQueue::add(const kube::ObjectKey& key, Urgency urgency) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->make_ready(*state_->entries.try_emplace(key).first, executor_.now(), urgency);
  }
  report_depth();
}

void WorkQueue::add_at(const kube::ObjectKey& key, base::MonotonicTime time, Urgency urgency) {
  const std::lock_guard lock(state_->mutex);
  state_->add_at(key, time, urgency);
}

base::Duration WorkQueue::add_after_failure(const kube::ObjectKey& key, Urgency urgency) {
  const std::uint64_t random = executor_.random();
  const std::lock_guard lock(state_->mutex);
  const int failures = ++state_->entries[key].failures;
  const base::Duration delay = base::backoff_delay(backoff_, failures, random);
  state_->add_at(key, executor_.now() + delay, urgency);
  return delay;
}

void WorkQueue::forget(const kube::ObjectKey& key) {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->entries.find(key);
  if (found == state_->entries.end()) return;
  found->second.failures = 0;
  state_->drop_if_idle(*found);
}

void WorkQueue::remove(const kube::ObjectKey& key) {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->entries.find(key);
  if (found == state_->entries.end()) return;
  found->second.failures = 0;
  state_->undelay(found->second);
  state_->drop_if_idle(*found);
}

void WorkQueue::admit(Urgency least) {
  const std::lock_guard lock(state_->mutex);
  state_->least = least;
  state_->signal->notify_all();
}

std::optional<kube::ObjectKey> WorkQueue::take(const std::stop_token& stop) {
  std::optional<kube::ObjectKey> key;
  base::Duration waited{};
  {
    std::unique_lock lock(state_->mutex);
    while (true) {
      if (stop.stop_requested()) return std::nullopt;
      const base::MonotonicTime now = executor_.now();
      state_->promote_due(now);
      if (Entries::value_type* node = state_->pop()) {
        Entry& entry = node->second;
        waited = now - entry.ready->ticket.first;
        entry.ready.reset();
        entry.in_work = now;
        state_->undelay(entry);
        key = node->first;
        break;
      }
      // An hour stands for ever: a time that every clock can represent.
      const base::MonotonicTime until = state_->delayed.empty()
                                            ? now + std::chrono::hours(1)
                                            : state_->delayed.begin()->first.first;
      state_->signal->wait_until(lock, until, stop);
    }
  }
  if (metrics_.started) metrics_.started(waited);
  report_depth();
  return key;
}

void WorkQueue::done(const kube::ObjectKey& key) {
  base::Duration worked{};
  {
    const std::lock_guard lock(state_->mutex);
    const auto found = state_->entries.find(key);
    if (found == state_->entries.end() || !found->second.in_work) return;
    Entry& entry = found->second;
    worked = executor_.now() - *entry.in_work;
    entry.in_work.reset();
    if (const auto again = std::exchange(entry.again, std::nullopt)) {
      state_->make_ready(*found, again->ticket.first, again->urgency);
    } else {
      state_->drop_if_idle(*found);
    }
  }
  if (metrics_.finished) metrics_.finished(worked);
  report_depth();
}

std::size_t WorkQueue::depth() const {
  const std::lock_guard lock(state_->mutex);
  return state_->depth();
}

// Each report reads the depth anew and they come one by one, so the last one is right.
void WorkQueue::report_depth() {
  if (!metrics_.depth) return;
  const std::lock_guard one_report(state_->report_mutex);
  metrics_.depth(depth());
}

}  // namespace quay_rotator::runtime
