// bench [--sizes=10,1000,10000] [--only=SECTION,SECTION] [--quick] [--strict]: this operator,
// measured next to reference work in the same run. docs/performance.md explains the table that it
// prints. QUAY_ROTATOR_BIN and QUAY_ROTATOR_SOURCE as for the cluster tests.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/utsname.h>

#include "bench/bench.h"
#include "cluster/cluster.h"
#include "http/cpprest_transport.h"

namespace quay_rotator::bench {
namespace {

struct Section {
  const char* name;
  std::function<void(Bench&)> measure;
  // One: it depends little on the size. Large: it says nothing at a small one.
  enum class Sizes { each, one, large } sizes = Sizes::each;
};

const std::vector<Section>& sections() {
  using enum Section::Sizes;
  static const std::vector<Section> all{
      {"start", measure_start, one},          {"scale", measure_scale, each},
      {"rotations", measure_rotations, each}, {"requests", measure_requests, one},
      {"verbs", measure_verbs, one},          {"outage", measure_outage, one},
      {"recovery", measure_recovery, each},   {"load", measure_load, large},
      {"storm", measure_storm, large},        {"neighbours", measure_neighbours, one},
      {"memory", measure_memory, one}};
  return all;
}

struct Options {
  std::vector<std::size_t> sizes;
  std::vector<std::string> only;  // empty: all
  bool quick = false;
  bool strict = false;
};

std::vector<std::string> listed(const std::string& text) {
  std::vector<std::string> all;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) all.push_back(part);
  return all;
}

std::vector<std::size_t> numbers(const std::string& text) {
  std::vector<std::size_t> all;
  for (const std::string& part : listed(text)) all.push_back(std::stoull(part));
  std::ranges::sort(all);
  return all;
}

// What make passes is empty if nobody sets it.
Options parse(int argc, char** argv) {
  Options options;
  for (const std::string& argument : std::vector<std::string>(argv + 1, argv + argc)) {
    const std::size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    const bool on = value.empty() == (equals == std::string::npos) && value != "0" && value != "no";
    if (name == "--quick") {
      options.quick = on;
    } else if (name == "--strict") {
      options.strict = on;
    } else if (name == "--only") {
      options.only = listed(value);
    } else if (name == "--sizes") {
      options.sizes = numbers(value);
    } else {
      throw std::runtime_error("unknown argument " + argument +
                               ", expected --sizes=N,N --only=SECTION,SECTION --quick --strict");
    }
  }
  if (options.sizes.empty()) {
    options.sizes = options.quick ? std::vector<std::size_t>{10, 1000}
                                  : std::vector<std::size_t>{10, 1000, 10000};
  }
  for (const std::string& only : options.only) {
    if (std::ranges::count(sections(), only, &Section::name) == 0) {
      throw std::runtime_error("there is no section " + only);
    }
  }
  return options;
}

std::string machine() {
  std::ifstream lines("/proc/cpuinfo");
  std::string model = "unknown CPU";
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("model name")) model = line.substr(line.find(':') + 2);
  }
  utsname system{};
  uname(&system);
  const auto commit = cluster::run_program(
      {"git", "-C", cluster::cluster().source("."), "describe", "--always", "--dirty"});
  return std::to_string(std::thread::hardware_concurrency()) + " cores, " + model + ", Linux " +
         system.release + (commit.code == 0 ? ", commit " + commit.output : "\n");
}

// Where a section measures that does so once: at the largest of up to a thousand.
std::size_t common_size(const std::vector<std::size_t>& sizes) {
  std::size_t chosen = sizes.front();
  for (const std::size_t size : sizes) chosen = size <= 1000 ? size : chosen;
  return chosen;
}

std::size_t run(const Options& options) {
  const std::string where = machine();  // now: the sources may change while it runs
  Table table;
  Population population(options.sizes.back());
  cluster::AuditLog audit(cluster::cluster().value("auditLog"));
  Bench bench{table, population, audit, options.quick};
  const std::size_t common = common_size(options.sizes);
  for (const std::size_t size : options.sizes) {
    const std::size_t before = population.size();
    const auto began = std::chrono::steady_clock::now();
    population.create_up_to(size);
    Table::note("\n" + std::to_string(size) + " resources, made in " +
                in_seconds(Seconds(std::chrono::steady_clock::now() - began).count()));
    adopt(bench, before);
    for (const Section& section : sections()) {
      if (!options.only.empty() && std::ranges::count(options.only, section.name) == 0) continue;
      if (section.sizes == Section::Sizes::one && size != common) continue;
      if (section.sizes == Section::Sizes::large && size < common) continue;
      section.measure(bench);
    }
  }
  std::cout << "\n";
  table.print_markdown();
  std::cout << "\n" << where;
  if (table.missed() != 0) std::cout << table.missed() << " goals MISSED\n";
  return table.missed();
}

}  // namespace
}  // namespace quay_rotator::bench

int main(int argc, char** argv) {
  using namespace quay_rotator;
  http::initialize_cpprest();
  testing::InitGoogleTest(&argc, argv);  // the cluster's parts report with it
  bool good = false;
  try {
    const auto options = bench::parse(argc, argv);
    cluster::bring_up_cluster({.node = false});
    good = bench::run(options) == 0 || !options.strict;
  } catch (const std::exception& error) {
    std::cerr << "bench: " << error.what() << "\n";
  }
  cluster::take_down_cluster();
  return good ? 0 : 1;
}
