// soak-simulated [--days=N] [--resources=N] [--seed=N]: the shipped controller over the simulated
// API server and Quay, 24 virtual days at 1,000 resources by default. Every resource rotates once
// a day; watches break, API server and Quay are away for a while, people damage Secrets and press
// buttons. Exits with 1 unless memory and queue are flat, every promise is kept and, at the end,
// the old replica holds no more memory than a fresh one.
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <malloc.h>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "kube/object.h"
#include "simulation/world.h"
#include "soak/series.h"

namespace quay_rotator::soak {
namespace {

using nlohmann::json;
using simulation::World;
using std::chrono::hours;
using std::chrono::minutes;

struct Options {
  std::size_t days = 24;
  std::size_t resources = 1000;
  std::uint64_t seed = 1;
};

constexpr double mebibyte = 1024.0 * 1024.0;

// What is allocated and not freed, of the whole process.
double allocated() {
  return static_cast<double>(mallinfo2().uordblks) / mebibyte;
}

double resident() {
  std::ifstream lines("/proc/self/status");
  for (std::string name, value; lines >> name && std::getline(lines, value);) {
    if (name == "VmRSS:") return std::stod(value) / 1024;
  }
  return 0;
}

class Soak {
 public:
  explicit Soak(const Options& options) : options_(options), world_(options.seed) {
    world_.create_connection();
    for (std::size_t i = 0; i < options_.resources; ++i) {
      const std::string number = std::to_string(i);
      keys_.push_back(world_.create_rotation({.name = "r" + number,
                                              .robot = "r" + number,
                                              .interval = "24h",
                                              .jitter = "2h",
                                              .targets = {"pull-" + number}}));
    }
    world_.start(0, replica_options());
  }

  bool run() {
    const auto began = std::chrono::steady_clock::now();
    for (std::size_t day = 1; day <= options_.days; ++day) {
      live_a_day();
      memory_.samples.push_back(allocated());
      queue_.samples.push_back(queue_length());
      resident_.samples.push_back(resident());
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
      std::printf(
          "day %2zu: %d rotations, %.1f MiB allocated, %.1f MiB resident, %.0f queued, "
          "%.0f s\n",
          day, commits(), memory_.samples.back(), resident_.samples.back(), queue_.samples.back(),
          took.count());
      std::fflush(stdout);
    }
    return verdict();
  }

 private:
  // What an election costs is not what is looked at.
  static simulation::ReplicaOptions replica_options() { return {.election_scale = 20}; }

  std::size_t any() { return world_.executor.random() % options_.resources; }

  void live_a_day() {
    world_.api.cut_watches();
    for (int i = 0; i < 10; ++i) {
      world_.quay.regenerate_in_ui("acme+r" + std::to_string(any()));
      world_.api.remove(kube::secrets, {World::name_space, "pull-" + std::to_string(any())});
      world_.rotate_now(keys_[any()]);
    }
    world_.advance(hours(6));
    world_.quay.troubles.down = true;
    world_.advance(hours(1));
    world_.quay.troubles.down = false;
    world_.advance(hours(5));
    world_.api.set_down(true);
    world_.advance(std::chrono::seconds(30));
    world_.api.set_down(false);
    world_.advance(hours(12) - std::chrono::seconds(30));
    // As an API server does: Events live for an hour, old versions for five minutes.
    for (const auto& event : world_.api.list(kube::events)) {
      const json& meta = event->at("metadata");
      world_.api.remove(kube::events, {meta.at("namespace"), meta.at("name")});
    }
    world_.api.compact();
    world_.observer.forget_trace();
    if (world_.replica(0)->dead()) throw std::runtime_error("the replica ended by itself");
  }

  int commits() {
    int count = 0;
    for (std::size_t i = 0; i < options_.resources; ++i) {
      count += world_.commits("acme+r" + std::to_string(i));
    }
    return count;
  }

  double queue_length() {
    std::istringstream lines(world_.replica(0)->metrics());
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("quay_rotator_workqueue_depth ")) {
        return std::stod(line.substr(line.rfind(' ')));
      }
    }
    throw std::runtime_error("the replica does not tell the length of its queue");
  }

  // The world remembers what happened, so its memory may grow a little; what the replica holds
  // after all those days is what goes when it goes, compared with what a fresh one takes.
  bool replica_is_lean() {
    const double with_old = allocated();
    world_.crash(0);
    const double without = allocated();
    world_.start(0, replica_options());
    world_.advance(minutes(30));
    const double old_share = with_old - without;
    const double fresh_share = allocated() - without;
    const double tolerated = fresh_share * 1.05 + 0.25;
    std::printf(
        "the replica after %zu days holds %.2f MiB, a fresh one %.2f MiB (tolerated: %.2f)\n",
        options_.days, old_share, fresh_share, tolerated);
    return old_share <= tolerated;
  }

  bool verdict() {
    world_.advance(World::time_to_settle);
    bool good = true;
    for (const auto& list : {world_.observer.unsettled(), world_.observer.violations()}) {
      for (const std::string& text : list) {
        std::cout << text << "\n";
        good = false;
      }
    }
    std::printf("\n%zu virtual days, %zu resources, %d rotations\n", options_.days,
                options_.resources, commits());
    Series::print_header();
    for (const Series* series : {&memory_, &resident_, &queue_}) {
      series->print(24.0 * static_cast<double>(options_.days));
      good = good && series->flat();
    }
    return replica_is_lean() && good;
  }

  Options options_;
  World world_;
  std::vector<kube::ObjectKey> keys_;
  Series memory_{"allocated", "MiB", 0.05, 1};
  Series resident_{"resident memory", "MiB", 0.05, 2};
  Series queue_{"queue length", "", 0.25, 5};
};

Options parse(int argc, char** argv) {
  Options options;
  for (const std::string& argument : std::vector<std::string>(argv + 1, argv + argc)) {
    const std::size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    if (equals == std::string::npos) throw std::runtime_error("unknown argument " + argument);
    const std::uint64_t value = std::stoull(argument.substr(equals + 1));
    if (name == "--days") {
      options.days = value;
    } else if (name == "--resources") {
      options.resources = value;
    } else if (name == "--seed") {
      options.seed = value;
    } else {
      throw std::runtime_error("unknown argument " + argument +
                               ", expected --days=N --resources=N --seed=N");
    }
  }
  return options;
}

}  // namespace
}  // namespace quay_rotator::soak

int main(int argc, char** argv) {
  try {
    return quay_rotator::soak::Soak(quay_rotator::soak::parse(argc, argv)).run() ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << "soak-simulated: " << error.what() << "\n";
    return 1;
  }
}
