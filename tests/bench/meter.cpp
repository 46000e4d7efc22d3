#include "bench/meter.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <stdexcept>

namespace quay_rotator::bench {

namespace {

std::string printed(const char* format, double value) {
  char text[32];
  (void)std::snprintf(text, sizeof text, format, value);
  return text;
}

}  // namespace

std::chrono::nanoseconds cpu_of(pid_t process) {
  clockid_t clock{};
  timespec time{};
  if (clock_getcpuclockid(process, &clock) != 0 || clock_gettime(clock, &time) != 0) {
    throw std::runtime_error("process " + std::to_string(process) + " has ended");
  }
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

Memory memory_of(pid_t process) {
  Memory memory;
  std::ifstream lines("/proc/" + std::to_string(process) + "/status");
  for (std::string name, value; lines >> name && std::getline(lines, value);) {
    if (name == "VmRSS:") memory.resident = std::stod(value) / 1024;
    if (name == "VmHWM:") memory.peak = std::stod(value) / 1024;
  }
  return memory;
}

bool forget_peak(pid_t process) {
  std::ofstream file("/proc/" + std::to_string(process) + "/clear_refs");
  return static_cast<bool>(file << "5" << std::flush);
}

double median(std::vector<double> samples) {
  return percentile(std::move(samples), 0.5);
}

double percentile(std::vector<double> samples, double share) {
  if (samples.empty()) throw std::runtime_error("nothing was measured");
  std::ranges::sort(samples);
  const double rank = std::ceil(share * static_cast<double>(samples.size()));
  return samples[static_cast<std::size_t>(std::max(rank, 1.0)) - 1];
}

std::string in_seconds(double seconds) {
  const double size = std::abs(seconds);
  if (size >= 10) return printed("%.1f s", seconds);
  if (size >= 1) return printed("%.2f s", seconds);
  if (size >= 0.01) return printed("%.0f ms", seconds * 1e3);
  return printed("%.2f ms", seconds * 1e3);
}

std::string in_mebibytes(double mebibytes) {
  return printed("%.1f MiB", mebibytes);
}

}  // namespace quay_rotator::bench
