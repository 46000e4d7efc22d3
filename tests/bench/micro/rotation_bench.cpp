// What a rotation decides and makes.
#include <chrono>

#include <nlohmann/json.hpp>

#include "api/managed_secret.h"
#include "api/status_patch.h"
#include "bench/micro/allocations.h"
#include "bench/micro/samples.h"
#include "rotation/plan.h"
#include "rotation/protocol.h"
#include "rotation/status.h"
#include "schedule/schedule.h"
#include "target/render.h"
#include "target/target.h"

namespace quay_rotator::bench {
namespace {

using base::Fingerprint;
using std::chrono::seconds;

void ScheduleInterval(benchmark::State& state) {
  api::RobotTokenRotation resource = rotation(1);
  resource.spec.jitter = {};
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(schedule::next_rotation(resource));
  }
  allocations.report(state);
}
BENCHMARK(ScheduleInterval);

void ScheduleJitter(benchmark::State& state) {
  const api::RobotTokenRotation resource = rotation(1);
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(schedule::next_rotation(resource));
  }
  allocations.report(state);
}
BENCHMARK(ScheduleJitter);

// A look at a resource with nothing to do.
void PlanAtRest(benchmark::State& state) {
  const api::RobotTokenRotation resource = rotation(1);
  const base::WallTime now = *resource.status.last_rotation_time + seconds(60);
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    rotation::View view{resource, now, now};
    view.targets_current = true;
    benchmark::DoNotOptimize(rotation::plan(view).why);
  }
  allocations.report(state);
}
BENCHMARK(PlanAtRest);

rotation::ProtocolInput protocol_input() {
  rotation::ProtocolInput input;
  input.goal = rotation::Goal::rotate;
  input.rotation_id = "0123456789abcdef";
  input.known = Fingerprint::of("old");
  input.request_deadline = seconds(30);
  return input;
}

void ProtocolOneStep(benchmark::State& state) {
  const Fingerprint old_token = Fingerprint::of("old");
  const rotation::ProtocolInput input = protocol_input();
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    rotation::Protocol protocol(input);
    protocol.advance(rotation::RobotRead{old_token});
    benchmark::DoNotOptimize(protocol.next());
  }
  allocations.report(state);
}
BENCHMARK(ProtocolOneStep);

void ProtocolWholeRotation(benchmark::State& state) {
  const Fingerprint old_token = Fingerprint::of("old");
  const Fingerprint new_token = Fingerprint::of("new");
  const rotation::ProtocolInput input = protocol_input();
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    rotation::Protocol protocol(input);
    protocol.advance(rotation::RobotRead{old_token});
    protocol.advance(rotation::TargetsAnswered{});
    protocol.advance(rotation::LoggedIn{});
    protocol.advance(rotation::LedgerWritten{});
    protocol.advance(rotation::Regenerated{new_token});
    protocol.advance(rotation::TargetsAnswered{});
    protocol.advance(rotation::LoggedIn{});
    if (!std::holds_alternative<rotation::Finish>(protocol.next())) {
      throw std::runtime_error("the protocol asks for more: " +
                               std::string(rotation::name(protocol.next())));
    }
  }
  allocations.report(state);
}
BENCHMARK(ProtocolWholeRotation);

// The status after a rotation, and the smallest patch that leads to it.
void StatusPatch(benchmark::State& state) {
  const api::RobotTokenRotation resource = rotation(1);
  rotation::RunResult result;
  result.report.regenerated = true;
  result.report.clear_ledger = true;
  result.report.fingerprint = Fingerprint::of("new");
  result.report.ledger = api::Ledger{"id", api::RotationReason::interval, {}, {}, 1, ""};
  result.report.verified = rotation::Report::Verified::good;
  result.robot = "acme+robot-1";
  result.targets_total = 1;
  result.outage = std::chrono::milliseconds(12);
  result.now = *resource.status.next_rotation_time;
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    const auto update = rotation::after_run(resource, result);
    benchmark::DoNotOptimize(api::status_patch(to_json(resource.status), to_json(update.status)));
  }
  allocations.report(state);
}
BENCHMARK(StatusPatch);

const base::SecretString& token() {
  static const base::SecretString text(std::string(64, 'T'));
  return text;
}

void DockerConfigMake(benchmark::State& state) {
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(target::docker_config({"quay.example.com"}, "acme+robot-1", token()));
  }
  allocations.report(state);
}
BENCHMARK(DockerConfigMake);

// The whole body of the Secret's apply.
void SecretManifest(benchmark::State& state) {
  const api::RobotTokenRotation resource = rotation(1);
  const auto desired = target::desired_secrets(resource, "quay.example.com");
  const auto config = target::docker_config({"quay.example.com"}, "acme+robot-1", token());
  const Allocations allocations;
  const target::WriteMode mode{false, "uid", ""};
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(target::secret_manifest(desired.front(), mode, config));
  }
  allocations.report(state);
}
BENCHMARK(SecretManifest);

// From a Secret's JSON to digests.
void DockerConfigRead(benchmark::State& state) {
  const auto object = kube::parse_object(secret_text(1));
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(api::ManagedSecret::from_json(*object));
  }
  allocations.report(state);
}
BENCHMARK(DockerConfigRead);

void CredentialsDigest(benchmark::State& state) {
  const Fingerprint fingerprint = Fingerprint::of(token());
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(
        api::credentials_digest({"quay.example.com"}, "acme+robot-1", fingerprint));
  }
  allocations.report(state);
}
BENCHMARK(CredentialsDigest);

}  // namespace
}  // namespace quay_rotator::bench
