#include "runtime/reflector.h"

#include <atomic>
#include <optional>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/mutex.h"
#include "runtime/heartbeat.h"
#include "runtime/reflector_state.h"

namespace quay_rotator::runtime {

namespace {

// Long enough to cost nothing, short enough to spread over several API servers in time.
constexpr base::Duration shortest_watch = std::chrono::seconds(300);
constexpr base::Duration watch_spread = std::chrono::seconds(300);
// Bookmarks come every minute: this long a silence is a dead peer.
constexpr base::Duration idle_limit = std::chrono::seconds(150);
// Something comes, or is given up, at least every idle_limit.
constexpr base::Duration longest_silence = std::chrono::minutes(15);
// Without a word from the API server for so long, nobody knows how old the store is.
constexpr base::Duration longest_unheard = std::chrono::minutes(5);
constexpr base::Duration turn_poll = std::chrono::milliseconds(20);

}  // namespace

struct Reflector::Driver {
  const kube::Resource& resource;
  ReflectorOptions options;
  kube::Client& client;
  std::unique_ptr<StoreWriter> writer;
  base::Executor& executor;
  base::Log log;

  ReflectorState state;
  Heartbeat heartbeat{longest_silence};
  std::atomic<bool> synced = false;
  std::atomic<base::Duration::rep> heard_at = 0;  // from the API server, that all is well
  mutable base::Mutex mutex;
  std::string trouble GUARDED_BY(mutex);
  bool lost_history GUARDED_BY(mutex) = false;   // somebody has proof
  std::stop_source interrupt GUARDED_BY(mutex);  // of the watch

  void run(const std::stop_token& stop);
  void list(const ReflectorState::ListPage& action, const std::stop_token& stop);
  void check(const ReflectorState::Check& action, const std::stop_token& stop);
  void watch(const ReflectorState::Watch& action, const std::stop_token& stop);

