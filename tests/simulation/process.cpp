#include "simulation/process.h"

#include <algorithm>
#include <utility>

#include "base/mutex.h"
#include "simulation/border.h"

namespace quay_rotator::simulation {

class Process::ProcessSignal final : public base::Signal {
 public:
  ProcessSignal(Process& process, std::unique_ptr<base::Signal> signal)
      : process_(process), signal_(std::move(signal)) {
    process_.signals_.insert(signal_.get());
  }
  ~ProcessSignal() override { process_.signals_.erase(signal_.get()); }

  bool wait_until(base::Lock& lock, base::MonotonicTime deadline,
                  const std::stop_token& stop) override {
    const Border border(Border::Side::world);
    process_.end_if_dead();
    bool in_time = signal_->wait_until(lock, deadline, stop);
    while (process_.frozen() && !process_.dead()) {
      lock.unlock();  // for those outside who look at what it guards
      process_.thaw();
      lock.lock();
      in_time = in_time && process_.now() < deadline;
    }
    process_.end_if_dead();
    return in_time;
  }
  void notify_all() override {
    const Border border(Border::Side::world);
    signal_->notify_all();
  }

 private:
  Process& process_;
  std::unique_ptr<base::Signal> signal_;
};

Process::Process(testing::VirtualExecutor& world, base::LogSink& log)
    : steps(log), world_(world), asleep_(world.make_signal()) {}

void Process::kill() {
  dead_ = true;
  asleep_->notify_all();
  for (base::Signal* signal : signals_) signal->notify_all();
}

void Process::freeze(base::Duration duration) {
  frozen_until_ = std::max(frozen_until_, now() + duration);
}

void Process::unfreeze() {
  frozen_until_ = std::min(frozen_until_, now());
  asleep_->notify_all();
}

void Process::thaw() {
  const Border border(Border::Side::world);
  base::Mutex mine;
  base::Lock lock(mine);
  while (frozen() && !dead_) asleep_->wait_until(lock, frozen_until_, {});
  end_if_dead();
}

bool Process::sleep_until(base::MonotonicTime time, const std::stop_token& stop) {
  const Border border(Border::Side::world);
  const bool in_time = travel_until(time, stop);
  thaw();
  return in_time && !stop.stop_requested();
}

bool Process::travel_until(base::MonotonicTime time, const std::stop_token& stop) {
  end_if_dead();
  base::Mutex mine;
  base::Lock lock(mine);
  while (asleep_->wait_until(lock, time, stop)) end_if_dead();
  end_if_dead();
  return !stop.stop_requested();
}

std::unique_ptr<base::Thread> Process::spawn(std::string name,
                                             std::function<void(std::stop_token)> body) {
  const Border border(Border::Side::world);
  return world_.spawn(std::move(name), [this, run = std::move(body)](const std::stop_token& stop) {
    try {
      thaw();
      const Border inner(Border::Side::shipped);
      run(stop);
    } catch (const Killed&) {
      // That was its end.
    }
  });
}

std::unique_ptr<base::Signal> Process::make_signal() {
  const Border border(Border::Side::world);
  return std::make_unique<ProcessSignal>(*this, world_.make_signal());
}

}  // namespace quay_rotator::simulation
