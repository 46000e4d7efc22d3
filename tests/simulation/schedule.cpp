#include "simulation/schedule.h"

#include <array>
#include <set>
#include <string_view>

#include <nlohmann/json.hpp>

#include "simulation/world.h"

namespace quay_rotator::simulation {

namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::array<std::string_view, 9> steps{
    "read-robot", "dry-run", "login",  "ledger", "before-regenerate",
    "regenerate", "publish", "commit", "event"};

constexpr base::Duration longest_lease = minutes(4);

class Life {
 public:
  Life(std::uint64_t seed, bool with_logs) : world_(seed), dice_(world_.dice) {
    world_.observer.trace_logs(with_logs);
  }

  Outcome run() {
    set_up();
    const std::uint64_t events = 6 + dice_.below(12);
    for (std::uint64_t event = 0; event < events; ++event) {
      happen();
      pause();
      restart_the_dead();
    }
    settle();
    outcome_.violations = world_.observer.violations();
    outcome_.trace = world_.observer.trace();
    outcome_.requests = world_.api.requests() + world_.quay.requests();
    for (const std::string& robot : robots_) outcome_.commits += world_.commits(robot);
    return std::move(outcome_);
  }

 private:
  void note(const std::string& text) { world_.observer.note(text); }

  void set_up() {
    world_.create_connection();
    replicas_ = 1 + dice_.below(3);
    options_.leader_elect = dice_.chance(0.8);
    options_.election_scale = 10;
    const std::uint64_t rotations = 1 + dice_.below(2);
    for (std::uint64_t number = 0; number < rotations; ++number) add_rotation();
    draw_faults();
    for (std::size_t replica = 0; replica < replicas_; ++replica) start(replica);
    note(std::to_string(replicas_) + " replicas" +
         (options_.leader_elect ? "" : ", all of which lead"));
  }

  void add_rotation() {
    RotationOptions options;
    const std::string number = std::to_string(rotations_.size());
    options.name = "rotation-" + number;
    // Sometimes the robot of another resource.
    options.robot = "robot-" + (dice_.chance(0.15) ? "0" : number);
    if (dice_.chance(0.2)) options.organization = "";
    constexpr std::array<const char*, 4> intervals{"10m", "25m", "1h", "24h"};
    options.interval = intervals.at(dice_.below(intervals.size()));
    options.jitter = dice_.chance(0.5) ? "2m" : "0s";
    options.initially_rotate = dice_.chance(0.3);
    options.verify = dice_.chance(0.8);
    options.targets.clear();
    for (std::uint64_t target = 0; target <= dice_.below(3); ++target) {
      options.targets.push_back("secret-" + number + "-" + std::to_string(target));
    }
    note("create " + options.name + " of " + options.organization + "+" + options.robot +
         " every " + options.interval + " for " + std::to_string(options.targets.size()) +
         " Secrets");
    rotations_.push_back(world_.create_rotation(options));
    robots_.insert(robot_of(*world_.api.find(kube::rotations, rotations_.back())));
    // Ages are whole seconds, and the oldest owns.
    world_.advance(seconds(1));
  }

  // Each schedule has its own weather: some kinds of faults, each rare or common.
  void draw_faults() {
    const auto rate = [&](double most) {
      return dice_.chance(0.4) ? most * static_cast<double>(1 + dice_.below(4)) / 4 : 0;
    };
    ApiFaults& api = world_.api.faults;
    api.network = {rate(0.05), rate(0.05), rate(0.1), rate(0.03)};
    api.too_many = rate(0.1);
    api.broken = rate(0.1);
    api.broken_after = rate(0.1);
    api.watch_cut = rate(0.2);
    api.watch_mute = rate(0.05);
    if (dice_.chance(0.5)) {
      api.watch_lag = dice_.chance(0.5) ? seconds(20) : milliseconds(200);
    }
    QuayFaults& quay = world_.quay.faults;
    quay.network = {rate(0.1), rate(0.1), rate(0.3), rate(0.1)};
    quay.broken_before = rate(0.3);
    quay.broken_after = rate(0.5);
    quay.bad_gateway = rate(0.2);
    quay.gateway_timeout = rate(0.3);
    quay.rate_limited = rate(0.2);
    quay.unreadable = rate(0.3);
    quay.late_commit = rate(0.5);
  }

