#include "simulation/schedule.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "api/group.h"
#include "base/mutex.h"

namespace quay_rotator::simulation {

namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using Kind = FaultKind;

constexpr base::Duration longest_lease = minutes(7);
// Of a life; most have a few hundred. Who asks without a pause would make the life endless.
constexpr std::uint64_t most_requests = 60'000;

// The actions of the driver that end a step: see rotation::StepHook.
bool ends(std::string_view action, Step step) {
  switch (step) {
    case Step::idle:
      return false;
    case Step::observe:
      return action == "read-robot";
    case Step::preflight:
      return action == "dry-run" || action == "login";
    case Step::record:
      return action == "ledger" || action == "before-regenerate";
    case Step::regenerate:
      return action == "regenerate";
    case Step::publish:
      return action == "publish";
    case Step::verify:
      return action == "login";
    case Step::commit:
      return action == "commit" || action == "event";
  }
  return false;
}

class Life {
 public:
  Life(const Plan& plan, bool with_logs)
      : plan_(plan), world_(plan.seed), changed_(world_.executor.make_signal()) {
    world_.observer.trace_logs(with_logs);
    for (const Fault& fault : plan_.faults) {
      states_.push_back({&fault});
      states_.back().quay = fault.choice % plan_.quays;
      saves_ = saves_ || fault.kind == Kind::versions_back;
    }
    options_.workers = plan_.workers;
    options_.leader_elect = plan_.leader_elect;
    options_.election_scale = plan_.election_scale;
    options_.regenerate_hold = plan_.hold;
    world_.on_enter = [this](Step step, Process& process) { on_enter(step, process); };
  }

  Outcome run() {
    set_up();
    const base::MonotonicTime end = began_ + plan_.length;
    while (!storms() && step_until(end)) {
    }
    settle();
    if (storms()) world_.observer.violate("I8 somebody asks without a pause");
    outcome_.violations = world_.observer.violations();
    outcome_.trace = world_.observer.trace();
    outcome_.requests = requests();
    outcome_.coverage = world_.coverage;
    outcome_.late_sends = world_.observer.late_sends();
    outcome_.extra_regenerations = world_.observer.extra_regenerations();
    outcome_.outages_timed = world_.observer.outages_timed();
    outcome_.requests_timed = world_.observer.requests_timed();
    outcome_.posts_of_copies = world_.observer.posts_of_copies();
    for (const auto& [quay, robot] : robots_) outcome_.commits += quay->commits(robot);
    return std::move(outcome_);
  }

 private:
  struct State {
    const Fault* fault;
    enum class Phase { waiting, armed, active, over } phase = Phase::waiting;
    base::MonotonicTime until{};
    std::size_t victim = 0;  // a replica
    std::size_t quay = 0;    // which one it happens to, if to any
    std::string subject{};   // a robot
    kube::ObjectKey secret{};
    std::string name_space{};
  };

  std::uint64_t requests() const {
    std::uint64_t count = world_.api.requests();
    for (const auto& quay : world_.quays) count += quay->requests();
    return count;
  }
  bool storms() const { return requests() > most_requests; }

  void note(const std::string& text) { world_.observer.note(text); }

  void set_up() {
    while (world_.quays.size() < plan_.quays) world_.add_quay();
    for (const auto& quay : world_.quays) {
      quay->hold = plan_.hold;
      quay->longest_lag = plan_.longest_lag;
    }
    for (const ConnectionOptions& connection : plan_.connections) {
      world_.create_connection(connection);
    }
    for (std::size_t number = 0; number < plan_.at_start; ++number) add_rotation();
    began_ = world_.executor.now();
    for (std::size_t replica = 0; replica < plan_.replicas; ++replica) start(replica);
    note(std::to_string(plan_.replicas) + " replicas" +
         (plan_.leader_elect ? "" : ", all of which lead"));
  }

