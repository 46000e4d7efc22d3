// What a process of this machine has used, and what to make of many samples.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include <sys/types.h>

namespace quay_rotator::bench {

using Seconds = std::chrono::duration<double>;

// User and system time of all its threads, those that ended included. To the nanosecond, as
// /proc/PID/stat has it in hundredths of a second.
std::chrono::nanoseconds cpu_of(pid_t process);

struct Memory {
  double resident = 0;  // MiB
  double peak = 0;      // since its start, or since forget_peak()
};
// Zeros when the process has ended.
Memory memory_of(pid_t process);
// False without the right to: the peak is then still that since the start.
bool forget_peak(pid_t process);

double median(std::vector<double> samples);
// The smallest sample that `share` (0 to 1) of all do not exceed.
double percentile(std::vector<double> samples, double share);

// "1.234 s", "12.3 ms": three or four digits.
std::string in_seconds(double seconds);
std::string in_mebibytes(double mebibytes);

}  // namespace quay_rotator::bench
