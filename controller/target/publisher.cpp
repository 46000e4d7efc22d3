#include "target/publisher.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <utility>

#include <nlohmann/json.hpp>

#include "api/group.h"
#include "base/base64.h"
#include "base/json.h"
#include "base/public_text.h"
#include "target/docker_config.h"
#include "target/secret_document.h"

namespace quay_rotator::target {

namespace {

constexpr std::size_t max_parallel = 16;
constexpr std::size_t max_field_manager = 128;
constexpr std::array<base::Duration, 3> retry_delays{
    std::chrono::milliseconds(50), std::chrono::milliseconds(200), std::chrono::milliseconds(800)};

// The digest of the labels' and annotations' names that were applied. The cache knows what a Secret
// has, not what of it is ours; without this a label that is taken out of the spec would stay on the
// Secret until its next rotation.
constexpr std::string_view applied_annotation = "quayrotator.dev/applied-metadata";

bool is_owned(const api::RobotTokenRotation& rotation) {
  return rotation.spec.deletion_policy == api::DeletionPolicy::delete_;
}

std::string digest_text(std::string_view text) {
  std::string digits(16, '0');
  std::uint64_t digest = base::digest64(text);
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit, digest >>= 4U) {
    *digit = "0123456789abcdef"[digest & 0xFU];
  }
  return digits;
}

// What `auths` holds beside the token, and in base64 once more in the Secret.
base::SecretString basic_credential(std::string_view user, const base::SecretString& token) {
  auto pair = base::SecretString::copy_of(user);
  pair.append(":");
  pair.append(token.reveal());
  return base::base64_encode(pair.reveal());
}

// A policy may quote the object that it refuses. Dry runs carry no token; a real write does.
void withhold_quotation(Problem& problem, const DesiredSecret& desired,
                        const quay::RobotCredential& credential) {
  const auto config = docker_config(desired.registries, credential.robot, credential.token);
  const auto basic = basic_credential(credential.robot, credential.token);
  const auto content = base::base64_encode(config.reveal());
  const auto quoted = [&problem](const base::SecretString& secret) {
    return base::betrays(problem.message, secret.reveal(), base::quoted_piece);
  };
  if (quoted(credential.token) || quoted(basic) || quoted(content)) {
    problem.message = "Secret " + desired.key.text() +
                      " was refused with a message that quotes its content and is withheld; see "
                      "the API server's audit log";
  }
}

}  // namespace

struct Publisher::Order {
  const api::RobotTokenRotation& rotation;
  std::string_view user;
  const base::SecretString& token;
  bool dry_run = false;
};

std::vector<DesiredSecret> desired_secrets(const api::RobotTokenRotation& rotation,
                                           const std::string& default_registry,
                                           const AllowedMetadata& allowed) {
  std::vector<DesiredSecret> all;
  for (const auto& target : rotation.spec.targets) {
    DesiredSecret desired{{rotation.meta.key.name_space, target.name},
                          target.registries,
                          target.labels,
                          target.annotations};
    const auto refused = [&](const auto& entry) { return !allowed.allows(entry.first); };
    std::erase_if(desired.labels, refused);
    std::erase_if(desired.annotations, refused);
    auto& registries = desired.registries;
    if (registries.empty()) registries.push_back(default_registry);
    std::sort(registries.begin(), registries.end());
    registries.erase(std::unique(registries.begin(), registries.end()), registries.end());

    std::string names;
    for (const auto& [key, value] : desired.labels) names += key + "\n";
    names += "\n";
    for (const auto& [key, value] : desired.annotations) names += key + "\n";
    desired.labels.insert_or_assign(std::string(api::managed_by_label),
                                    std::string(api::managed_by_value));
    desired.annotations.insert_or_assign(std::string(api::owner_annotation),
                                         rotation.meta.key.name);
    desired.annotations.insert_or_assign(std::string(applied_annotation), digest_text(names));
    all.push_back(std::move(desired));
  }
  return all;
}

bool is_current(const DesiredSecret& desired, const api::RobotTokenRotation& rotation,
                const api::ManagedSecret* cached, std::string_view user, base::Fingerprint token) {
  if (cached == nullptr || !cached->docker_config || cached->owner != rotation.meta.key.name ||
      cached->content != api::credentials_digest(desired.registries, user, token)) {
    return false;
  }
  const auto marked = [&](std::uint64_t mark) {
    return std::binary_search(cached->marks.begin(), cached->marks.end(), mark);
  };
  const bool owned = is_owned(rotation);
  return marked(api::owner_mark(rotation.meta.uid)) == owned &&
         cached->rotations == (owned ? 1 : 0) &&
         std::all_of(desired.labels.begin(), desired.labels.end(),
                     [&](const auto& label) {
                       return marked(api::label_mark(label.first, label.second));
                     }) &&
         std::all_of(desired.annotations.begin(), desired.annotations.end(),
                     [&](const auto& annotation) {
                       return marked(api::annotation_mark(annotation.first, annotation.second));
                     });
}