  // Begins and ends what is due, then lets time pass until something is again. False at the end.
  bool step_until(base::MonotonicTime end) {
    const base::MonotonicTime now = world_.executor.now();
    base::MonotonicTime next = end;
    for (State& state : states_) {
      if (state.phase == State::Phase::waiting && began_ + state.fault->at <= now) {
        if (state.fault->step) {
          state.phase = State::Phase::armed;
        } else {
          begin(state);
        }
      }
      if (state.phase == State::Phase::active && state.until <= now) finish(state);
      if (state.phase == State::Phase::waiting) next = std::min(next, began_ + state.fault->at);
      if (state.phase == State::Phase::active) next = std::min(next, state.until);
    }
    restart_the_dead();
    if (now >= end) return false;
    base::Mutex mine;
    base::Lock lock(mine);
    changed_->wait_until(lock, std::min(next, now + minutes(1)), {});
    while (!entered_.empty()) {
      State& state = *std::exchange(entered_.back(), nullptr);
      entered_.pop_back();
      if (state.phase == State::Phase::active) begin_now(state);
    }
    return true;
  }

  // A replica enters a step: what waited for that begins. In that replica's thread of control.
  void on_enter(Step step, Process& process) {
    for (State& state : states_) {
      if (state.phase != State::Phase::armed || state.fault->step != step) continue;
      if (state.fault->kind == Kind::crash_after_step) continue;  // see start()
      state.victim = number_of(process);
      activate(state);
      if (is_window(state.fault->kind) || state.fault->kind == Kind::freeze) {
        begin_now(state);  // at once
      } else {
        entered_.push_back(&state);  // what is done to processes is done from outside of them
      }
      changed_->notify_all();
    }
  }

  std::size_t number_of(const Process& process) {
    for (std::size_t replica = 0; replica < plan_.replicas; ++replica) {
      const Replica* one = world_.replica(replica);
      if (one != nullptr && &one->process() == &process) return replica;
    }
    return 0;
  }

  // Those that do nothing but set rates and switches.
  static bool is_window(Kind kind) {
    return (kind >= Kind::api_refused && kind <= Kind::quota_denied && kind != Kind::history_lost &&
            kind != Kind::admission_denied) ||
           (kind >= Kind::quay_refused && kind <= Kind::organization_missing) ||
           kind == Kind::robots_disallowed || kind == Kind::owner_disabled ||
           kind == Kind::concurrent_post || kind == Kind::freeze_before_send ||
           (kind >= Kind::quay_silent && kind <= Kind::registry_nonsense);
  }

  void activate(State& state) {
    state.phase = State::Phase::active;
    state.until = world_.executor.now() + state.fault->duration;
  }

  void begin(State& state) {
    if (plan_.replicas > 0) state.victim = state.fault->choice % plan_.replicas;
    activate(state);
    begin_now(state);
  }

  void begin_now(State& state) {
    note("begin " + state.fault->text() +
         (plan_.quays > 1 ? ", Quay " + std::to_string(state.quay) : ""));
    if (state.fault->kind == Kind::page_expired) {
      // So that there are lists.
      world_.api.compact();
      world_.api.cut_watches();
    }
    if (state.fault->kind == Kind::freeze_before_send) {
      // A process, with all that it does; as late as the window ends, for as long again.
      world_.observer.calm().disturb(2 * state.fault->duration);
    }
    if (is_window(state.fault->kind)) return set_windows();
    happen(state);
    if (saves_ && !is_broken()) world_.save();
  }

  // What the API server is put back to must not need a cure that is over by then.
  [[nodiscard]] bool is_broken() const {
    return std::ranges::any_of(states_, [](const State& state) {
      const Kind kind = state.fault->kind;
      const bool leaves_its_mark = kind == Kind::namespace_gone || kind == Kind::secret_immutable ||
                                   kind == Kind::secret_wrong_type ||
                                   kind == Kind::api_token_replaced ||
                                   kind == Kind::api_token_foreign;
      return leaves_its_mark && state.phase == State::Phase::active;
    });
  }

  void finish(State& state) {
    state.phase = State::Phase::over;
    if (is_window(state.fault->kind)) {
      note("end " + std::string(name(state.fault->kind)));
      return set_windows();
    }
    cure(state);
  }

