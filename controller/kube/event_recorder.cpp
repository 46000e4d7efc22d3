#include "kube/event_recorder.h"

#include <utility>

#include <nlohmann/json.hpp>

namespace quay_rotator::kube {
namespace {

using namespace std::chrono_literals;

constexpr base::Duration repetition = 10min;
constexpr std::string_view controller = "quayrotator.dev/quay-rotator";
// Limits of the API server.
constexpr std::size_t max_note = 1024;
constexpr std::size_t max_instance = 128;
constexpr std::size_t max_name = 253;

// At most `most` bytes, with whole UTF-8 characters and an ellipsis when something was cut.
std::string shortened(std::string_view text, std::size_t most) {
  if (text.size() <= most) return std::string(text);
  constexpr std::string_view ellipsis = "...";
  std::size_t end = most - ellipsis.size();
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return std::string(text.substr(0, end)).append(ellipsis);
}

// Unique as client-go's names are: the object's and 16 hex digits.
std::string event_name(const std::string& object, std::uint64_t number) {
  std::string suffix(1, '.');
  for (unsigned shift = 64; shift != 0;) {
    shift -= 4;
    suffix += "0123456789abcdef"[number >> shift & 0xFU];
  }
  return object.substr(0, max_name - suffix.size()) + suffix;
}

}  // namespace

EventRecorder::EventRecorder(Client& client, base::Executor& executor, base::Log log,
                             const std::string& instance)
    : client_(client),
      executor_(executor),
      log_(std::move(log)),
      instance_(instance.substr(0, max_instance)) {}

bool EventRecorder::is_repetition(std::string key) {
  const base::MonotonicTime now = executor_.now();
  const base::Lock lock(mutex_);
  if (now >= next_sweep_) {
    std::erase_if(sent_, [now](const auto& entry) { return entry.second + repetition <= now; });
    next_sweep_ = now + repetition;
  }
  const auto [entry, is_new] = sent_.try_emplace(std::move(key), now);
  if (!is_new && now < entry->second + repetition) return true;
  entry->second = now;
  return false;
}

void EventRecorder::record(const Resource& resource, const ObjectMeta& object, EventType type,
                           std::string_view reason, std::string_view action, std::string_view note,
                           const std::stop_token& stop) {
  if (type == EventType::warning) {
    std::string key = object.key.text() + ' ' + object.uid + ' ';
    if (is_repetition(key.append(reason).append(" ").append(note))) return;
  }
  const std::string name_space = object.key.name_space.empty() ? "default" : object.key.name_space;
  nlohmann::json regarding{{"apiVersion", resource.api_version()},
                           {"kind", resource.kind},
                           {"name", object.key.name},
                           {"uid", object.uid},
                           {"resourceVersion", object.resource_version}};
  if (!object.key.name_space.empty()) regarding["namespace"] = object.key.name_space;
  const nlohmann::json event{
      {"apiVersion", events.api_version()},
      {"kind", events.kind},
      {"metadata",
       {{"namespace", name_space}, {"name", event_name(object.key.name, executor_.random())}}},
      {"eventTime", base::format_micro_time(executor_.wall_now())},
      {"type", type == EventType::normal ? "Normal" : "Warning"},
      {"reason", reason},
      {"action", action},
      {"note", shortened(note, max_note)},
      {"regarding", std::move(regarding)},
      {"reportingController", controller},
      {"reportingInstance", instance_}};
  const auto created = client_.create(events, name_space, event, stop);
  if (created || created.error().kind == Error::Kind::cancelled) return;
  log_.warning(
      "event not recorded",
      {{"resource", object.key.text()}, {"reason", reason}, {"error", explain(created.error())}});
}

}  // namespace quay_rotator::kube