  void start(std::size_t replica) {
    Replica::DiesAfter dies_after;
    if (dice_.chance(0.4)) {
      const std::string_view fatal = steps.at(dice_.below(steps.size()));
      const auto times = static_cast<int>(1 + dice_.below(2));
      dies_after = [this, replica, fatal, left = times](std::string_view step) mutable {
        if (settling_ || step != fatal || --left != 0) return false;
        note("replica " + std::to_string(replica) + " dies after " + std::string(step));
        return true;
      };
    }
    world_.start(replica, options_, std::move(dies_after));
  }

  void restart_the_dead() {
    for (std::size_t replica = 0; replica < replicas_; ++replica) {
      const Replica* one = world_.replica(replica);
      if (one != nullptr && !one->dead()) continue;
      if (one != nullptr) {
        ++outcome_.deaths;
        world_.crash(replica);
      }
      if (settling_ || dice_.chance(0.7)) start(replica);
    }
  }

  // Long enough for something to happen: often in the middle of it.
  void pause() {
    switch (dice_.below(3)) {
      case 0:
        return world_.advance(dice_.between(milliseconds(0), milliseconds(100)));
      case 1:
        return world_.advance(dice_.between(seconds(0), seconds(90)));
      default:
        return world_.advance(dice_.between(minutes(0), minutes(20)));
    }
  }

  const kube::ObjectKey& some_rotation() { return rotations_[dice_.below(rotations_.size())]; }

  // A target of a rotation; its name is empty when the rotation is gone.
  kube::ObjectKey some_target() {
    const auto rotation = world_.api.find(kube::rotations, some_rotation());
    if (!rotation) return {};
    const json& targets = (*rotation)["spec"]["targets"];
    const json& target = targets[dice_.below(targets.size())];
    return {World::name_space, target["secret"].value("name", "")};
  }

  void happen() {
    switch (dice_.below(13)) {
      case 0:
      case 1:
      case 2:
        return rotate_now();
      case 3:
        return damage();
      case 4:
        return regenerate_in_ui();
      case 5:
        return edit_targets();
      case 6:
      case 7:
        return crash_one();
      case 8:
        return deny();
      case 9:
        return cut_off();
      case 10:
        return draw_faults();
      case 11:
        return replace_api_token();
      default:
        return change_resources();
    }
  }

  void rotate_now() {
    const kube::ObjectKey& rotation = some_rotation();
    note("rotate " + rotation.name + " now");
    world_.rotate_now(rotation);
  }

  void damage() {
    const kube::ObjectKey secret = some_target();
    note("damage Secret " + secret.name);
    if (dice_.chance(0.3)) return world_.api.remove(kube::secrets, secret);
    const bool label = dice_.chance(0.3);
    world_.api.edit(kube::secrets, secret, [&](json& object) {
      if (label) {
        object["metadata"]["labels"].clear();
      } else {
        object["data"][".dockerconfigjson"] = "e30=";
      }
    });
  }

  void regenerate_in_ui() {
    const auto rotation = world_.api.find(kube::rotations, some_rotation());
    if (!rotation) return;
    note("somebody regenerates " + robot_of(*rotation) + " in the UI");
    ++outcome_.foreign;
    world_.quay.regenerate_in_ui(robot_of(*rotation));
  }

  void edit_targets() {
    const kube::ObjectKey& rotation = some_rotation();
    note("edit the targets of " + rotation.name);
    const std::string added = rotation.name + "-more-" + std::to_string(dice_.below(3));
    world_.edit_rotation(rotation, [&](json& object) {
      json& targets = object["spec"]["targets"];
      if (targets.size() > 1 && dice_.chance(0.5)) {
        targets.erase(0);
        return;
      }
      for (const json& target : targets) {
        if (target["secret"]["name"] == added) return;
      }
      targets.push_back({{"secret", {{"name", added}}}});
    });
  }

