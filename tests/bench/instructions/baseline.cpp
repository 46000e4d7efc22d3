#include "bench/instructions/baseline.h"

#include <algorithm>
#include <iomanip>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace quay_rotator::bench {

namespace {

constexpr std::uint64_t told_percent = 10;
constexpr std::uint64_t tolerated_percent = 100;
// Functions below that share of the total are not kept.
constexpr std::uint64_t smallest_share = 400;
constexpr std::size_t growers_shown = 15;
constexpr const char* name_of_total = "TOTAL";

double percent(std::uint64_t before, std::uint64_t now) {
  return before == 0 ? 100.0
                     : 100.0 * (static_cast<double>(now) / static_cast<double>(before) - 1.0);
}

void print_growers(std::ostream& out, const Count& before, const Count& now) {
  struct Grower {
    std::int64_t by;
    std::uint64_t before, now;
    std::string name;
  };
  std::vector<Grower> growers;
  for (const auto& [name, cost] : now.functions) {
    const auto found = before.functions.find(name);
    const std::uint64_t old = found == before.functions.end() ? 0 : found->second;
    if (cost > old) growers.push_back({static_cast<std::int64_t>(cost - old), old, cost, name});
  }
  std::sort(growers.begin(), growers.end(),
            [](const Grower& left, const Grower& right) { return left.by > right.by; });
  if (growers.size() > growers_shown) growers.resize(growers_shown);
  out << "  where it grew (the operator's functions with what they call, libraries' without; "
         "before 0: below a "
      << smallest_share << "th of the total):\n"
      << std::setw(14) << "more" << std::setw(14) << "before" << std::setw(14) << "now"
      << "\n";
  for (const Grower& grower : growers) {
    out << std::setw(14) << grower.by << std::setw(14) << grower.before << std::setw(14)
        << grower.now << "  " << grower.name << "\n";
  }
}

}  // namespace

Count count_of(const Profile& profile, std::uint64_t units) {
  Count count;
  count.total = profile.total() / units;
  for (const auto& [name, cost] : profile.functions()) {
    const std::uint64_t of_one = (folder_of(name).empty() ? cost.self : cost.inclusive) / units;
    if (of_one > 0 && of_one >= count.total / smallest_share) count.functions[name] = of_one;
  }
  return count;
}

Counts read_counts(std::istream& lines) {
  Counts counts;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.front() == '#') continue;
    std::istringstream fields(line);
    std::string phase;
    std::uint64_t cost = 0;
    std::string name;
    if (!std::getline(fields, phase, '\t') || !(fields >> cost) || fields.get() != '\t' ||
        !std::getline(fields, name)) {
      throw std::runtime_error("the baseline has a line that is none: " + line);
    }
    if (name == name_of_total) {
      counts[phase].total = cost;
    } else {
      counts[phase].functions[name] = cost;
    }
  }
  return counts;
}

void write_counts(std::ostream& lines, const Counts& counts) {
  for (const auto& [phase, count] : counts) {
    lines << phase << '\t' << count.total << '\t' << name_of_total << '\n';
    std::vector<std::pair<std::uint64_t, std::string>> largest;
    for (const auto& [name, cost] : count.functions) largest.emplace_back(cost, name);
    std::sort(largest.begin(), largest.end(), [](const auto& left, const auto& right) {
      return left.first != right.first ? left.first > right.first : left.second < right.second;
    });
    for (const auto& [cost, name] : largest) lines << phase << '\t' << cost << '\t' << name << '\n';
  }
}

bool compare(std::ostream& out, const Counts& before, const Counts& now) {
  bool good = true;
  out << std::left << std::setw(32) << "instructions of" << std::right << std::setw(14)
      << "baseline" << std::setw(14) << "now" << std::setw(9) << "change"
      << "\n";
  for (const auto& [phase, count] : now) {
    const auto found = before.find(phase);
    const Count old = found == before.end() ? Count{} : found->second;
    out << std::left << std::setw(32) << phase << std::right << std::setw(14) << old.total
        << std::setw(14) << count.total << std::setw(8) << std::fixed << std::setprecision(1)
        << std::showpos << percent(old.total, count.total) << std::noshowpos << "%\n";
    if (count.total * 100 > old.total * (100 + tolerated_percent)) good = false;
    if (count.total * 100 > old.total * (100 + told_percent)) {
      print_growers(out, old, count);
    } else if (count.total * 100 < old.total * (100 - told_percent)) {
      out << "  less than the baseline: `make instructions UPDATE=1` keeps it that way\n";
    }
  }
  return good;
}

}  // namespace quay_rotator::bench
