#include <chrono>

#include "bench/micro/allocations.h"
#include "runtime/work_queue.h"

namespace quay_rotator::bench {
namespace {

using runtime::Urgency;
using runtime::WorkQueue;

kube::ObjectKey key(std::int64_t number) {
  return {"team-a", "robot-" + std::to_string(number)};
}

// Add, take and give back one key, beside `range` keys that are due much later.
void QueueAddTakeDone(benchmark::State& state) {
  const auto executor = base::make_system_executor();
  WorkQueue queue(*executor, {std::chrono::seconds(5), std::chrono::minutes(5)});
  const auto later = executor->now() + std::chrono::hours(24);
  for (std::int64_t i = 0; i < state.range(); ++i) queue.add_at(key(i), later, Urgency::normal);
  const kube::ObjectKey mine = key(state.range());
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    queue.add(mine, Urgency::normal);
    queue.done(*queue.take({}));
  }
  allocations.report(state);
}
BENCHMARK(QueueAddTakeDone)->Arg(0)->Arg(10'000);

// What is worked on is due again later, among `range` keys.
void QueueAddAt(benchmark::State& state) {
  const auto executor = base::make_system_executor();
  WorkQueue queue(*executor, {std::chrono::seconds(5), std::chrono::minutes(5)});
  const auto later = executor->now() + std::chrono::hours(24);
  for (std::int64_t i = 0; i < state.range(); ++i) {
    queue.add_at(key(i), later + std::chrono::seconds(i), Urgency::normal);
  }
  const kube::ObjectKey mine = key(state.range() / 2);
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    queue.add(mine, Urgency::normal);
    const auto taken = queue.take({});
    queue.add_at(*taken, later, Urgency::normal);
    queue.done(*taken);
  }
  allocations.report(state);
}
BENCHMARK(QueueAddAt)->Arg(10'000);

// 10,000 keys at once, as after a start.
void QueueBurst(benchmark::State& state) {
  const auto executor = base::make_system_executor();
  std::vector<kube::ObjectKey> keys;
  for (std::int64_t i = 0; i < state.range(); ++i) keys.push_back(key(i));
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    WorkQueue queue(*executor, {std::chrono::seconds(5), std::chrono::minutes(5)});
    for (const auto& each : keys) queue.add(each, Urgency::initial);
    for (std::size_t i = 0; i < keys.size(); ++i) queue.done(*queue.take({}));
  }
  allocations.report(state);
}
BENCHMARK(QueueBurst)->Arg(10'000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace quay_rotator::bench