std::string field_manager(const api::RobotTokenRotation& rotation) {
  const auto& name = rotation.meta.key.name;
  std::string manager = "quay-rotator/" + name;
  if (manager.size() <= max_field_manager) return manager;
  const auto digest = "-" + digest_text(name);
  return manager.substr(0, max_field_manager - digest.size()) + digest;
}

base::SecretString secret_manifest(const DesiredSecret& desired,
                                   const api::RobotTokenRotation& rotation, const WriteMode& mode,
                                   const base::SecretString& docker_config, bool owner) {
  nlohmann::json metadata = {{"name", desired.key.name},
                             {"namespace", desired.key.name_space},
                             {"labels", desired.labels},
                             {"annotations", desired.annotations}};
  if (!mode.uid.empty()) metadata["uid"] = mode.uid;
  if (!mode.resource_version.empty()) metadata["resourceVersion"] = mode.resource_version;
  if (owner && is_owned(rotation)) {
    metadata["ownerReferences"] = {{{"apiVersion", api::rotations.api_version()},
                                    {"kind", api::rotations.kind},
                                    {"name", rotation.meta.key.name},
                                    {"uid", rotation.meta.uid},
                                    {"controller", true},
                                    {"blockOwnerDeletion", false}}};
  }
  const nlohmann::json open = {{"apiVersion", kube::secrets.api_version()},
                               {"kind", kube::secrets.kind},
                               {"metadata", std::move(metadata)},
                               {"type", api::docker_config_type}};
  // The content is added to the finished text, so that no JSON library gets to copy it.
  auto text = open.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  text.pop_back();
  text += ",\"data\":{\"" + std::string(api::docker_config_key) + "\":\"";
  base::SecretString manifest(std::move(text));
  manifest.append(base::base64_encode(docker_config.reveal()).reveal());
  manifest.append("\"}}");
  return manifest;
}

Publisher::Publisher(kube::Client& client, runtime::Store<api::ManagedSecret>& cache,
                     base::Executor& executor, base::Log log)
    : client_(client), cache_(cache), executor_(executor), log_(std::move(log)) {}

