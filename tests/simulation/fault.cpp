#include "simulation/fault.h"

#include <algorithm>
#include <cstdio>
#include <map>

namespace quay_rotator::simulation {

namespace {

using Kind = FaultKind;

constexpr std::array<std::string_view, step_count> step_names{
    "idle", "observe", "preflight", "record", "regenerate", "publish", "verify", "commit"};

constexpr std::array<std::string_view, fault_kind_count> kind_names{
    "api-refused",
    "api-request-lost",
    "api-answer-lost",
    "api-slow",
    "api-late-write",
    "api-too-many",
    "api-broken",
    "api-broken-after",
    "api-down",
    "watch-cut",
    "watch-mute",
    "watch-lag",
    "history-lost",
    "page-expired",
    "admission-denied",
    "quota-denied",
    "namespace-gone",
    "secret-immutable",
    "secret-wrong-type",
    "secret-damaged",
    "secret-deleted",
    "quay-refused",
    "quay-request-lost",
    "quay-answer-lost",
    "quay-slow",
    "quay-broken",
    "quay-broken-after",
    "quay-bad-gateway",
    "quay-gateway-timeout",
    "quay-rate-limited",
    "quay-unreadable",
    "quay-late-commit",
    "quay-stale-read",
    "quay-retry-after",
    "quay-down",
    "quay-read-only",
    "quay-audit-broken",
    "quay-locked",
    "quay-undecryptable",
    "quay-no-rights",
    "organization-missing",
    "robot-missing",
    "robots-disallowed",
    "owner-disabled",
    "api-token-replaced",
    "api-token-foreign",
    "ui-regenerate",
    "quay-put-back",
    "concurrent-post",
    "crash",
    "crash-after-step",
    "stop",
    "freeze",
    "freeze-before-send",
    "clock-jump",
    "everything-down",
    "rotate-now",
    "edit-targets",
    "suspend",
    "delete-rotation",
    "create-rotation",
    "quay-silent",
    "quay-trickles",
    "quay-endless-list",
    "quay-nonsense-list",
    "quay-others-robots",
    "quay-much-later",
    "registry-nonsense",
    "restored-without-status",
    "versions-back",
    "cluster-copied",
};

// To which requests a fault of a kind happens at all, and so in which steps.
struct Reach {
  std::array<bool, step_count> steps;
  std::string_view otherwise;
};

constexpr Reach reach(std::initializer_list<Step> steps, std::string_view otherwise) {
  Reach result{{}, otherwise};
  for (const Step step : steps) result.steps.at(static_cast<std::size_t>(step)) = true;
  return result;
}

constexpr Reach post_only = reach({Step::regenerate}, "it happens to the POST, made in one step");
constexpr Reach quay_requests =
    reach({Step::idle, Step::observe, Step::preflight, Step::regenerate, Step::verify},
          "the step asks Quay nothing");
constexpr Reach quay_reads = reach({Step::idle, Step::observe, Step::preflight, Step::verify},
                                   "the step reads nothing from Quay and logs in nowhere");
constexpr Reach api_token_requests =
    reach({Step::idle, Step::observe, Step::regenerate}, "the step needs no API token");
constexpr Reach secret_writes =
    reach({Step::preflight, Step::publish}, "the step writes no Secret, tried or real");
constexpr Reach posts_and_logins =
    reach({Step::preflight, Step::regenerate, Step::verify}, "the step neither POSTs nor logs in");
constexpr Reach logins = reach({Step::preflight, Step::verify}, "the step logs in nowhere");
constexpr Reach lists = reach({Step::idle}, "the step asks for no list");
constexpr Reach robot_reads = reach({Step::observe}, "the step does not read one robot");
constexpr Reach after_actions = reach({Step::observe, Step::preflight, Step::record,
                                       Step::regenerate, Step::publish, Step::verify, Step::commit},
                                      "it follows an action of the protocol, and idle has none");

const Reach* reach_of(Kind kind) {
  switch (kind) {
    case Kind::admission_denied:
    case Kind::quota_denied:
    case Kind::namespace_gone:
      return &secret_writes;
    case Kind::quay_refused:
    case Kind::quay_request_lost:
    case Kind::quay_answer_lost:
    case Kind::quay_slow:
    case Kind::quay_broken:
    case Kind::quay_bad_gateway:
    case Kind::quay_gateway_timeout:
    case Kind::quay_rate_limited:
    case Kind::quay_retry_after:
    case Kind::quay_down:
    case Kind::robot_missing:
    case Kind::quay_silent:
    case Kind::quay_trickles:
    case Kind::quay_much_later:
      return &quay_requests;
    case Kind::quay_stale_read:
      return &quay_reads;
    case Kind::quay_endless_list:
    case Kind::quay_nonsense_list:
    case Kind::quay_others_robots:
      return &lists;
    case Kind::quay_audit_broken:
    case Kind::quay_locked:
      return &posts_and_logins;
    case Kind::quay_broken_after:
    case Kind::quay_unreadable:
    case Kind::quay_late_commit:
    case Kind::quay_read_only:
    case Kind::concurrent_post:
    case Kind::freeze_before_send:
      return &post_only;
    case Kind::quay_undecryptable:
      return &robot_reads;
    case Kind::quay_no_rights:
    case Kind::organization_missing:
    case Kind::api_token_replaced:
    case Kind::api_token_foreign:
      return &api_token_requests;
    case Kind::robots_disallowed:
    case Kind::owner_disabled:
    case Kind::registry_nonsense:
      return &logins;
    case Kind::crash_after_step:
      return &after_actions;
    default:
      return nullptr;
  }
}

template <class T, std::size_t size>
std::optional<T> by_name(const std::array<std::string_view, size>& names, std::string_view name) {
  const auto* const found = std::ranges::find(names, name);
  if (found == names.end()) return std::nullopt;
  return static_cast<T>(found - names.begin());
}

std::string seconds_text(base::Duration time) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.3fs", std::chrono::duration<double>(time).count());
  return text.data();
}

}  // namespace

