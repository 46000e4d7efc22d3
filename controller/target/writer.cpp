#include "target/writer.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/json.h"
#include "base/public_text.h"
#include "kube/secret_document.h"
#include "target/currency.h"
#include "target/owner.h"
#include "target/render.h"

namespace quay_rotator::target {

namespace {

constexpr std::size_t max_parallel = 16;
constexpr std::array<base::Duration, 3> retry_delays{
    std::chrono::milliseconds(50), std::chrono::milliseconds(200), std::chrono::milliseconds(800)};

// A policy may quote the object that it refuses. Dry runs carry no token; a real write does.
void withhold_quotation(Problem& problem, const DesiredSecret& desired,
                        const quay::RobotCredential& credential) {
  const auto basic = basic_credential(credential.robot, credential.token);
  const auto data = secret_data(desired, credential.robot, credential.token);
  const auto quoted = [&problem](const base::SecretString& secret) {
    return base::betrays(problem.message, secret.reveal(), base::quoted_piece);
  };
  const auto is_quoted = [&quoted](const Datum& datum) { return quoted(datum.value); };
  if (quoted(credential.token) || quoted(basic) || std::ranges::any_of(data, is_quoted)) {
    problem.message = "Secret " + desired.key.text() +
                      " was refused with a message that quotes its content and is withheld; see "
                      "the API server's audit log";
  }
}

}  // namespace

struct Writer::Order {
  const api::RobotTokenRotation& rotation;
  std::string_view user;
  const base::SecretString& token;
  bool dry_run = false;
};

Writer::Writer(kube::Client& client, runtime::Store<api::ManagedSecret>& cache,
               base::Executor& executor, base::Log log)
    : client_(client), cache_(cache), executor_(executor), log_(std::move(log)) {}

std::vector<Problem> Writer::dry_run(const api::RobotTokenRotation& rotation,
                                     const std::vector<DesiredSecret>& targets,
                                     std::string_view user, std::size_t token_size,
                                     const std::stop_token& stop) {
  const base::SecretString placeholder(std::string(token_size, 'x'));
  std::vector<const DesiredSecret*> all;
  for (const auto& target : targets) all.push_back(&target);
  std::vector<Problem> problems;
  for (auto& problem : write_all({rotation, user, placeholder, true}, all, stop)) {
    if (problem) problems.push_back(std::move(*problem));
  }
  return problems;
}

std::vector<Problem> Writer::publish(const api::RobotTokenRotation& rotation,
                                     const std::vector<DesiredSecret>& targets,
                                     const quay::RobotCredential& credential,
                                     const std::stop_token& stop) {
  const auto fingerprint = base::Fingerprint::of(credential.token);
  std::vector<const DesiredSecret*> pending;
  for (const auto& target : targets) {
    const auto cached = cache_.find(target.key);
    if (!currency(target, cached.get(), credential.robot, fingerprint).empty()) {
      pending.push_back(&target);
    }
  }

  std::map<const DesiredSecret*, Problem> problems;  // in the order of the targets
  for (auto delay = retry_delays.begin();; ++delay) {
    auto results = write_all({rotation, credential.robot, credential.token}, pending, stop);
    std::vector<const DesiredSecret*> again;
    for (std::size_t at = 0; at < pending.size(); ++at) {
      problems.erase(pending[at]);
      if (!results[at]) continue;
      if (!results[at]->permanent) again.push_back(pending[at]);
      withhold_quotation(*results[at], *pending[at], credential);
      problems.emplace(pending[at], std::move(*results[at]));
    }
    if (again.empty() || delay == retry_delays.end()) break;
    if (!executor_.sleep_for(*delay, stop)) break;
    pending = std::move(again);
  }

  std::vector<Problem> left;
  for (auto& [target, problem] : problems) left.push_back(std::move(problem));
  return left;
}

std::vector<std::optional<Problem>> Writer::write_all(
    const Order& order, const std::vector<const DesiredSecret*>& targets,
    const std::stop_token& stop) {
  std::vector<std::optional<Problem>> results(targets.size());
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t at = next++; at < targets.size(); at = next++) {
      results[at] = write(order, *targets[at], stop);
    }
  };
  // The calling thread is one of the workers.
  std::vector<std::unique_ptr<base::Thread>> threads;
  for (std::size_t count = 1; count < std::min(targets.size(), max_parallel); ++count) {
    threads.push_back(executor_.spawn("publish", [&](const std::stop_token&) { work(); }));
  }
  work();
  for (const auto& thread : threads) thread->join();
  return results;
}

