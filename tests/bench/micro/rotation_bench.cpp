// What a rotation decides and makes.
#include <chrono>

#include <nlohmann/json.hpp>

#include "api/managed_secret.h"
#include "api/status_patch.h"
#include "bench/micro/allocations.h"
#include "bench/micro/samples.h"
#include "credential/deliver.h"
#include "credential/regenerate.h"
#include "rotation/plan.h"
#include "rotation/status/after_run.h"
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
  rotation::View view{resource, now, now};
  view.targets.resize(1);
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(rotation::plan(view).why);
  }
  allocations.report(state);
}
BENCHMARK(PlanAtRest);

credential::RegenerateInput regenerate_input() {
  credential::RegenerateInput input;
  input.known.token = Fingerprint::of("old");
  input.id = "0123456789abcdef";
  input.request_deadline = seconds(30);
  return input;
}

void ProtocolOneStep(benchmark::State& state) {
  const Fingerprint old_token = Fingerprint::of("old");
  const credential::RegenerateInput input = regenerate_input();
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    credential::Regenerating regenerating(input);
    benchmark::DoNotOptimize(regenerating.resume(credential::RobotRead{old_token}));
  }
  allocations.report(state);
}
BENCHMARK(ProtocolOneStep);

void ProtocolWholeRotation(benchmark::State& state) {
  const Fingerprint old_token = Fingerprint::of("old");
  const Fingerprint new_token = Fingerprint::of("new");
  const credential::RegenerateInput input = regenerate_input();
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    credential::Regenerating regenerating(input);
    regenerating.resume(credential::RobotRead{old_token});
    regenerating.resume(credential::TargetsAnswered{});
    regenerating.resume(credential::LoggedIn{});
    regenerating.resume(credential::LedgerWritten{});
    credential::Step made = regenerating.resume(credential::Regenerated{new_token});
    credential::Delivering delivering(std::get<credential::Obtained>(std::move(made)), {});
    delivering.resume(credential::TargetsAnswered{});
    if (!std::holds_alternative<credential::Outcome>(delivering.resume(credential::LoggedIn{}))) {
      throw std::runtime_error("the delivery asks for more");
    }
  }
  allocations.report(state);
}
BENCHMARK(ProtocolWholeRotation);

// The status after a rotation, and the smallest patch that leads to it.
void StatusPatch(benchmark::State& state) {
  const api::RobotTokenRotation resource = rotation(1);
  credential::Outcome outcome;
  outcome.regenerated = true;
  outcome.clear_ledger = true;
  outcome.fingerprint = Fingerprint::of("new");
  outcome.ledger = api::Ledger{"id", "acme+robot-1", api::RotationReason::interval, {}, {}, 1, ""};
  outcome.verified = credential::Outcome::Verified::good;
  outcome.robot = "acme+robot-1";
  outcome.outage = std::chrono::milliseconds(12);
  rotation::Circumstances run;
  run.targets_total = 1;
  run.now = resource.status.next->time;
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    const auto update = rotation::after_run(resource, outcome, run);
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
  const Allocations allocations;
  const target::WriteMode mode{false, "uid", ""};
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(target::secret_manifest(
        desired.front(), mode, target::secret_data(desired.front(), "acme+robot-1", token())));
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
