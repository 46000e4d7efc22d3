// torture [--runs=N] [--seed=N] [--lanes=N] [--only=TEXT] [--quick]
//
// Every disaster N times (with --quick those that are over in less than a minute and that no
// cluster test has) against the real API server, Quay's simulator and operators as processes; then
// a table of what it did. Exits with 1 unless nothing was lost and nothing done twice.
// QUAY_ROTATOR_BIN and QUAY_ROTATOR_SOURCE as for the cluster tests.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <iostream>
#include <memory>
#include <mutex>
#include <queue>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "cluster/cluster.h"
#include "http/cpprest_transport.h"
#include "torture/disasters.h"
#include "torture/etcd.h"
#include "torture/lane.h"

namespace quay_rotator::torture {
namespace {

using cluster::cluster;

struct Options {
  std::uint64_t runs = 1;
  std::uint64_t seed = 0;
  std::uint64_t lanes = 8;
  std::string only;
  bool quick = false;
};

struct Tally {
  std::string name;
  std::uint64_t runs = 0;
  int rotations = 0;
  int lost = 0;
  int extra = 0;
  bool may_regenerate_again = false;
  bool failed = false;
  std::chrono::duration<double> worst{};

  void add(const Damage& damage) {
    rotations += damage.rotations;
    lost += damage.lost;
    extra += damage.extra;
    worst = std::max(worst, damage.recovery);
    failed = failed || damage.lost > 0 || (damage.extra > 0 && !may_regenerate_again) ||
             !damage.complaints.empty();
  }
  void print() const {
    std::printf("%-36s %6llu %10d %6d %6d%s %9.1f s%s\n", name.c_str(),
                static_cast<unsigned long long>(runs), rotations, lost, extra,
                may_regenerate_again ? "*" : " ", worst.count(), failed ? "  FAILED" : "");
    std::fflush(stdout);
  }
  static void print_header() {
    std::printf("%-36s %6s %10s %6s %6s  %11s\n", "disaster", "runs", "rotations", "lost", "extra",
                "worst");
  }
};

// A lane and the thread that all its operators are started by: they die with it.
class LaneThread {
 public:
  LaneThread() : thread_([this](const std::stop_token& stop) { work(stop); }) {}
  ~LaneThread() {
    (void)post([this] { lane.reset(); });
    thread_.request_stop();
    changed_.notify_all();
  }
  std::future<void> post(std::function<void()> job) {
    std::packaged_task<void()> task(std::move(job));
    auto done = task.get_future();
    const std::lock_guard lock(mutex_);
    jobs_.push(std::move(task));
    changed_.notify_all();
    return done;
  }
  std::unique_ptr<Lane> lane;