  // The most of what is active, of each kind; at a Quay, or anywhere.
  double rate(Kind kind, std::optional<std::size_t> quay = {}) const {
    double most = 0;
    for (const State& state : states_) {
      if (state.phase == State::Phase::active && state.fault->kind == kind &&
          state.quay == quay.value_or(state.quay)) {
        most = std::max(most, state.fault->rate);
      }
    }
    return most;
  }
  bool any(Kind kind, std::optional<std::size_t> quay = {}) const { return rate(kind, quay) > 0; }

  void set_windows() {
    ApiFaults& api = world_.api.faults;
    api.network = {rate(Kind::api_refused), rate(Kind::api_request_lost),
                   rate(Kind::api_answer_lost), rate(Kind::api_slow)};
    api.too_many = rate(Kind::api_too_many);
    api.broken = rate(Kind::api_broken);
    api.broken_after = rate(Kind::api_broken_after);
    api.late_write = rate(Kind::api_late_write);
    api.page_expired = rate(Kind::page_expired);
    api.watch_cut = rate(Kind::watch_cut);
    api.watch_mute = rate(Kind::watch_mute);
    const base::Duration lag =
        any(Kind::watch_lag)
            ? base::Duration(static_cast<base::Duration::rep>(
                  rate(Kind::watch_lag) * static_cast<double>(base::Duration(seconds(20)).count())))
            : base::Duration{};
    if (std::exchange(api.watch_lag, lag) != lag) world_.api.lag_watches(lag);
    if (std::exchange(api_down_, down()) != down()) world_.api.set_down(down());
    world_.api.quota_exceeded = any(Kind::quota_denied);

    for (std::size_t number = 0; number < plan_.quays; ++number) set_windows(number);
  }

  void set_windows(std::size_t number) {
    QuayFaults& quay = world_.quays.at(number)->faults;
    quay.network = {rate(Kind::quay_refused, number), rate(Kind::quay_request_lost, number),
                    rate(Kind::quay_answer_lost, number), rate(Kind::quay_slow, number)};
    quay.broken_before = rate(Kind::quay_broken, number);
    quay.broken_after = rate(Kind::quay_broken_after, number);
    quay.bad_gateway = rate(Kind::quay_bad_gateway, number);
    quay.gateway_timeout = rate(Kind::quay_gateway_timeout, number);
    quay.rate_limited = rate(Kind::quay_rate_limited, number);
    quay.unreadable = rate(Kind::quay_unreadable, number);
    quay.late_commit = rate(Kind::quay_late_commit, number);
    quay.beyond = 0.1;
    set_staleness(quay, number);
    quay.retry_after = rate(Kind::quay_retry_after, number);
    quay.undecryptable = rate(Kind::quay_undecryptable, number);
    quay.concurrent = rate(Kind::concurrent_post, number);
    quay.held = rate(Kind::freeze_before_send, number);
    for (const State& state : states_) {
      if (state.phase == State::Phase::active && state.quay == number &&
          state.fault->kind == Kind::freeze_before_send) {
        quay.held_for = state.fault->duration;
      }
    }
    QuayTroubles& troubles = world_.quays.at(number)->troubles;
    troubles.down = any(Kind::quay_down, number) || any(Kind::everything_down);
    troubles.read_only = any(Kind::quay_read_only, number);
    troubles.audit_broken = any(Kind::quay_audit_broken, number);
    troubles.locked = any(Kind::quay_locked, number);
    troubles.no_rights = any(Kind::quay_no_rights, number);
    troubles.organization_missing = any(Kind::organization_missing, number);
    troubles.robots_disallowed = any(Kind::robots_disallowed, number);
    troubles.owner_disabled = any(Kind::owner_disabled, number);
    Hostility& hostility = world_.quays.at(number)->hostility;
    hostility.silent = any(Kind::quay_silent, number);
    hostility.trickles = any(Kind::quay_trickles, number);
    hostility.endless_lists = any(Kind::quay_endless_list, number);
    hostility.nonsense_lists = any(Kind::quay_nonsense_list, number);
    hostility.others_robots = any(Kind::quay_others_robots, number);
    hostility.much_later = any(Kind::quay_much_later, number);
    hostility.registry = any(Kind::registry_nonsense, number);
  }

