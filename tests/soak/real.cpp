// soak-real [--minutes=N]: an operator at high speed against the real API server, an hour by
// default. Its robots rotate one after the other without a pause, Secrets are deleted and damaged,
// the API server is killed now and then. Exits with 1 unless what the operator uses is flat at the
// end, no token is lost and none was regenerated without a request.
// QUAY_ROTATOR_BIN and QUAY_ROTATOR_SOURCE as for the cluster tests.
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "cluster/cluster.h"
#include "http/cpprest_transport.h"
#include "soak/series.h"
#include "torture/lane.h"

namespace quay_rotator::soak {
namespace {

using cluster::cluster;
using std::chrono::duration;
using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr std::size_t resources = 200;

double value_of(std::istream&& lines, const std::string& name) {
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(name)) return std::stod(line.substr(line.find_last_of(" \t", 99) + 1));
  }
  return 0;
}

class Soak {
 public:
  explicit Soak(minutes length) : length_(length), lane_(cluster().make_namespace(), resources) {}

  bool run() {
    lane_.kill_all();
    lane_.start(0, {.log_level = "info"});
    if (!lane_.await_right()) throw std::runtime_error("the operator does not begin");
    const auto began = steady_clock::now();
    since_ = began;
    // kube-apiserver compacts etcd from its tenth minute on. Killed sooner every time, it never
    // does, and etcd is full after 40 minutes.
    const auto restart_every = std::max<steady_clock::duration>(length_ / 4, minutes(1));
    auto next_restart = began + restart_every / 2;
    auto next_sample = began;
    auto next_damage = began;
    auto next_report = began;
    while (steady_clock::now() < began + length_ && !lane_.has_complaints()) {
      lane_.request_of_idle();
      const auto now = steady_clock::now();
      if (now >= next_sample) {
        sample();
        next_sample = now + seconds(1);
      }
      if (now >= next_damage) {
        lane_.damage_secrets();
        next_damage = now + seconds(2);
      }
      if (now >= next_restart) {
        cluster().control().post("/processes/kube-apiserver/kill");
        cluster().control().post("/processes/kube-apiserver/start");
        ++restarts_;
        next_restart = now + restart_every;
      }
      if (now >= next_report) {
        lane_.read_journal();
        std::printf(
            "%5.1f min: %d rotations, %.0f descriptors, %.0f threads, %.1f MiB, %.0f "
            "queued\n",
            duration<double>(now - began).count() / 60, lane_.rotations(),
            descriptors_.samples.back(), threads_.samples.back(), memory_.samples.back(),
            queue_.samples.back());
        std::fflush(stdout);
        next_report = now + seconds(60);
      }
      usleep(50'000);  // what asks for rotations must not be what is measured
    }
    return verdict();
  }

 private:
  void sample() {
    auto& process = lane_.replica(0);
    if (process.poll()) {
      // As the kubelet would; what it used before says nothing of what it will use.
      std::cout << "the operator ended (an API server that is away for 10 s costs the lease): "
                   "measuring anew"
                << std::endl;
      lane_.start(0, {.log_level = "info"});
      for (Series* series : {&descriptors_, &threads_, &memory_, &queue_}) series->samples.clear();
      since_ = steady_clock::now();
      ++lives_;
      return sample();
    }
    const std::string folder = "/proc/" + std::to_string(process.pid());
    const std::string status = folder + "/status";
    const std::string metrics = process.metrics();
    descriptors_.samples.push_back(value_of(std::istringstream(metrics), "process_open_fds "));
    queue_.samples.push_back(
        value_of(std::istringstream(metrics), "quay_rotator_workqueue_depth "));
    std::ifstream lines(status);
    for (std::string name, value; lines >> name && std::getline(lines, value);) {
      if (name == "Threads:") threads_.samples.push_back(std::stod(value));
      if (name == "VmRSS:") memory_.samples.push_back(std::stod(value) / 1024);
    }
  }

  bool verdict() {
    lane_.start_recovering();
    const torture::Damage damage = lane_.settle();
    const double hours = duration<double>(steady_clock::now() - since_).count() / 3600;
    std::printf(
        "\n%zu resources, %d rotations, %d restarts of the API server, %d lives of the "
        "operator: %d lost, %d extra, settled within %.1f s\n",
        resources, damage.rotations, restarts_, lives_, damage.lost, damage.extra,
        damage.recovery.count());
    bool good = damage.lost == 0 && damage.extra == 0 && damage.complaints.empty();
    for (const std::string& complaint : damage.complaints) std::cout << complaint << "\n";
    Series::print_header();
    for (const Series* series : {&descriptors_, &threads_, &memory_, &queue_}) {
      series->print(hours);
      good = good && series->flat();
    }
    return good;
  }

  minutes length_;
  torture::Lane lane_;
  steady_clock::time_point since_;
  int restarts_ = 0;
  int lives_ = 1;
  Series descriptors_{"file descriptors", "", 0, 3};
  Series threads_{"threads", "", 0, 1};
  Series memory_{"resident memory", "MiB", 0.03, 1};
  Series queue_{"queue length", "", 0.25, 5};
};

}  // namespace
}  // namespace quay_rotator::soak

int main(int argc, char** argv) {
  using namespace quay_rotator;
  http::initialize_cpprest();
  testing::InitGoogleTest(&argc, argv);  // the cluster's parts report with it
  bool good = false;
  try {
    std::chrono::minutes length(60);
    for (const std::string& argument : std::vector<std::string>(argv + 1, argv + argc)) {
      const std::string name = "--minutes=";
      if (!argument.starts_with(name)) {
        throw std::runtime_error("expected --minutes=N, not " + argument);
      }
      length = std::chrono::minutes(std::stoi(argument.substr(name.size())));
    }
    cluster::bring_up_cluster({.node = false});
    cluster::cluster().quay().put("/switches", {{"registry", ""}});
    good = soak::Soak(length).run();
  } catch (const std::exception& error) {
    std::cerr << "soak-real: " << error.what() << "\n";
  }
  cluster::take_down_cluster();
  return good ? 0 : 1;
}