 private:
  void work(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (changed_.wait(lock, stop, [this] { return !jobs_.empty(); }) || !jobs_.empty()) {
      auto job = std::move(jobs_.front());
      jobs_.pop();
      lock.unlock();
      job();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::queue<std::packaged_task<void()>> jobs_;
  std::jthread thread_;
};

class Torture {
 public:
  explicit Torture(Options options) : options_(std::move(options)) {
    // Then it tells its own address as the realm of the registry, which is the proxy's.
    cluster().quay().put("/switches", {{"registry", ""}});
    std::vector<std::future<void>> made;
    for (std::uint64_t i = 0; i < options_.lanes; ++i) {
      lanes_.push_back(std::make_unique<LaneThread>());
      std::string name = cluster().make_namespace();
      made.push_back(lanes_.back()->post([thread = lanes_.back().get(), name = std::move(name)] {
        thread->lane = std::make_unique<Lane>(name, 4);
      }));
    }
    for (auto& done : made) done.get();
  }

  bool run() {
    std::vector<Trial> trials;
    for (std::uint64_t number = 0; const Disaster& disaster : disasters()) {
      ++number;
      if (disaster.name.find(options_.only) == std::string::npos) continue;
      if (options_.quick && !disaster.left_out.empty()) {
        std::cout << "left out, as " << disaster.left_out << ": " << disaster.name << std::endl;
        continue;
      }
      Trial trial{.disaster = disaster};
      trial.tally.name = disaster.name;
      trial.tally.may_regenerate_again = disaster.may_regenerate_again;
      std::seed_seq{options_.seed, number}.generate(&trial.seed, &trial.seed + 1);
      trials.push_back(std::move(trial));
    }
    Tally::print_header();
    run_apart(trials);
    for (Trial& trial : trials) {
      if (trial.disaster.break_all) run_together(trial);
    }
    return report(trials);
  }

 private:
  struct Trial {
    Disaster disaster;
    Tally tally{};
    std::uint32_t seed = 0;
    std::uint64_t begun = 0;

    [[nodiscard]] std::uint64_t seed_of(std::uint64_t run) const {
      return (std::uint64_t{seed} << 32U) + run;
    }
  };

  // Whichever lane is free takes the next run.
  void run_apart(std::vector<Trial>& trials) {
    std::mutex mutex;
    const auto next = [&]() -> std::pair<Trial*, std::uint64_t> {
      const std::lock_guard lock(mutex);
      for (Trial& trial : trials) {
        if (trial.disaster.break_all || trial.begun == options_.runs) continue;
        return {&trial, trial.begun++};
      }
      return {nullptr, 0};
    };
    each_lane([&](Lane& lane) {
      for (auto [trial, run] = next(); trial != nullptr; std::tie(trial, run) = next()) {
        lane.seed(trial->seed_of(run));
        trial->disaster.strike(lane);
        lane.start_recovering();
        const Damage damage = lane.settle();
        const std::lock_guard lock(mutex);
        end_run(*trial, lane, run, damage);
        if (++trial->tally.runs % 20 == 0) etcd_.compact();
        if (trial->tally.runs == options_.runs) trial->tally.print();
      }
    });
  }

  void run_together(Trial& trial) {
    const Disaster& disaster = trial.disaster;
    for (std::uint64_t run = 0; run < options_.runs; ++run) {
      each_lane([&](Lane& lane) {
        lane.seed(trial.seed_of(run));
        disaster.strike(lane);
      });
      disaster.break_all(etcd_);
      if (disaster.meanwhile) each_lane(disaster.meanwhile);
      disaster.mend_all(etcd_);
      each_lane([&](Lane& lane) {
        lane.start_recovering();
        if (disaster.after) disaster.after(lane);
      });
      std::mutex mutex;
      each_lane([&](Lane& lane) {
        const Damage damage = lane.settle();
        const std::lock_guard lock(mutex);
        end_run(trial, lane, run, damage);
      });
      ++trial.tally.runs;
      etcd_.compact();
    }
    trial.tally.print();
  }

  void each_lane(const std::function<void(Lane&)>& act) {
    std::vector<std::future<void>> done;
    for (const auto& thread : lanes_) {
      done.push_back(thread->post([&, lane = thread->lane.get()] { act(*lane); }));
    }
    for (auto& each : done) each.get();
  }

  // Tells what went wrong, with the logs of those who did it; a lane starts anew after that.
  void end_run(Trial& trial, Lane& lane, std::uint64_t run, const Damage& damage) const {
    const Disaster& disaster = trial.disaster;
    trial.tally.add(damage);
    const bool failed = damage.lost > 0 || !damage.complaints.empty() ||
                        (damage.extra > 0 && !disaster.may_regenerate_again);
    if (failed) {
      const std::string folder = cluster().program("../torture/" + disaster.name);
      std::filesystem::create_directories(folder);
      std::cout << disaster.name << ", run " << run << ", " << lane.name_space() << ": "
                << damage.lost << " lost, " << damage.extra
                << " extra; again with --seed=" << options_.seed << " --only='" << disaster.name
                << "'\n";
      for (const std::string& complaint : damage.complaints) std::cout << "  " << complaint << "\n";
      for (const std::string& log : lane.logs()) {
        const auto name = std::filesystem::path(log).filename();
        std::filesystem::copy_file(log, folder / name,
                                   std::filesystem::copy_options::overwrite_existing);
        std::cout << "  log: " << (folder / name).string() << "\n";
      }
      lane.kill_all();
    }
    lane.forget_logs();
  }

  [[nodiscard]] bool report(const std::vector<Trial>& trials) const {
    std::cout << "\nseed " << options_.seed << "; lost: Secrets without Quay's token once all is "
              << "calm; extra: regenerations in Quay's journal that nobody asked for (*: a frozen "
              << "leader may cost one); worst: time until everything was right again\n";
    Tally::print_header();
    Tally total{.name = "all", .may_regenerate_again = true};
    for (const Trial& trial : trials) {
      const Tally& tally = trial.tally;
      tally.print();
      total.runs += tally.runs;
      total.rotations += tally.rotations;
      total.lost += tally.lost;
      total.extra += tally.extra;
      total.failed = total.failed || tally.failed;
      total.worst = std::max(total.worst, tally.worst);
    }
    total.print();
    return !total.failed && !trials.empty();
  }

  Options options_;
  std::vector<std::unique_ptr<LaneThread>> lanes_;
  Etcd etcd_{cluster().value("etcd")};
};

Options parse(int argc, char** argv) {
  Options options;
  const char* seed = std::getenv("SEED");
  options.seed = seed != nullptr && *seed != 0 ? std::stoull(seed) : std::random_device{}();
  for (const std::string& argument : std::vector<std::string>(argv + 1, argv + argc)) {
    const std::size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    if (argument == "--quick") {
      options.quick = true;
      continue;
    }
    if (equals != std::string::npos && value.empty())
      continue;  // what make passes if nobody sets it
    if (name == "--runs") {
      options.runs = std::stoull(value);
    } else if (name == "--seed") {
      options.seed = std::stoull(value);
    } else if (name == "--lanes") {
      options.lanes = std::stoull(value);
    } else if (name == "--only") {
      options.only = value;
    } else {
      throw std::runtime_error("unknown argument " + argument +
                               ", expected --runs=N --seed=N --lanes=N --only=TEXT --quick");
    }
  }
  return options;
}

}  // namespace
}  // namespace quay_rotator::torture

int main(int argc, char** argv) {
  using namespace quay_rotator;
  http::initialize_cpprest();
  testing::InitGoogleTest(&argc, argv);  // the cluster's parts report with it
  bool good = false;
  try {
    const auto options = torture::parse(argc, argv);
    std::printf("seed %llu\n", static_cast<unsigned long long>(options.seed));
    cluster::bring_up_cluster(
        {.node = false, .environment = {"--etcd-quota=" + std::to_string(torture::etcd_quota)}});
    good = torture::Torture(options).run();
  } catch (const std::exception& error) {
    std::cerr << "torture: " << error.what() << "\n";
  }
  cluster::take_down_cluster();
  return good ? 0 : 1;
}