std::string_view name(Step step) {
  return step_names.at(static_cast<std::size_t>(step));
}

std::string_view name(FaultKind kind) {
  return kind_names.at(static_cast<std::size_t>(kind));
}

std::optional<FaultKind> fault_kind(std::string_view name) {
  return by_name<FaultKind>(kind_names, name);
}

std::optional<Step> step(std::string_view name) {
  return by_name<Step>(step_names, name);
}

std::string Fault::text() const {
  std::string line(name(kind));
  line += " at +" + seconds_text(at);
  if (step) line += " or later, on entering " + std::string(name(*step));
  line += ", for " + seconds_text(duration);
  line += ", rate " + std::to_string(static_cast<int>(rate * 100)) + " %";
  return line + ", choice " + std::to_string(choice);
}

void Coverage::add(const Coverage& other) {
  for (std::size_t kind = 0; kind < fault_kind_count; ++kind) {
    for (std::size_t step = 0; step < step_count; ++step) {
      counts_.at(kind).at(step) += other.counts_.at(kind).at(step);
    }
  }
}

std::string Coverage::table() const {
  std::array<char, 64> cell{};
  std::snprintf(cell.data(), cell.size(), "%-22s", "fault \\ step");
  std::string text = cell.data();
  for (const std::string_view step : step_names) {
    std::snprintf(cell.data(), cell.size(), "%11.*s", static_cast<int>(step.size()), step.data());
    text += cell.data();
  }
  text += "\n";
  std::map<std::string_view, char> notes;
  for (std::size_t row = 0; row < fault_kind_count; ++row) {
    const auto kind = static_cast<Kind>(row);
    std::snprintf(cell.data(), cell.size(), "%-22s", kind_names.at(row).data());
    text += cell.data();
    for (std::size_t column = 0; column < step_count; ++column) {
      const auto step = static_cast<Step>(column);
      const std::string_view reason = impossible(kind, step);
      if (count(kind, step) == 0 && !reason.empty()) {
        const char note =
            notes.emplace(reason, static_cast<char>('a' + static_cast<int>(notes.size())))
                .first->second;
        std::snprintf(cell.data(), cell.size(), "%10s%c", "-", note);
      } else {
        std::snprintf(cell.data(), cell.size(), "%11llu",
                      static_cast<unsigned long long>(count(kind, step)));
      }
      text += cell.data();
    }
    text += "\n";
  }
  for (const auto& [reason, note] : notes) {
    text += std::string("-") + note + ": never, " + std::string(reason) + "\n";
  }
  return text;
}

std::string Coverage::unexplained() const {
  std::string cells;
  for (std::size_t row = 0; row < fault_kind_count; ++row) {
    for (std::size_t column = 0; column < step_count; ++column) {
      const auto kind = static_cast<Kind>(row);
      const auto step = static_cast<Step>(column);
      if (count(kind, step) > 0 || !impossible(kind, step).empty()) continue;
      cells +=
          (cells.empty() ? "" : ", ") + std::string(name(kind)) + " x " + std::string(name(step));
    }
  }
  return cells;
}

std::string_view impossible(FaultKind kind, Step step) {
  const Reach* reach = reach_of(kind);
  if (reach == nullptr || reach->steps.at(static_cast<std::size_t>(step))) return "";
  return reach->otherwise;
}

}  // namespace quay_rotator::simulation
