#include "soak/series.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>

namespace quay_rotator::soak {

namespace {

// Of one quarter, 0 to 3.
double median(const std::vector<double>& samples, std::size_t quarter) {
  const auto at = [&](std::size_t part) {
    return samples.begin() + static_cast<std::ptrdiff_t>(samples.size() * part / 4);
  };
  std::vector<double> part(at(quarter), at(quarter + 1));
  if (part.empty()) return 0;
  const auto middle = part.begin() + static_cast<std::ptrdiff_t>(part.size() / 2);
  std::nth_element(part.begin(), middle, part.end());
  return *middle;
}

// Least squares over the last three quarters, for each sample.
double slope(const std::vector<double>& samples) {
  const std::size_t first = samples.size() / 4;
  const auto count = static_cast<double>(samples.size() - first);
  double x = 0, y = 0, xx = 0, xy = 0;
  for (std::size_t i = first; i < samples.size(); ++i) {
    const auto at = static_cast<double>(i);
    x += at;
    y += samples[i];
    xx += at * at;
    xy += at * samples[i];
  }
  const double spread = count * xx - x * x;
  return spread == 0 ? 0 : (count * xy - x * y) / spread;
}

}  // namespace

bool Series::flat() const {
  const double before = median(samples, 1);
  return samples.size() >= 8 && median(samples, 3) <= before + std::max(before * share, amount);
}

void Series::print_header() {
  std::printf("%-22s %8s %12s %12s %14s %14s\n", "measured", "samples", "2nd quarter",
              "last quarter", "slope per hour", "tolerated");
}

void Series::print(double hours) const {
  const double before = median(samples, 1);
  const double per_hour =
      hours > 0 ? slope(samples) * static_cast<double>(samples.size()) / hours : 0;
  std::printf("%-22s %8zu %12.1f %12.1f %+14.3f %+14.1f  %s%s\n", name.c_str(), samples.size(),
              before, median(samples, 3), per_hour, std::max(before * share, amount),
              flat() ? "flat" : "GROWS", (" " + unit).c_str());
}

}  // namespace quay_rotator::soak
