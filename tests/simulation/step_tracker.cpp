#include "simulation/step_tracker.h"

#include <algorithm>
#include <optional>

#include "api/group.h"
#include "simulation/api_objects.h"
#include "simulation/border.h"
#include "simulation/network.h"

namespace quay_rotator::simulation {

namespace {

std::string text_of(const std::vector<base::LogField>& fields, std::string_view key) {
  for (const base::LogField& field : fields) {
    if (field.key == key) return std::get<std::string>(field.value);
  }
  return "";
}

std::optional<Step> step_named(std::string_view phase, Step before) {
  if (phase == "read-robot") return Step::observe;
  if (phase == "compare" || phase == "dry-run" || phase == "login-active") return Step::preflight;
  if (phase == "login") return before == Step::publish ? Step::verify : Step::preflight;
  if (phase == "ledger") return Step::record;
  if (phase == "regenerate") return Step::regenerate;
  if (phase == "publish") return Step::publish;
  if (phase == "finish") return Step::commit;
  return std::nullopt;
}

}  // namespace

void StepTracker::write(base::LogLevel level, std::string_view message,
                        const std::vector<base::LogField>& fields) {
  const Border border(Border::Side::world);
  next_.write(level, message, fields);
  const std::string phase = text_of(fields, "phase");
  if (phase.empty()) return;
  Step& step = steps_[text_of(fields, "resource")];
  const std::optional<Step> entered = step_named(phase, step);
  if (!entered) return;
  step = *entered;
  if (on_enter) on_enter(*entered);
}

std::vector<Step> StepTracker::current() const {
  std::vector<Step> all;
  for (const auto& [resource, step] : steps_) all.push_back(step);
  if (all.empty()) all.push_back(Step::idle);
  return all;
}

Step StepTracker::furthest() const {
  return std::ranges::max(current());
}

bool StepTracker::in(Step step) const {
  return std::ranges::any_of(steps_, [&](const auto& entry) { return entry.second == step; });
}

Step StepTracker::step_of(const Message& message) const {
  const std::string_view target = message.target;
  if (target.starts_with("/v2/")) return in(Step::verify) ? Step::verify : Step::preflight;
  if (target.starts_with("/api/v1/") && target.find("/robots") != std::string_view::npos) {
    if (target.ends_with("/regenerate")) return Step::regenerate;
    return target.find("/robots/") != std::string_view::npos ? Step::observe : Step::idle;
  }
  const auto address = Address::parse(target);
  if (!address) return furthest();
  if (message.method == http::Method::patch && address->plural == kube::secrets.plural) {
    return address->option("dryRun").empty() ? Step::publish : Step::preflight;
  }
  if (message.method == http::Method::patch && address->plural == api::rotations.plural) {
    const auto found = steps_.find(address->key.text());
    return found == steps_.end() ? Step::idle : found->second;
  }
  if (address->plural == kube::events.plural) return in(Step::commit) ? Step::commit : Step::idle;
  return furthest();
}

}  // namespace quay_rotator::simulation
