// Many schedules on all cores: `simulate --seeds 1000000 --jobs 2`. A schedule that breaks a
// promise is named with the line that replays it, told, and shrunk to its fewest faults. Exit code
// 1 then, and where a fault never met a step of the protocol without a reason.
#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <new>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <CLI/CLI.hpp>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "simulation/schedule.h"

namespace quay_rotator::simulation {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t most_jobs = 64;
constexpr std::size_t most_named = 20;
// Fewer may leave out by chance what is rare.
constexpr std::uint64_t enough_for_coverage = 10'000;

struct Settings {
  std::uint64_t first = 1;
  std::uint64_t count = 500;
  double fresh_seconds = 60;
  std::size_t jobs = 2;
};

// What one job did so far: written by it alone, read by the parent while it goes on (where a number
// that is just being written does no harm) and when it has ended.
struct Tally {
  std::uint64_t schedules = 0;
  std::uint64_t running = 0;  // the seed
  std::uint64_t commits = 0;
  std::uint64_t deaths = 0;
  std::uint64_t requests = 0;
  std::uint64_t late_sends = 0;
  std::uint64_t extra_regenerations = 0;
  std::uint64_t outages_timed = 0;
  std::uint64_t requests_timed = 0;
  std::uint64_t broken = 0;
  std::array<std::uint64_t, most_named> broken_seeds{};
  Coverage coverage;

  void add(std::uint64_t seed, const Outcome& outcome) {
    commits += static_cast<std::uint64_t>(outcome.commits);
    deaths += static_cast<std::uint64_t>(outcome.deaths);
    requests += outcome.requests;
    late_sends += static_cast<std::uint64_t>(outcome.late_sends);
    extra_regenerations += static_cast<std::uint64_t>(outcome.extra_regenerations);
    outages_timed += static_cast<std::uint64_t>(outcome.outages_timed);
    requests_timed += static_cast<std::uint64_t>(outcome.requests_timed);
    coverage.add(outcome.coverage);
    if (!outcome.violations.empty()) {
      if (broken < most_named) broken_seeds.at(broken) = seed;
      ++broken;
    }
    ++schedules;
  }
  void add(const Tally& other) {
    schedules += other.schedules;
    commits += other.commits;
    deaths += other.deaths;
    requests += other.requests;
    late_sends += other.late_sends;
    extra_regenerations += other.extra_regenerations;
    outages_timed += other.outages_timed;
    requests_timed += other.requests_timed;
    coverage.add(other.coverage);
    for (std::size_t at = 0; at < std::min<std::size_t>(other.broken, most_named); ++at) {
      if (broken + at < most_named) broken_seeds.at(broken + at) = other.broken_seeds.at(at);
    }
    broken += other.broken;
  }
};

std::string replay_line(std::uint64_t seed) {
  return "replay: build/bin/simulate --replay " + std::to_string(seed);
}

int replay(std::uint64_t seed) {
  const Outcome outcome = run_schedule(seed, /*with_logs=*/true);
  for (const std::string& line : outcome.trace) std::cout << line << "\n";
  if (outcome.violations.empty()) {
    std::cout << "seed " << seed << ": every promise was kept\n";
    return 0;
  }
  const Plan fewest = shrink(draw_plan(seed));
  std::cout << "\nWith the fewest faults:\n";
  for (const Fault& fault : fewest.faults) std::cout << "  " << fault.text() << "\n";
  for (const std::string& line : run_schedule(fewest).trace) std::cout << line << "\n";
  return 1;
}

class Run {
 public:
  explicit Run(const Settings& settings)
      : settings_(settings),
        began_(Clock::now()),
        fresh_(static_cast<std::uint64_t>(
            std::chrono::system_clock::now().time_since_epoch().count())) {
    void* memory = mmap(nullptr, sizeof(Tally) * settings.jobs, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    tallies_ = static_cast<Tally*>(memory);
    for (std::size_t job = 0; job < settings.jobs; ++job) new (tallies_ + job) Tally;
  }
  ~Run() { munmap(tallies_, sizeof(Tally) * settings_.jobs); }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  int run() {
    std::cout << "seeds " << settings_.first << " to " << settings_.first + settings_.count - 1;
    if (settings_.fresh_seconds > 0) {
      std::cout << ", then fresh ones from " << fresh_ << " for " << settings_.fresh_seconds
                << " s";
    }
    std::cout << ", " << settings_.jobs << " jobs" << std::endl;
    for (std::size_t job = 0; job < settings_.jobs; ++job) {
      const pid_t child = fork();
      if (child < 0) throw std::bad_alloc();
      if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);  // no job outlives the program
        work(job);
        _exit(0);
      }
      children_.push_back(child);
    }
    bool good = watch();
    const Tally all = sum();
    std::cout << "\n" << all.coverage.table() << "\n" << summary(all) << std::endl;
    if (all.commits < all.schedules) {
      std::cout << "Too few regenerations: this tests nothing\n";
      good = false;
    }
    const std::string uncovered = all.coverage.unexplained();
    if (!uncovered.empty()) {
      std::cout << "Zero without a reason: " << uncovered << "\n";
      if (all.schedules >= enough_for_coverage) good = false;
    }
    for (std::size_t at = 0; at < std::min<std::size_t>(all.broken, 3); ++at) {
      std::cout << "\nseed " << all.broken_seeds.at(at) << "\n";
      replay(all.broken_seeds.at(at));
      std::cout << replay_line(all.broken_seeds.at(at)) << "\n";
    }
    return good && all.broken == 0 ? 0 : 1;
  }