  // Robots and lists, logins, or both; never for as long as the hold: then nothing would tell them
  // from what did not happen, or from a backup that was put back.
  void set_staleness(QuayFaults& quay, std::size_t number) {
    quay.stale_reads = quay.stale_logins = 0;
    for (const State& state : states_) {
      if (state.phase != State::Phase::active || state.quay != number ||
          state.fault->kind != Kind::quay_stale_read) {
        continue;
      }
      Dice dice(state.fault->choice);
      quay.lag = dice.between(seconds(2), plan_.longest_lag);
      const std::uint64_t variety = dice.below(3);
      if (variety != 1) quay.stale_reads = state.fault->rate;
      if (variety != 0) quay.stale_logins = state.fault->rate;
    }
  }

  bool down() const { return any(Kind::api_down) || any(Kind::everything_down); }

  Process* victim(const State& state) {
    Replica* replica = world_.replica(state.victim);
    return replica == nullptr || replica->dead() ? nullptr : &replica->process();
  }

  void happen(State& state) {
    const Fault& fault = *state.fault;
    Process* process = victim(state);
    switch (fault.kind) {
      case Kind::history_lost:
        world_.api.compact();
        return world_.api.cut_watches();
      case Kind::admission_denied:
        state.secret = some_target(fault);
        world_.api.denied.insert(state.secret);
        return disturb(state.secret.name_space, fault);
      case Kind::namespace_gone:
        return begin_end_of_namespace(state);
      case Kind::secret_immutable:
        world_.struck(fault.kind);
        state.secret = some_target(fault);
        disturb(state.secret.name_space, fault);
        return world_.api.edit(kube::secrets, state.secret,
                               [](json& secret) { secret["immutable"] = true; });
      case Kind::secret_wrong_type:
        world_.struck(fault.kind);
        state.secret = some_target(fault);
        if (state.secret.name.empty()) return;
        disturb(state.secret.name_space, fault);
        world_.api.remove(kube::secrets, state.secret);
        return world_.api.create(
            kube::secrets,
            {{"apiVersion", "v1"},
             {"kind", "Secret"},
             {"metadata", {{"name", state.secret.name}, {"namespace", state.secret.name_space}}},
             {"type", "Opaque"},
             {"data", json::object()}});
      case Kind::secret_damaged:
        world_.struck(fault.kind);
        return world_.api.edit(kube::secrets, some_target(fault), [&](json& secret) {
          if (fault.choice % 3 == 0) {
            secret["metadata"].erase("labels");
          } else {
            secret["data"][".dockerconfigjson"] = "e30=";
          }
        });
      case Kind::secret_deleted:
        world_.struck(fault.kind);
        return world_.api.remove(kube::secrets, some_target(fault));
      case Kind::robot_missing:
        state.subject = some_robot(fault);
        if (state.subject.empty()) return;
        disturb(quay_of(fault), fault);
        quay_of(fault).troubles.robots_missing.insert(state.subject);
        return;
      case Kind::api_token_replaced: {
        SimulatedQuay& quay = *world_.quays.at(state.quay);
        disturb(quay, fault);
        quay.replace_api_token();
        return;
      }
      case Kind::api_token_foreign: {
        const kube::ObjectKey connection = some_connection(fault).key();
        disturb(connection.name_space, fault);
        return world_.store_api_token(connection, foreign_jwt);
      }
      case Kind::ui_regenerate: {
        world_.struck(fault.kind);
        const std::string robot = some_robot(fault);
        if (robot.empty()) return;
        ++outcome_.foreign;
        disturb(quay_of(fault), {});
        return quay_of(fault).regenerate_in_ui(robot);
      }
      case Kind::quay_put_back: {
        world_.struck(fault.kind);
        const std::string robot = some_robot(fault);
        if (robot.empty()) return;
        // Taken for a stale read for as long as the hold, from when drift is read; and then asked
        // for again with a back-off.
        world_.observer.calm().disturb_quay(quay_of(fault).host(), 2 * plan_.hold + minutes(12));
        if (quay_of(fault).put_back(robot)) ++outcome_.foreign;
        return;
      }
      case Kind::crash:
      case Kind::stop:
        if (process == nullptr) return;
        world_.struck(fault.kind, *process);
        ++outcome_.deaths;
        if (fault.kind == Kind::stop && !process->frozen()) return world_.stop(state.victim);
        return world_.crash(state.victim);
      case Kind::freeze:
        if (process == nullptr) return;
        world_.struck(fault.kind, *process);
        world_.observer.calm().disturb(fault.duration);
        return process->freeze(fault.duration);
      case Kind::clock_jump:
        if (process == nullptr) return;
        world_.struck(fault.kind, *process);
        world_.observer.calm().disturb();
        return set_clock(*process, fault);
      case Kind::everything_down:
        world_.struck(fault.kind);
        for (std::size_t replica = 0; replica < plan_.replicas; ++replica) {
          if (world_.replica(replica) == nullptr) continue;
          ++outcome_.deaths;
          world_.crash(replica);
        }
        return set_windows();
      case Kind::rotate_now: {
        const kube::ObjectKey rotation = some_rotation(fault);
        world_.struck(fault.kind);
        return world_.rotate_now(rotation);
      }
      case Kind::edit_targets:
        world_.struck(fault.kind);
        return edit_targets(fault);
      case Kind::suspend:
        world_.struck(fault.kind);
        return world_.edit_rotation(some_rotation(fault), [](json& object) {
          object["spec"]["suspend"] = !object["spec"].value("suspend", false);
        });
      case Kind::delete_rotation:
        world_.struck(fault.kind);
        if (rotations_.size() > 1) world_.api.remove(api::rotations, some_rotation(fault));
        return;
      case Kind::create_rotation:
        world_.struck(fault.kind);
        if (rotations_.size() < plan_.rotations.size()) add_rotation();
        return;
      case Kind::restored_without_status:
        world_.struck(fault.kind);
        return world_.restore_without_status(some_rotation(fault));
      case Kind::versions_back:
        world_.struck(fault.kind);
        // A token whose ledger was lost is found when drift is read, and is taken for a stale read
        // for as long as the hold; then that is asked for again with a back-off.
        world_.observer.calm().disturb(2 * plan_.hold + minutes(12));
        return world_.put_back();
      case Kind::cluster_copied:
        world_.struck(fault.kind);
        return world_.copy_cluster(/*with_statuses=*/fault.choice % 2 == 0);
      default:  // windows, and crash_after_step
        return;
    }
  }

