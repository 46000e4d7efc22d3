// An Executor without threads: time passes where somebody sleeps, and what is spawned runs at once,
// to its end, in the thread that spawns it. For a target that drives a loop of the program: the
// target calls stop() when it has nothing more to say.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "base/executor.h"
#include "base/mutex.h"

namespace quay_rotator::fuzz {

class InlineExecutor final : public base::Executor {
 public:
  void stop() { stop_.request_stop(); }

  [[nodiscard]] base::MonotonicTime now() const override { return start + passed_; }
  [[nodiscard]] base::WallTime wall_now() const override {
    return wall_start + std::chrono::floor<base::WallTime::duration>(passed_);
  }
  // Half of the range, always: what is drawn does not matter to a parser.
  [[nodiscard]] std::uint64_t random() override { return std::uint64_t{1} << 63U; }
  bool sleep_until(base::MonotonicTime time, const std::stop_token& stop) override {
    if (stop.stop_requested()) return false;
    if (time > now()) passed_ = time - start;
    return true;
  }
  [[nodiscard]] std::unique_ptr<base::Thread> spawn(
      std::string /*name*/, std::function<void(std::stop_token)> body) override {
    body(stop_.get_token());
    return std::make_unique<EndedThread>();
  }
  [[nodiscard]] std::unique_ptr<base::Signal> make_signal() override {
    return std::make_unique<NobodyWaits>();
  }

 private:
  class EndedThread final : public base::Thread {
   public:
    void request_stop() override {}
    void join() override {}
  };
  class NobodyWaits final : public base::Signal {
   public:
    bool wait_until(base::Lock& /*lock*/, base::MonotonicTime /*deadline*/,
                    const std::stop_token& /*stop*/) override {
      return false;
    }
    void notify_all() override {}
  };

  static constexpr base::MonotonicTime start{std::chrono::hours{1}};
  static constexpr base::WallTime wall_start{std::chrono::seconds{1'772'366'400}};  // 2026-03-01
  base::Duration passed_{};
  std::stop_source stop_;
};

}  // namespace quay_rotator::fuzz
