// operator-instructions [--resources=N] [--rotations=N] [--idle-minutes=N]: lives of the shipped
// operator in the simulated world, to be run by callgrind (run.sh), which counts what is on the
// operator's side of the border. One dump for each phase, named for it:
//   start      a replica starts where N resources are in order: list, decode, the first look
//   rotations  that many of them are rotated, one after the other
//   idle       nothing happens: watches, the lease, Quay's list every ten minutes
// Without callgrind it runs the same and tells how often.
#include <chrono>
#include <cstdio>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include <valgrind/callgrind.h>

#include "simulation/border.h"
#include "simulation/world.h"

namespace quay_rotator::bench {
namespace {

using simulation::World;
using std::chrono::minutes;
using std::chrono::seconds;

struct Options {
  std::size_t resources = 1000;
  std::size_t rotations = 20;
  int idle_minutes = 10;
};

class Life {
 public:
  explicit Life(const Options& options) : options_(options) {
    // Whoever checks each change takes a time that grows with the number of resources.
    world_.api.on_change = {};
    world_.api.on_request = {};
    world_.api.on_dry_run = {};
    world_.quay.on_regenerate = {};
    world_.quay.on_commit = {};
    world_.quay.on_request = {};
    world_.create_connection();
    for (std::size_t i = 0; i < options_.resources; ++i) {
      const std::string number = std::to_string(i);
      keys_.push_back(world_.create_rotation({.name = "r" + number,
                                              .robot = "r" + number,
                                              .interval = "720h",
                                              .jitter = "10m",
                                              .targets = {"pull-" + number}}));
    }
    world_.start(0, {.leader_elect = false});
    world_.advance(minutes(10));
    expect_settled();
    world_.crash(0);
  }

  void live() {
    // Instrumented from here on, which takes ten times as long.
    CALLGRIND_START_INSTRUMENTATION;
    // Without an election, which would be counted by the time that passes.
    phase("start", [&] {
      world_.start(0, {.leader_elect = false});
      world_.advance(minutes(1));
    });
    expect_commits(0);
    phase("rotations", [&] {
      for (std::size_t i = 0; i < options_.rotations; ++i) {
        world_.rotate_now(keys_.at(i));
        world_.advance(seconds(2));
      }
    });
    expect_commits(static_cast<int>(options_.rotations));
    world_.crash(0);
    world_.start(0);
    world_.advance(minutes(5));
    phase("idle", [&] { world_.advance(minutes(options_.idle_minutes)); });
    CALLGRIND_STOP_INSTRUMENTATION;
    expect_commits(static_cast<int>(options_.rotations));
    expect_settled();
  }

 private:
  template <class Body>
  void phase(const char* name, const Body& body) {
    CALLGRIND_DUMP_STATS_AT("before");  // in place of ZERO_STATS, which upsets calls under way
    const std::uint64_t before = world_.api.requests();
    const std::uint64_t quay_before = world_.quay.requests();
    body();
    CALLGRIND_DUMP_STATS_AT(name);
    std::printf("%s: %llu requests to the API server, %llu to Quay\n", name,
                static_cast<unsigned long long>(world_.api.requests() - before),
                static_cast<unsigned long long>(world_.quay.requests() - quay_before));
  }

  void expect_commits(int wanted) {
    int commits = 0;
    for (std::size_t i = 0; i < options_.resources; ++i) {
      commits += world_.commits("acme+r" + std::to_string(i));
    }
    if (commits != wanted) {
      throw std::runtime_error(std::to_string(commits) + " rotations instead of " +
                               std::to_string(wanted));
    }
  }

  void expect_settled() {
    for (std::size_t i = 0; i < options_.resources; ++i) {
      const std::string number = std::to_string(i);
      if (world_.token_in("pull-" + number) != world_.quay.token("acme+r" + number)) {
        throw std::runtime_error("pull-" + number + " does not hold the robot's token");
      }
    }
  }

  Options options_;
  World world_{1, testing::make_threads};
  std::vector<kube::ObjectKey> keys_;
};

Options parse(int argc, char** argv) {
  Options options;
  for (const std::string& argument : std::vector<std::string>(argv + 1, argv + argc)) {
    const std::size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    const int value = equals == std::string::npos ? 0 : std::stoi(argument.substr(equals + 1));
    if (value <= 0) throw std::runtime_error("expected --NAME=NUMBER, not " + argument);
    if (name == "--resources") {
      options.resources = static_cast<std::size_t>(value);
    } else if (name == "--rotations") {
      options.rotations = static_cast<std::size_t>(value);
    } else if (name == "--idle-minutes") {
      options.idle_minutes = value;
    } else {
      throw std::runtime_error("unknown argument " + argument);
    }
  }
  return options;
}

}  // namespace
}  // namespace quay_rotator::bench

int main(int argc, char** argv) {
  using quay_rotator::simulation::Border;
  try {
    Border::on_cross = [] { CALLGRIND_TOGGLE_COLLECT; };
    quay_rotator::bench::Life(quay_rotator::bench::parse(argc, argv)).live();
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "operator-instructions: " << error.what() << "\n";
    return 1;
  }
}