 private:
  void work(std::size_t job) {
    Tally& tally = tallies_[job];
    const auto live = [&](std::uint64_t seed) {
      tally.running = seed;
      const Outcome outcome = run_schedule(seed);
      tally.add(seed, outcome);
      for (const std::string& violation : outcome.violations) {
        std::cout << "VIOLATION of seed " + std::to_string(seed) + ": " + violation + "; " +
                         replay_line(seed) + "\n"
                  << std::flush;
      }
    };
    for (std::uint64_t at = job; at < settings_.count; at += settings_.jobs) {
      live(settings_.first + at);
    }
    const auto end = Clock::now() + std::chrono::duration<double>(settings_.fresh_seconds);
    for (std::uint64_t seed = fresh_ + job; Clock::now() < end; seed += settings_.jobs) live(seed);
  }

  // False when a job has crashed.
  bool watch() {
    bool good = true;
    auto told = Clock::now();
    for (std::size_t left = children_.size(); left > 0;) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      for (std::size_t job = 0; job < children_.size(); ++job) {
        int status = 0;
        if (children_[job] == 0 || waitpid(children_[job], &status, WNOHANG) != children_[job]) {
          continue;
        }
        children_[job] = 0;
        --left;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
        good = false;
        std::cout << "job " << job << " has crashed at seed " << tallies_[job].running << "; "
                  << replay_line(tallies_[job].running) << std::endl;
      }
      if (Clock::now() - told < std::chrono::seconds(5)) continue;
      told = Clock::now();
      std::cout << summary(sum()) << std::endl;
    }
    return good;
  }

  [[nodiscard]] Tally sum() const {
    Tally all;
    for (std::size_t job = 0; job < settings_.jobs; ++job) all.add(tallies_[job]);
    return all;
  }

  [[nodiscard]] std::string summary(const Tally& all) const {
    const double took = std::chrono::duration<double>(Clock::now() - began_).count();
    std::array<char, 400> text{};
    const auto number = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
    std::snprintf(
        text.data(), text.size(),
        "%llu schedules, %.0f schedules/s, %llu violations (%llu regenerations, %llu "
        "deaths, %llu requests, %llu outages and %llu rotate requests timed; %llu sends of "
        "frozen processes cost %llu extra regenerations)",
        number(all.schedules), static_cast<double>(all.schedules) / took, number(all.broken),
        number(all.commits), number(all.deaths), number(all.requests), number(all.outages_timed),
        number(all.requests_timed), number(all.late_sends), number(all.extra_regenerations));
    return text.data();
  }

  const Settings settings_;
  const Clock::time_point began_;
  const std::uint64_t fresh_;
  Tally* tallies_ = nullptr;
  std::vector<pid_t> children_;
};

}  // namespace
}  // namespace quay_rotator::simulation

int main(int argc, char** argv) {
  using namespace quay_rotator::simulation;
  CLI::App app("Simulates lives of the operator under faults and checks every promise");
  Settings settings;
  std::uint64_t seed = 0;
  app.add_option("--seeds", settings.count, "How many schedules")
      ->envname("QUAY_ROTATOR_SEEDS")
      ->capture_default_str();
  app.add_option("--first", settings.first, "The first seed")->capture_default_str();
  app.add_option("--fresh", settings.fresh_seconds,
                 "Then seeds from the clock, for that many seconds")
      ->envname("QUAY_ROTATOR_FRESH_SECONDS");
  app.add_option("--jobs", settings.jobs, "Processes")
      ->check(CLI::Range(std::size_t{1}, most_jobs))
      ->capture_default_str();
  auto* one = app.add_option("--replay", seed, "Tell one schedule and shrink it if it fails");
  CLI11_PARSE(app, argc, argv);
  return one->count() > 0 ? replay(seed) : Run(settings).run();
}