std::optional<Problem> Writer::write(const Order& order, const DesiredSecret& desired,
                                     const std::stop_token& stop) {
  const auto& rotation = order.rotation;
  const auto data = secret_data(desired, order.user, order.token);

  std::optional<ExistingSecret> existing;
  const auto cached = cache_.find(desired.key);
  bool look = !cached || !knows_enough(*cached, desired);
  if (!look) existing = ExistingSecret::of(*cached, desired);

  for (bool looked_again = false;; looked_again = true) {
    std::optional<nlohmann::json> owners;  // where some of them must go first
    if (look) {
      auto answer = client_.get(kube::secrets, desired.key, stop);
      if (answer) {
        const kube::SecretDocument live(std::move(*answer));
        existing = ExistingSecret::of(live.json(), desired);
        owners = owners_to_keep(live.json(), desired.owned ? desired.owner.uid : "");
        auto secret = api::ManagedSecret::from_json(live.json());
        if (!order.dry_run && secret &&
            currency(desired, &*secret, order.user, base::Fingerprint::of(order.token)).empty()) {
          cache_.put(std::move(*secret));
          return std::nullopt;
        }
      } else if (answer.error().kind == kube::Error::Kind::not_found) {
        existing.reset();
      } else {
        return problem_of(desired.key, answer.error());
      }
    }
    auto mode = decide_write(desired, existing ? &*existing : nullptr);
    if (!mode && existing->owner.name.empty() && mode.error().reason == "NotOwned") {
      existing->managers = managers(desired, stop);
      mode = decide_write(desired, &*existing);
    }
    if (rotation.deleting && (!existing || !mode)) return std::nullopt;
    if (!mode) return mode.error();

    if (owners && !order.dry_run) {
      auto released = release(*existing, desired, std::move(*owners), stop);
      if (!released) return problem_of(desired.key, released.error());
      if (!mode->resource_version.empty()) mode->resource_version = std::move(*released);
    }
    // A Secret has one controller: a dry run cannot try ours beside a former one.
    const bool owner = !(owners && order.dry_run);
    const auto manifest = secret_manifest(desired, *mode, data, owner);
    auto answer = client_.apply(kube::secrets, desired.key, manifest,
                                {field_manager(desired.owner), mode->force, order.dry_run}, stop);
    if (answer) {
      const kube::SecretDocument written(std::move(*answer));
      if (order.dry_run) return std::nullopt;
      if (auto secret = api::ManagedSecret::from_json(written.json())) {
        cache_.put(std::move(*secret));
      }
      log_.debug("wrote a Secret", {{"secret", desired.key.text()}});
      return std::nullopt;
    }
    // Deleted, recreated or changed since we looked: look again, once.
    const auto kind = answer.error().kind;
    const bool changed =
        kind == kube::Error::Kind::conflict || kind == kube::Error::Kind::already_exists;
    if (!changed || looked_again) return problem_of(desired.key, answer.error());
    look = true;
  }
}

// Takes the owner references that do not belong there off the Secret that was looked at; its new
// resourceVersion. Apply cannot: it merges the list, and the references may be another manager's.
kube::Expected<std::string> Writer::release(const ExistingSecret& existing,
                                            const DesiredSecret& desired, nlohmann::json owners,
                                            const std::stop_token& stop) {
  const nlohmann::json patch = {{"metadata",
                                 {{"uid", existing.uid},
                                  {"resourceVersion", existing.resource_version},
                                  {"ownerReferences", std::move(owners)}}}};
  auto answer = client_.merge_patch(kube::secrets, desired.key, "", patch,
                                    field_manager(desired.owner), stop);
  if (!answer) {
    // It is gone: collected, most likely.
    auto& kind = answer.error().kind;
    if (kind == kube::Error::Kind::not_found) kind = kube::Error::Kind::conflict;
    return tl::unexpected(std::move(answer.error()));
  }
  const kube::SecretDocument patched(std::move(*answer));
  log_.info("took a former owner off a Secret", {{"secret", desired.key.text()}});
  return base::string_or(patched.json(), "metadata.resourceVersion", "").value_or("");
}

// A dry run that is not forced, and without a token, is told whose fields are in its way.
std::vector<std::string> Writer::managers(const DesiredSecret& desired,
                                          const std::stop_token& stop) {
  const auto manifest = secret_manifest(desired, {}, secret_data(desired, "", {}));
  const auto answer = client_.apply(kube::secrets, desired.key, manifest,
                                    {field_manager(desired.owner), false, true}, stop);
  return answer ? std::vector<std::string>() : managers_of(answer.error());
}

}  // namespace quay_rotator::target
