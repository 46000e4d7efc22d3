// instructions --baseline=FILE [--update] [--where] PHASE=UNITS:DUMP…
// Compares callgrind's dumps with the baseline, or writes that; exits with 1 when a phase has grown
// to more than the double. --where: tells where the instructions of each phase went.
#include <algorithm>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/instructions/baseline.h"
#include "bench/instructions/profile.h"

namespace quay_rotator::bench {
namespace {

constexpr std::size_t functions_shown = 25;

void print_table(const char* title, const std::map<std::string, std::uint64_t>& costs,
                 std::uint64_t total, std::uint64_t units) {
  std::vector<std::pair<std::uint64_t, std::string>> rows;
  for (const auto& [name, cost] : costs) rows.emplace_back(cost, name);
  std::sort(rows.rbegin(), rows.rend());
  if (rows.size() > functions_shown) rows.resize(functions_shown);
  std::cout << "\n| " << title << " | instructions | share |\n|---|--:|--:|\n";
  for (const auto& [cost, name] : rows) {
    std::cout << "| " << name << " | " << cost / units << " | " << std::fixed
              << std::setprecision(1)
              << 100.0 * static_cast<double>(cost) / static_cast<double>(total) << " % |\n";
  }
}

void print_where(const std::string& phase, const Profile& profile, std::uint64_t units) {
  std::cout << "\n" << phase << ": " << profile.total() / units << " instructions\n";
  print_table("folder, with the libraries that it calls", profile.by_folder(), profile.total(),
              units);
  print_table("kind of code", profile.by_kind(), profile.total(), units);
  std::map<std::string, std::uint64_t> inclusive;
  for (const auto& [name, cost] : profile.functions()) {
    if (!folder_of(name).empty()) inclusive[name] = cost.inclusive;
  }
  print_table("function of the operator, with all that it calls", inclusive, profile.total(),
              units);
}

int run(const std::vector<std::string>& arguments) {
  std::string baseline;
  bool update = false;
  bool where = false;
  Counts counts;
  for (const std::string& argument : arguments) {
    const std::size_t equals = argument.find('=');
    const std::size_t colon = argument.find(':', equals == std::string::npos ? 0 : equals);
    if (argument == "--update") {
      update = true;
    } else if (argument == "--where") {
      where = true;
    } else if (argument.starts_with("--baseline=")) {
      baseline = argument.substr(equals + 1);
    } else if (equals != std::string::npos && colon != std::string::npos) {
      const std::string phase = argument.substr(0, equals);
      const std::uint64_t units = std::stoull(argument.substr(equals + 1));
      std::ifstream lines(argument.substr(colon + 1));
      if (!lines || units == 0) throw std::runtime_error("cannot read " + argument);
      const Profile profile = Profile::read(lines);
      counts[phase] = count_of(profile, units);
      if (where) print_where(phase, profile, units);
    } else {
      throw std::runtime_error("unknown argument " + argument);
    }
  }
  if (where) return 0;
  if (update) {
    std::ofstream file(baseline);
    file << "# Written by `make instructions UPDATE=1`: what callgrind counts, for each phase the "
            "total and\n# the functions that matter. See docs/performance.md.\n";
    write_counts(file, counts);
    if (!file.flush()) throw std::runtime_error("cannot write " + baseline);
    std::cout << "wrote " << baseline << "\n";
    return 0;
  }
  std::ifstream file(baseline);
  if (!file) throw std::runtime_error("cannot read " + baseline);
  return compare(std::cout, read_counts(file), counts) ? 0 : 1;
}

}  // namespace
}  // namespace quay_rotator::bench

int main(int argc, char** argv) {
  try {
    return quay_rotator::bench::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << "instructions: " << error.what() << "\n";
    return 1;
  }
}