  // The end of what lasts. What people broke, people mend: they delete the Secret.
  void cure(State& state) {
    const Fault& fault = *state.fault;
    switch (fault.kind) {
      case Kind::admission_denied:
        world_.api.denied.erase(state.secret);
        break;
      case Kind::namespace_gone:
        finish_end_of_namespace(state.name_space);
        break;
      case Kind::secret_immutable:
      case Kind::secret_wrong_type:
        remove_if_broken(state.secret);
        break;
      case Kind::robot_missing:
        for (const auto& quay : world_.quays) {
          if (!quay->troubles.robots_missing.contains(state.subject)) continue;
          disturb(*quay, {});
          quay->restore_robot(state.subject);
        }
        break;
      case Kind::cluster_copied:
        world_.end_copy();
        break;
      case Kind::api_token_replaced:
      case Kind::api_token_foreign:
        world_.store_api_tokens();
        break;
      case Kind::crash:
      case Kind::stop:
        if (world_.replica(state.victim) == nullptr) start(state.victim);
        break;
      case Kind::clock_jump:
        if (Process* process = victim(state)) process->set_clock({});
        break;
      case Kind::everything_down:
        set_windows();
        for (std::size_t replica = 0; replica < plan_.replicas; ++replica) {
          if (world_.replica(replica) == nullptr) start(replica);
        }
        break;
      default:  // it was over at once
        return;
    }
    note("end " + std::string(name(fault.kind)));
  }

  void remove_if_broken(const kube::ObjectKey& key) {
    const auto secret = world_.api.find(kube::secrets, key);
    if (secret && (secret->value("immutable", false) || secret->value("type", "") == "Opaque")) {
      world_.api.remove(kube::secrets, key);
    }
  }

  void set_clock(Process& process, const Fault& jump) {
    Dice dice(jump.choice);
    const base::Duration most =
        dice.chance(0.5) ? base::Duration(minutes(2)) : base::Duration(std::chrono::hours(48));
    process.set_clock(dice.between(-most, most));
    world_.observer.clocks_lie();
  }