  void crash_one() {
    const std::size_t replica = dice_.below(replicas_);
    const bool orderly = dice_.chance(0.3);
    note((orderly ? "stop replica " : "kill replica ") + std::to_string(replica));
    if (world_.replica(replica) == nullptr) return;
    ++outcome_.deaths;
    if (orderly && !world_.replica(replica)->dead()) return world_.stop(replica);
    world_.crash(replica);
  }

  void deny() {
    if (!world_.api.denied.empty()) {
      note("admit all Secrets again");
      return world_.api.denied.clear();
    }
    const kube::ObjectKey secret = some_target();
    note("refuse writes of Secret " + secret.name);
    world_.api.denied.insert(secret);
  }

  void cut_off() {
    switch (dice_.below(4)) {
      case 0:
        note("Quay down or up");
        world_.quay.down = !world_.quay.down;
        break;
      case 1:
        note("Quay read-only or not");
        world_.quay.read_only = !world_.quay.read_only;
        break;
      case 2:
        note("the API server forgets its history");
        world_.api.compact();
        world_.api.cut_watches();
        break;
      default:
        note("the API server is down for a while");
        world_.api.set_down(true);
        world_.advance(dice_.between(seconds(1), minutes(5)));
        world_.api.set_down(false);
    }
  }

  void replace_api_token() {
    note("replace the API token");
    world_.quay.replace_api_token();
    if (dice_.chance(0.5)) world_.advance(dice_.between(seconds(0), minutes(2)));
    world_.store_api_token();
  }

  void change_resources() {
    switch (dice_.below(3)) {
      case 0:
        if (rotations_.size() < 4) add_rotation();
        return;
      case 1: {
        if (rotations_.size() < 2) return;
        const kube::ObjectKey& rotation = some_rotation();
        note("delete " + rotation.name);
        return world_.api.remove(kube::rotations, rotation);
      }
      default: {
        const kube::ObjectKey& rotation = some_rotation();
        note("suspend or resume " + rotation.name);
        world_.edit_rotation(rotation, [](json& object) {
          object["spec"]["suspend"] = !object["spec"].value("suspend", false);
        });
      }
    }
  }

  void settle() {
    note("faults stop");
    settling_ = true;
    world_.stop_faults();
    for (const kube::ObjectKey& rotation : rotations_) {
      world_.edit_rotation(rotation, [](json& object) { object["spec"]["suspend"] = false; });
    }
    base::Duration passed{};
    for (; passed < longest_lease; passed += minutes(1)) {
      restart_the_dead();  // a lease that was as good as lost is lost yet
      world_.advance(minutes(1));
    }
    restart_the_dead();
    world_.advance(World::time_to_settle - passed);
    // A rotation may just be under way.
    for (int look = 0; look < 3 && !world_.observer.unsettled().empty(); ++look) {
      world_.advance(seconds(20));
    }
    for (const std::string& problem : world_.observer.unsettled()) {
      world_.observer.violate(problem);
    }
    for (std::size_t replica = 0; replica < replicas_; ++replica) {
      if (world_.replica(replica)->dead()) world_.observer.violate("a replica died by itself");
    }
    for (std::size_t replica = 0; replica < replicas_; ++replica) world_.crash(replica);
  }

  World world_;
  Dice& dice_;
  std::uint64_t replicas_ = 1;
  ReplicaOptions options_;
  std::vector<kube::ObjectKey> rotations_;
  std::set<std::string> robots_;
  bool settling_ = false;
  Outcome outcome_;
};

}  // namespace

Outcome run_schedule(std::uint64_t seed, bool with_logs) {
  return Life(seed, with_logs).run();
}

}  // namespace quay_rotator::simulation
