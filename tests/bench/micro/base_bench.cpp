#include <fcntl.h>
#include <string>
#include <unistd.h>

#include "base/executor.h"
#include "base/fingerprint.h"
#include "base/log_writer.h"
#include "base/secret_string.h"
#include "bench/micro/allocations.h"

namespace quay_rotator::bench {
namespace {

using base::SecretString;

// A secret's memory is not operator new's: `allocs` does not count it. Made, and wiped at its end.
void SecretMakeAndWipe(benchmark::State& state) {
  const std::string text(static_cast<std::size_t>(state.range()), 'T');
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    const SecretString secret = SecretString::copy_of(text);
    benchmark::DoNotOptimize(secret.reveal().data());
  }
  allocations.report(state);
}
BENCHMARK(SecretMakeAndWipe)->Arg(64)->Arg(64 << 10);

// A body that grows by pieces of 1 KiB to 64 KiB.
void SecretAppend(benchmark::State& state) {
  const std::string piece(1024, 'T');
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    SecretString secret;
    for (int i = 0; i < 64; ++i) secret.append(piece);
    benchmark::DoNotOptimize(secret.reveal().data());
  }
  allocations.report(state);
}
BENCHMARK(SecretAppend);

void FingerprintOfToken(benchmark::State& state) {
  const SecretString token(std::string(64, 'T'));
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(base::Fingerprint::of(token));
  }
  allocations.report(state);
}
BENCHMARK(FingerprintOfToken);

// Standard error goes nowhere while it lives.
class Silence {
 public:
  Silence() : before_(dup(STDERR_FILENO)) {
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(nowhere, STDERR_FILENO);
    close(nowhere);
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;
  ~Silence() {
    dup2(before_, STDERR_FILENO);
    close(before_);
  }

 private:
  int before_;
};

void log_line(benchmark::State& state, base::LogFormat format) {
  const Silence silence;
  const auto executor = base::make_system_executor();
  const auto sink = base::make_log_writer(base::LogLevel::info, format, *executor);
  const auto log = base::Log(*sink, base::LogLevel::info).with({{"resource", "team-a/robot-1"}});
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    log.info("rotated", {{"robot", "acme+robot-1"}, {"outage", 0.012}});
  }
  allocations.report(state);
}
void LogLineJson(benchmark::State& state) {
  log_line(state, base::LogFormat::json);
}
BENCHMARK(LogLineJson);
void LogLineText(benchmark::State& state) {
  log_line(state, base::LogFormat::text);
}
BENCHMARK(LogLineText);
// Below the level: only its fields are made.
void LogLineSilent(benchmark::State& state) {
  const auto executor = base::make_system_executor();
  const auto sink = base::make_log_writer(base::LogLevel::info, base::LogFormat::json, *executor);
  const base::Log log(*sink, base::LogLevel::info);
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    log.debug("phase", {{"resource", "team-a/robot-1"}, {"phase", "read-robot"}});
  }
  allocations.report(state);
}
BENCHMARK(LogLineSilent);

}  // namespace
}  // namespace quay_rotator::bench