  struct WatchOutcome {
    int events = 0;
    std::optional<int> status;           // of an ERROR event
    std::optional<kube::Error> failure;  // of a line that makes no sense
  };
  bool take_event(std::string_view line, WatchOutcome& outcome);
  void note(const nlohmann::json& object, bool deleted = false);
  void report(const base::Expected<void>& decoded) const;
  [[nodiscard]] kube::Error malformed(std::string_view verb, std::string_view what) const;
  void heard() { heard_at = executor.now().time_since_epoch().count(); }
  void set_trouble(std::string text);
  bool take_lost_history();
};

Reflector::Reflector(const kube::Resource& resource, ReflectorOptions options, kube::Client& client,
                     std::unique_ptr<StoreWriter> writer, base::Executor& executor,
                     const base::Log& log)
    : driver_(new Driver{resource,
                         std::move(options),
                         client,
                         std::move(writer),
                         executor,
                         log.with({{"kind", resource.kind}}),
                         {},
                         Heartbeat(longest_silence),
                         {},
                         {},
                         {},
                         {},
                         {},
                         {}}) {
  thread_ =
      executor.spawn("watch-" + std::string(resource.plural),
                     [driver = driver_.get()](const std::stop_token& stop) { driver->run(stop); });
}

Reflector::~Reflector() = default;  // the thread first: it stops and joins

bool Reflector::synced() const {
  const base::MonotonicTime heard_at{base::Duration(driver_->heard_at)};
  return driver_->synced && driver_->executor.now() - heard_at <= longest_unheard;
}

std::string Reflector::trouble() const {
  const base::Lock lock(driver_->mutex);
  return driver_->trouble;
}

std::string Reflector::stuck() const {
  return driver_->heartbeat.trouble(driver_->executor.now());
}

void Reflector::on_lost_history() {
  std::stop_source interrupt;
  {
    const base::Lock lock(driver_->mutex);
    driver_->lost_history = true;
    interrupt = driver_->interrupt;
  }
  interrupt.request_stop();
}

bool Reflector::Driver::take_lost_history() {
  const base::Lock lock(mutex);
  interrupt = {};
  return std::exchange(lost_history, false);
}

void Reflector::Driver::run(const std::stop_token& stop) {
  while (options.after && !options.after->synced() && options.after->trouble().empty()) {
    if (!executor.sleep_for(turn_poll, stop)) return;
  }
  while (!stop.stop_requested()) {
    heartbeat.beat(executor.now());
    const History before = state.history();
    const bool told = take_lost_history();
    if (told) state.on_lost_history();
    const ReflectorState::Action action = state.next();
    if (const auto* page = std::get_if<ReflectorState::ListPage>(&action)) {
      list(*page, stop);
    } else if (const auto* reached = std::get_if<ReflectorState::Check>(&action)) {
      check(*reached, stop);
    } else if (const auto* from = std::get_if<ReflectorState::Watch>(&action)) {
      watch(*from, stop);
    } else if (executor.sleep_for(std::get<ReflectorState::Wait>(action).delay, stop)) {
      state.on_waited();
    }
    if (before == History::goes_on && state.history() == History::went_back) {
      log.warning("the API server's history went back: everything is read anew");
      // What it was told goes no further: two would tell each other for ever.
      if (!told && options.on_lost_history) options.on_lost_history();
    }
  }
}

void Reflector::Driver::list(const ReflectorState::ListPage& action, const std::stop_token& stop) {
  kube::ListOptions query;
  query.label_selector = options.label_selector;
  query.limit = action.limit;
  query.continue_token = action.continue_token;
  if (action.first) writer->begin_snapshot(options.name_space, action.history);
  const auto page =
      client.list(resource, options.name_space, query, stop, [this](const nlohmann::json& item) {
        heartbeat.beat(executor.now());
        note(item);
        report(writer->add_to_snapshot(item));
      });
  if (stop.stop_requested()) return;
  if (!page) {
    state.on_list_error(page.error(), executor.random());
    // An expired token is no trouble: the full list that follows is what it costs.
    if (page.error().kind != kube::Error::Kind::expired) set_trouble(kube::explain(page.error()));
    return;
  }
  heard();
  state.on_page(page->resource_version, page->continue_token);
  if (!state.complete()) return;
  writer->end_snapshot(page->resource_version);
  synced = true;
  set_trouble("");
}

void Reflector::Driver::check(const ReflectorState::Check& action, const std::stop_token& stop) {
  kube::ListOptions query;
  query.label_selector = options.label_selector;
  query.limit = 1;
  query.resource_version = action.resource_version;
  query.field_selector = "metadata.name=" + action.last.key.name;
  std::optional<std::string> found;
  const auto ask = [&](kube::ListOptions::Match match) {
    query.match = match;
    found.reset();
    return client.list(resource, action.last.key.name_space, query, stop,
                       [&found](const nlohmann::json& item) {
                         found = base::string_or(item, "metadata.resourceVersion", "").value_or("");
                       });
  };
  auto page = ask(kube::ListOptions::Match::not_older);
  const std::string reached = page ? page->resource_version : "";
  // Of a version that is yet to come it may answer anything.
  if (page && !kube::proves_lost_history(action.resource_version, reached)) {
    page = ask(kube::ListOptions::Match::exact);
  }
  if (stop.stop_requested()) return;
  if (page) {
    heard();
    return state.on_checked(reached, found);
  }
  state.on_check_error(page.error(), executor.random());
  // A server that is not there yet, or has forgotten, is no trouble: the full list that follows is
  // what it costs.
  const kube::Error::Kind kind = page.error().kind;
  if (kind == kube::Error::Kind::ahead || kind == kube::Error::Kind::expired) return;
  set_trouble(kube::explain(page.error()));
}

void Reflector::Driver::watch(const ReflectorState::Watch& action, const std::stop_token& stop) {
  kube::WatchOptions query;
  query.label_selector = options.label_selector;
  query.resource_version = action.resource_version;
  query.timeout = shortest_watch + executor.random_below(watch_spread);
  query.idle_limit = idle_limit;
  const base::MonotonicTime opened = executor.now();
  WatchOutcome outcome;
  std::stop_source interrupted;
  {
    const base::Lock lock(mutex);
    interrupted = interrupt;
  }
  const std::stop_callback stopped(stop, [&interrupted] { interrupted.request_stop(); });
  const auto ended = client.watch(resource, options.name_space, query, interrupted.get_token(),
                                  [&](std::string_view line) { return take_event(line, outcome); });
  if (interrupted.stop_requested()) return;
  const base::Duration lived = executor.now() - opened;

  if (outcome.status) {
    state.on_watch_status(*outcome.status, lived, executor.random());
    if (*outcome.status != 410) {
      set_trouble("watch " + std::string(resource.plural) + ": the API server ended it with " +
                  std::to_string(*outcome.status));
    }
    return;
  }
  if (ended && !outcome.failure) {
    heard();
    state.on_watch_end(lived, outcome.events, executor.random());
    set_trouble(std::holds_alternative<ReflectorState::Wait>(state.next())
                    ? "watch " + std::string(resource.plural) + ": it ends as soon as it begins"
                    : "");
    return;
  }
  const kube::Error& error = outcome.failure ? *outcome.failure : ended.error();
  state.on_watch_error(error, lived, executor.random());
  if (error.kind != kube::Error::Kind::expired) set_trouble(kube::explain(error));
}

// False ends the watch.
bool Reflector::Driver::take_event(std::string_view line, WatchOutcome& outcome) {
  heartbeat.beat(executor.now());
  const auto event = kube::parse_object(line);
  if (!event) {
    outcome.failure = malformed("watch", "an event is " + event.error().message);
    return false;
  }
  const auto type = base::required_string(*event, "type");
  const nlohmann::json* object = base::find(*event, "object");
  if (!type || object == nullptr) {
    outcome.failure = malformed("watch", "an event without a type or an object");
    return false;
  }
  if (*type == "ERROR") {
    outcome.status = static_cast<int>(base::integer_or(*object, "code", 500).value_or(500));
    return false;
  }
  const auto version = base::required_string(*object, "metadata.resourceVersion");
  if (!version) {
    outcome.failure = malformed("watch", version.error().message);
    return false;
  }
  // First, so that a second event is not lost to an object that cannot be decoded.
  state.on_watch_version(*version);
  heard();
  ++outcome.events;
  if (*type == "ADDED" || *type == "MODIFIED") {
    note(*object);
    report(writer->upsert(*object));
  } else if (*type == "DELETED") {
    note(*object, /*deleted=*/true);
    report(writer->erase(*object));
  }  // BOOKMARK, and what a later version of Kubernetes may add: nothing but a version
  if (outcome.events == 1) set_trouble("");
  return true;
}

// What a list tells is in no order of versions; most of it is not the newest.
void Reflector::Driver::note(const nlohmann::json& object, bool deleted) {
  const nlohmann::json* version = base::find(object, "metadata.resourceVersion");
  if (version == nullptr || !version->is_string()) return;
  if (!state.is_news(version->get_ref<const std::string&>())) return;
  if (auto meta = read_meta(object)) {
    state.on_told({std::move(meta->key), std::move(meta->resource_version), deleted});
  }
}

void Reflector::Driver::report(const base::Expected<void>& decoded) const {
  if (!decoded) log.warning("cannot read an object", {{"error", decoded.error().message}});
}

kube::Error Reflector::Driver::malformed(std::string_view verb, std::string_view what) const {
  kube::Error error;
  error.kind = kube::Error::Kind::malformed;
  error.message = std::string(verb) + " " + std::string(resource.plural) + ": " + std::string(what);
  return error;
}

void Reflector::Driver::set_trouble(std::string text) {
  {
    const base::Lock lock(mutex);
    if (trouble == text) return;
    trouble = text;
  }
  // Once for each change: the same failure every 30 seconds tells nobody anything new.
  if (text.empty()) {
    log.info("reading from the API server again");
  } else {
    log.warning("cannot read from the API server", {{"error", text}});
  }
}

}  // namespace quay_rotator::runtime