  void add_rotation() {
    const RotationOptions& options = plan_.rotations.at(rotations_.size());
    note("create " + options.name_space + "/" + options.name + " of " + options.organization + "+" +
         options.robot + " every " + options.interval + " for " +
         std::to_string(options.targets.size()) + " Secrets through " + options.connection);
    rotations_.push_back(world_.create_rotation(options));
    const json& object = *world_.api.find(api::rotations, rotations_.back());
    for (const std::string& robot : {robot_of(object), standby_of(object)}) {
      if (!robot.empty()) robots_.insert({world_.quay_of(connection_of(object)), robot});
    }
    // Ages are whole seconds, and the oldest owns.
    world_.advance(seconds(1));
  }

  // Half of what is in it goes at once, the rest at the end; then people make it anew.
  void begin_end_of_namespace(State& state) {
    if (!world_.api.terminating.empty()) return;
    state.name_space = some_connection(*state.fault).name_space;
    world_.observer.calm().disturb_namespace(state.name_space, state.fault->duration);
    world_.api.terminating.insert(state.name_space);
    Dice dice(state.fault->choice);
    remove_all(state.name_space, [&] { return dice.chance(0.5); });
  }

  template <class Chosen>
  void remove_all(const std::string& name_space, const Chosen& chosen) {
    for (const kube::Resource* resource : {&kube::secrets, &api::rotations, &api::connections}) {
      for (const auto& object : world_.api.list(*resource)) {
        const kube::ObjectKey key{text_at(*object, "/metadata/namespace"),
                                  text_at(*object, "/metadata/name")};
        if (key.name_space == name_space && chosen()) world_.api.remove(*resource, key);
      }
    }
  }

  void finish_end_of_namespace(const std::string& name_space) {
    if (!world_.api.terminating.contains(name_space)) return;
    remove_all(name_space, [] { return true; });
    world_.api.terminating.clear();
    for (const ConnectionOptions& connection : plan_.connections) {
      if (connection.name_space == name_space) world_.create_connection(connection);
    }
    for (std::size_t number = 0; number < rotations_.size(); ++number) {
      if (rotations_[number].name_space != name_space) continue;
      world_.create_rotation(plan_.rotations[number]);
      world_.advance(seconds(1));
    }
  }

  void start(std::size_t replica) {
    world_.start(replica, options_, [this, replica](std::string_view action) {
      if (settling_) return false;
      for (State& state : states_) {
        if (state.fault->kind != Kind::crash_after_step || state.phase != State::Phase::armed ||
            !ends(action, *state.fault->step)) {
          continue;
        }
        state.phase = State::Phase::over;
        note("replica " + std::to_string(replica) + " dies after " + std::string(action));
        world_.observer.calm().disturb();
        world_.coverage.add(Kind::crash_after_step, *state.fault->step);
        return true;
      }
      return false;
    });
    // The clock is the machine's, which did not die.
    for (const State& state : states_) {
      if (state.phase == State::Phase::active && state.fault->kind == Kind::clock_jump &&
          state.victim == replica) {
        set_clock(world_.replica(replica)->process(), *state.fault);
      }
    }
  }

  void restart_the_dead() {
    for (std::size_t replica = 0; replica < plan_.replicas; ++replica) {
      const Replica* one = world_.replica(replica);
      if (one == nullptr ? !settling_ : !one->dead()) continue;
      if (one != nullptr) {
        ++outcome_.deaths;
        world_.crash(replica);
      }
      start(replica);
    }
  }

  kube::ObjectKey some_rotation(const Fault& fault) const {
    return rotations_[fault.choice % rotations_.size()];
  }

  // Its name is empty when the rotation is gone.
  kube::ObjectKey some_target(const Fault& fault) const {
    const auto rotation = world_.api.find(api::rotations, some_rotation(fault));
    if (!rotation) return {};
    const json& targets = (*rotation)["spec"]["targets"];
    const json& target = targets[(fault.choice / 4) % targets.size()];
    return {some_rotation(fault).name_space, target["secret"].value("name", "")};
  }

  std::string some_robot(const Fault& fault) const {
    const auto rotation = world_.api.find(api::rotations, some_rotation(fault));
    return rotation ? robot_of(*rotation) : "";
  }