std::vector<Problem> Publisher::dry_run(const api::RobotTokenRotation& rotation,
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

std::vector<Problem> Publisher::publish(const api::RobotTokenRotation& rotation,
                                        const std::vector<DesiredSecret>& targets,
                                        const quay::RobotCredential& credential,
                                        const std::stop_token& stop) {
  const auto fingerprint = base::Fingerprint::of(credential.token);
  std::vector<const DesiredSecret*> pending;
  for (const auto& target : targets) {
    const auto cached = cache_.find(target.key);
    if (!is_current(target, rotation, cached.get(), credential.robot, fingerprint)) {
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

std::vector<Problem> Publisher::prune(const api::RobotTokenRotation& rotation,
                                      const std::vector<DesiredSecret>& targets,
                                      const std::stop_token& stop) {
  if (rotation.spec.deletion_policy == api::DeletionPolicy::retain) return {};
  const auto& key = rotation.meta.key;
  std::vector<kube::ObjectMeta> former;
  const auto look = [&](const api::ManagedSecret& secret) {
    if (secret.owner != key.name) return;
    const bool ours = std::binary_search(secret.marks.begin(), secret.marks.end(),
                                         api::owner_mark(rotation.meta.uid));
    const bool wanted = std::any_of(targets.begin(), targets.end(), [&](const auto& target) {
      return target.key == secret.meta.key;
    });
    if (ours && !wanted) former.push_back(secret.meta);
  };
  cache_.each(look, key.name_space);
  if (former.empty()) return {};

  // The caches of Secrets and of rotations are not of one age: what looks like a former target may
  // be a new one that another replica has just written.
  const auto live = client_.get(api::rotations, key, stop);
  if (!live) {
    // Where the rotation is gone, Kubernetes collects what it owned.
    if (live.error().kind == kube::Error::Kind::not_found) return {};
    return {problem_of(former.front().key, live.error())};
  }
  const auto uid = base::string_or(*live, "metadata.uid", "");
  const auto generation = base::integer_or(*live, "metadata.generation", 0);
  if (uid.value_or("") != rotation.meta.uid || generation.value_or(0) != rotation.generation) {
    return {};  // it has changed; the watch brings it back to us
  }

  std::vector<Problem> problems;
  for (const auto& secret : former) {
    const auto removed = client_.remove(kube::secrets, secret.key, {secret.uid, ""}, stop);
    if (removed) {
      log_.info("deleted a Secret that is no longer a target",
                {{"resource", key.text()}, {"secret", secret.key.text()}});
      cache_.erase(secret.key);
    } else if (removed.error().kind != kube::Error::Kind::conflict) {
      // A conflict: that Secret is gone and this one is somebody else's.
      problems.push_back(problem_of(secret.key, removed.error()));
    }
  }
  return problems;
}

std::vector<std::optional<Problem>> Publisher::write_all(
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

std::optional<Problem> Publisher::write(const Order& order, const DesiredSecret& desired,
                                        const std::stop_token& stop) {
  const auto& rotation = order.rotation;
  const auto& name = rotation.meta.key.name;
  const auto config = docker_config(desired.registries, order.user, order.token);
  const auto basic = basic_credential(order.user, order.token);

  std::optional<ExistingSecret> existing;
  const auto cached = cache_.find(desired.key);
  bool look = !cached || !knows_enough(*cached, name, rotation.meta.uid, is_owned(rotation));
  if (!look) existing = ExistingSecret::of(*cached, name);

  for (bool looked_again = false;; looked_again = true) {
    std::optional<nlohmann::json> owners;  // where some of them must go first
    if (look) {
      auto answer = client_.get(kube::secrets, desired.key, stop);
      if (answer) {
        const SecretDocument live(std::move(*answer));
        existing = ExistingSecret::of(live.json(), name, desired.registries);
        owners = owners_to_keep(live.json(), is_owned(rotation) ? rotation.meta.uid : "");
        auto secret = api::ManagedSecret::from_json(live.json());
        if (!order.dry_run && secret &&
            is_current(desired, rotation, &*secret, order.user,
                       base::Fingerprint::of(order.token))) {
          cache_.put(std::move(*secret));
          return std::nullopt;
        }
      } else if (answer.error().kind == kube::Error::Kind::not_found) {
        existing.reset();
      } else {
        return problem_of(desired.key, answer.error());
      }
    }
    auto mode = decide_write(desired, name, existing ? &*existing : nullptr);
    if (!mode && existing->owner.empty() && mode.error().reason == "NotOwned") {
      existing->managers = managers(order, desired, stop);
      mode = decide_write(desired, name, &*existing);
    }
    if (rotation.deleting && (!existing || !mode)) return std::nullopt;
    if (!mode) return mode.error();

    if (owners && !order.dry_run) {
      auto released = release(rotation, *existing, desired.key, std::move(*owners), stop);
      if (!released) return problem_of(desired.key, released.error());
      if (!mode->resource_version.empty()) mode->resource_version = std::move(*released);
    }
    // A Secret has one controller: a dry run cannot try ours beside a former one.
    const bool owner = !(owners && order.dry_run);
    const auto manifest = secret_manifest(desired, rotation, *mode, config, owner);
    auto answer = client_.apply(kube::secrets, desired.key, manifest,
                                {field_manager(rotation), mode->force, order.dry_run}, stop);
    if (answer) {
      const SecretDocument written(std::move(*answer));
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
kube::Expected<std::string> Publisher::release(const api::RobotTokenRotation& rotation,
                                               const ExistingSecret& existing,
                                               const kube::ObjectKey& key, nlohmann::json owners,
                                               const std::stop_token& stop) {
  const nlohmann::json patch = {{"metadata",
                                 {{"uid", existing.uid},
                                  {"resourceVersion", existing.resource_version},
                                  {"ownerReferences", std::move(owners)}}}};
  auto answer = client_.merge_patch(kube::secrets, key, "", patch, field_manager(rotation), stop);
  if (!answer) {
    // It is gone: collected, most likely.
    auto& kind = answer.error().kind;
    if (kind == kube::Error::Kind::not_found) kind = kube::Error::Kind::conflict;
    return tl::unexpected(std::move(answer.error()));
  }
  const SecretDocument patched(std::move(*answer));
  log_.info("took a former owner off a Secret", {{"secret", key.text()}});
  return base::string_or(patched.json(), "metadata.resourceVersion", "").value_or("");
}

// A dry run that is not forced, and without a token, is told whose fields are in its way.
std::vector<std::string> Publisher::managers(const Order& order, const DesiredSecret& desired,
                                             const std::stop_token& stop) {
  const auto manifest =
      secret_manifest(desired, order.rotation, {}, base::SecretString::copy_of("{\"auths\":{}}"));
  const auto answer = client_.apply(kube::secrets, desired.key, manifest,
                                    {field_manager(order.rotation), false, true}, stop);
  return answer ? std::vector<std::string>() : managers_of(answer.error());
}

}  // namespace quay_rotator::target