  SimulatedQuay& quay_of(const Fault& fault) const {
    const auto rotation = world_.api.find(api::rotations, some_rotation(fault));
    SimulatedQuay* quay = rotation ? world_.quay_of(connection_of(*rotation)) : nullptr;
    return quay == nullptr ? world_.quay : *quay;
  }

  const ConnectionOptions& some_connection(const Fault& fault) const {
    return plan_.connections.at(fault.choice % plan_.connections.size());
  }

  // Whom a fault concerns that meets no request.
  void disturb(const std::string& name_space, const Fault& fault) {
    world_.observer.calm().disturb_namespace(name_space, fault.duration);
  }
  void disturb(const SimulatedQuay& quay, const Fault& fault) {
    world_.observer.calm().disturb_quay(quay.host(), fault.duration);
  }

  void edit_targets(const Fault& fault) {
    const kube::ObjectKey rotation = some_rotation(fault);
    const std::string added = rotation.name + "-more-" + std::to_string(fault.choice / 8 % 3);
    world_.edit_rotation(rotation, [&](json& object) {
      json& targets = object["spec"]["targets"];
      if (targets.size() > 1 && fault.choice / 4 % 2 == 0) {
        targets.erase(0);
        return;
      }
      for (const json& target : targets) {
        if (target["secret"]["name"] == added) return;
      }
      targets.push_back({{"secret", {{"name", added}}}});
    });
  }

  void settle() {
    note("faults stop");
    settling_ = true;
    for (State& state : states_) {
      if (std::exchange(state.phase, State::Phase::over) == State::Phase::active) cure(state);
    }
    set_windows();
    world_.stop_faults();
    for (const kube::ObjectKey& rotation : rotations_) {
      world_.edit_rotation(rotation, [](json& object) {
        // An edit of who is not suspended would end its waiting.
        if (object["spec"].value("suspend", false)) object["spec"]["suspend"] = false;
      });
    }
    for (const ConnectionOptions& connection : plan_.connections) {
      if (connection.requests_per_second.value_or(1) >= 1) continue;
      world_.api.edit(api::connections, connection.key(),
                      [](json& object) { object["spec"].erase("rateLimit"); });
    }
    // Where the API server was put back what people had mended is broken again.
    for (const State& state : states_) {
      if (!state.secret.name.empty()) remove_if_broken(state.secret);
    }
    world_.end_copy();
    // Mostly until everything is right; some lives go on, for what might undo it.
    const bool goes_on = plan_.seed % 8 == 0;
    base::Duration passed{};
    while (passed < World::time_to_settle && !storms()) {
      if (passed <= longest_lease) restart_the_dead();  // a lease as good as lost is lost yet
      world_.advance(minutes(1));
      passed += minutes(1);
      if (!goes_on && world_.observer.unsettled().empty()) break;
    }
    if (storms()) return;
    // A rotation may just be under way.
    for (int look = 0; look < 3 && !world_.observer.unsettled().empty(); ++look) {
      world_.advance(seconds(20));
    }
    for (const std::string& problem : world_.observer.unsettled()) {
      world_.observer.violate(problem);
    }
    for (std::size_t replica = 0; replica < plan_.replicas; ++replica) {
      if (passed > longest_lease && world_.replica(replica)->dead()) {
        world_.observer.violate("a replica died by itself");
      }
    }
    for (std::size_t replica = 0; replica < plan_.replicas; ++replica) world_.crash(replica);
  }

  const Plan plan_;
  World world_;
  std::unique_ptr<base::Signal> changed_;
  ReplicaOptions options_;
  base::MonotonicTime began_{};
  std::vector<State> states_;
  std::vector<State*> entered_;
  std::vector<kube::ObjectKey> rotations_;
  std::set<std::pair<SimulatedQuay*, std::string>> robots_;
  bool api_down_ = false;
  bool saves_ = false;
  bool settling_ = false;
  Outcome outcome_;
};

}  // namespace

Outcome run_schedule(const Plan& plan, bool with_logs) {
  return Life(plan, with_logs).run();
}

}  // namespace quay_rotator::simulation
