#include <algorithm>
#include <array>

#include "simulation/schedule.h"

namespace quay_rotator::simulation {

namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using Kind = FaultKind;

RotationOptions draw_rotation(Dice& dice, std::size_t count) {
  RotationOptions options;
  const std::string number = std::to_string(count);
  options.name = "rotation-" + number;
  // Sometimes the robot of another resource.
  options.robot = "robot-" + (dice.chance(0.15) ? "0" : number);
  if (dice.chance(0.2)) options.organization = "";
  constexpr std::array<const char*, 4> intervals{"10m", "25m", "1h", "24h"};
  options.interval = intervals.at(dice.below(intervals.size()));
  options.jitter = dice.chance(0.5) ? "2m" : "0s";
  options.initially_rotate = dice.chance(0.3);
  options.verify = dice.chance(0.8);
  options.targets.clear();
  for (std::uint64_t target = 0; target <= dice.below(3); ++target) {
    options.targets.push_back("secret-" + number + "-" + std::to_string(target));
  }
  return options;
}

// A robot of its own takes turns with one that nobody else names.
void add_standby(Dice& dice, RotationOptions& rotation) {
  const bool turns = dice.chance(0.3);
  const bool soon = dice.chance(0.6);
  if (!turns || rotation.robot == "robot-0") return;
  rotation.standby = rotation.robot + "-b";
  if (soon) rotation.overlap = rotation.interval == "10m" ? "4m" : "9m";
}

// Mostly short: in a long one little happens, and it takes most of the time that a life takes.
base::Duration draw_pause(Dice& dice) {
  switch (dice.below(5)) {
    case 0:
    case 1:
      return dice.between(milliseconds(0), milliseconds(100));
    case 2:
    case 3:
      return dice.between(seconds(0), seconds(90));
    default:
      return dice.between(minutes(0), minutes(20));
  }
}

base::Duration draw_duration(Dice& dice) {
  switch (dice.below(4)) {
    case 0:
      return dice.between(milliseconds(0), seconds(2));
    case 1:
      return dice.between(seconds(0), seconds(90));
    case 2:
      return dice.between(seconds(30), minutes(4));
    default:
      return dice.between(minutes(0), minutes(15));
  }
}

double draw_rate(Dice& dice) {
  constexpr std::array<double, 5> rates{0.05, 0.1, 0.3, 0.6, 1};
  return rates.at(dice.below(rates.size()));
}

Fault draw_fault(Dice& dice, Kind kind, base::Duration at) {
  Fault fault;
  fault.kind = kind;
  fault.at = at;
  fault.duration = draw_duration(dice);
  fault.rate = draw_rate(dice);
  fault.choice = dice.below(1'000'000);
  if (kind == Kind::crash_after_step || dice.chance(0.5)) {
    fault.step = static_cast<Step>(1 + dice.below(step_count - 1));
  }
  return fault;
}

// The worst that chance alone seldom finds: a replica ends or freezes as it sends its POST, nobody
// knows what became of that, and who takes over has another clock.
void add_takeover(Dice& dice, Plan& plan) {
  constexpr std::array<Kind, 4> ends{Kind::crash, Kind::crash_after_step, Kind::stop, Kind::freeze};
  Fault end = draw_fault(dice, ends.at(dice.below(ends.size())), plan.length);
  end.step = Step::regenerate;
  end.duration = dice.between(seconds(0), minutes(15));
  plan.faults.push_back(end);
  for (const Kind kind : {Kind::quay_late_commit, Kind::clock_jump, Kind::clock_jump}) {
    if (!dice.chance(0.7)) continue;
    Fault fault = draw_fault(dice, kind, plan.length);
    fault.step.reset();
    fault.duration = dice.between(minutes(1), minutes(15));
    fault.rate = 1;
    plan.faults.push_back(fault);
  }
  Fault wish = draw_fault(dice, Kind::rotate_now, plan.length + dice.between({}, seconds(2)));
  wish.step.reset();
  plan.faults.push_back(wish);
}

// Somebody asks for a rotation right then, so that a step is entered.
Fault wish(base::Duration at, std::uint64_t choice) {
  Fault fault;
  fault.kind = Kind::rotate_now;
  fault.at = at;
  fault.choice = choice;
  return fault;
}

// What is drawn in few schedules, so that the others stay as small as they are.
constexpr std::array<Kind, 10> rare{Kind::quay_silent,        Kind::quay_trickles,
                                    Kind::quay_endless_list,  Kind::quay_nonsense_list,
                                    Kind::quay_others_robots, Kind::quay_much_later,
                                    Kind::registry_nonsense,  Kind::restored_without_status,
                                    Kind::cluster_copied,     Kind::versions_back};

void add_rare_faults(Dice& dice, Plan& plan) {
  const std::uint64_t count = 1 + dice.below(3);
  for (std::uint64_t number = 0; number < count; ++number) {
    const Fault fault =
        draw_fault(dice, rare.at(dice.below(rare.size())), dice.between({}, plan.length));
    plan.faults.push_back(fault);
    if (fault.step) plan.faults.push_back(wish(fault.at + seconds(1), dice.below(1'000'000)));
  }
}

// Other tenants beside the first: their namespaces, connections, limits and, sometimes, their Quay.
// `count` connections, each of `fewest` resources or a few more.
void add_tenants(Dice& dice, Plan& plan, std::uint64_t count, std::uint64_t fewest) {
  plan.quays = 1 + dice.below(2);
  plan.workers = 8;  // as shipped
  constexpr std::array<const char*, 3> name_spaces{"team-a", "team-b", "team-c"};
  constexpr std::array<double, 5> limits{0, 0, 20, 2, 0.05};
  std::vector<RotationOptions> theirs;
  for (std::uint64_t number = 1; number <= count; ++number) {
    ConnectionOptions connection;
    connection.name = "quay-" + std::to_string(number);
    connection.name_space = name_spaces.at(dice.below(name_spaces.size()));
    connection.quay = dice.below(plan.quays);
    if (const double limit = limits.at(dice.below(limits.size())); limit > 0) {
      connection.requests_per_second = limit;
      connection.burst = static_cast<int>(1 + dice.below(3));
    }
    const std::uint64_t resources = fewest + dice.below(3);
    for (std::uint64_t resource = 0; resource < resources; ++resource) {
      RotationOptions rotation = draw_rotation(dice, plan.rotations.size() + theirs.size());
      rotation.name_space = connection.name_space;
      rotation.connection = connection.name;
      if (!rotation.organization.empty() && dice.chance(0.5)) rotation.organization = "globex";
      if (rotation.organization.empty()) rotation.robot = rotation.name;  // nobody else's
      theirs.push_back(std::move(rotation));
    }
    plan.connections.push_back(std::move(connection));
  }
  // There from the start, behind the first tenant's.
  const auto place = plan.rotations.begin() + static_cast<std::ptrdiff_t>(plan.at_start);
  plan.rotations.insert(place, theirs.begin(), theirs.end());
  plan.at_start += theirs.size();
}

// Nothing goes wrong for the first tenant, and everything for those whose Quay the second is:
// a few connections with more resources than there are workers, or more connections than that to a
// Quay that never answers.
void add_hostile_neighbours(Dice& dice, Plan& plan) {
  const bool crowd = dice.chance(0.3);
  if (crowd) {
    add_tenants(dice, plan, 14, 1);
  } else {
    add_tenants(dice, plan, 1 + dice.below(3), 10);
  }
  plan.quays = 2;
  plan.faults.clear();
  plan.leader_elect = true;
  constexpr std::uint64_t second_quay = 1;
  for (std::size_t number = 1; number < plan.connections.size(); ++number) {
    ConnectionOptions& connection = plan.connections[number];
    if (connection.name_space == World::name_space) connection.name_space = "team-b";
    // A limit is a way to be in the way too.
    if (crowd) connection.requests_per_second.reset();
    if (connection.requests_per_second.value_or(1) >= 1) connection.quay = second_quay;
  }
  for (RotationOptions& rotation : plan.rotations) {
    if (rotation.connection != "quay") {
      // One resource a robot: who owns it while a hostile Quay lies is not judged here.
      rotation.robot = rotation.name + "-of-another";
      if (rotation.name_space == World::name_space) rotation.name_space = "team-b";
    }
  }
  constexpr std::array<Kind, 11> harm{
      Kind::quay_silent,        Kind::quay_trickles,       Kind::quay_endless_list,
      Kind::quay_nonsense_list, Kind::quay_others_robots,  Kind::quay_much_later,
      Kind::registry_nonsense,  Kind::quay_down,           Kind::quay_broken,
      Kind::quay_locked,        Kind::organization_missing};
  plan.length = minutes(5);
  const std::uint64_t rounds = 3 + dice.below(4);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    for (std::uint64_t number = 0; number <= dice.below(2); ++number) {
      Fault fault = draw_fault(dice, harm.at(dice.below(harm.size())),
                               plan.length - dice.between({}, minutes(4)));
      fault.step.reset();
      fault.choice = second_quay;
      fault.duration = dice.between(minutes(1), minutes(30));
      fault.rate = 1;
      plan.faults.push_back(fault);
    }
    for (std::size_t number = 0; number < plan.at_start; ++number) {
      const base::Duration soon = dice.between({}, seconds(40));
      if (dice.chance(0.6)) plan.faults.push_back(wish(plan.length - soon, number));
    }
    plan.faults.push_back(wish(plan.length, 0));  // the first tenant's
    if (dice.chance(0.15)) {
      Fault end = draw_fault(dice, Kind::crash, plan.length);
      end.step = static_cast<Step>(1 + dice.below(step_count - 1));
      plan.faults.push_back(end);
    }
    plan.length += dice.between(minutes(4), minutes(12));
  }
  if (crowd) {
    Fault silence = draw_fault(dice, Kind::quay_silent, {});
    silence.step.reset();
    silence.choice = second_quay;
    silence.duration = plan.length;
    silence.rate = 1;
    plan.faults.push_back(silence);
  }
}

// What goes wrong all the time, a little.
constexpr std::array<Kind, 20> weather{Kind::api_refused,
                                       Kind::api_request_lost,
                                       Kind::api_answer_lost,
                                       Kind::api_slow,
                                       Kind::api_too_many,
                                       Kind::api_broken,
                                       Kind::api_broken_after,
                                       Kind::watch_cut,
                                       Kind::watch_lag,
                                       Kind::quay_request_lost,
                                       Kind::quay_answer_lost,
                                       Kind::quay_slow,
                                       Kind::quay_broken,
                                       Kind::quay_broken_after,
                                       Kind::quay_bad_gateway,
                                       Kind::quay_rate_limited,
                                       Kind::quay_gateway_timeout,
                                       Kind::quay_stale_read,
                                       Kind::quay_retry_after,
                                       Kind::quay_late_commit};

}  // namespace

Plan draw_plan(std::uint64_t seed) {
  Dice dice(seed ^ 0xD4U);
  Plan plan;
  plan.seed = seed;
  plan.replicas = 1 + dice.below(3);
  plan.leader_elect = dice.chance(0.8);
  // Mostly slow, for the sake of speed; quick, it hands over before the time for an unclear POST
  // to show is over.
  plan.election_scale = dice.chance(0.2) ? 2 : 20;
  plan.hold = dice.between(minutes(2), minutes(3));
  plan.longest_lag = dice.chance(0.3) ? seconds(3) : dice.between(seconds(3), seconds(80));
  plan.at_start = 1 + dice.below(2);
  for (std::size_t number = 0; number < 4; ++number) {
    plan.rotations.push_back(draw_rotation(dice, number));
  }
  if (dice.chance(0.4)) {
    for (const Kind kind : weather) {
      if (!dice.chance(0.25)) continue;
      Fault fault = draw_fault(dice, kind, {});
      fault.step.reset();
      fault.duration = dice.between(minutes(5), minutes(90));
      fault.rate = std::min(fault.rate, 0.3) / 2;
      plan.faults.push_back(fault);
    }
  }
  const std::uint64_t events = 5 + dice.below(10);
  for (std::uint64_t event = 0; event < events; ++event) {
    plan.length += draw_pause(dice);
    const auto kind =
        dice.chance(0.2) ? Kind::rotate_now
                         : static_cast<Kind>(dice.below(static_cast<std::size_t>(first_rare_kind)));
    plan.faults.push_back(draw_fault(dice, kind, plan.length));
    const std::optional<Step> step = plan.faults.back().step;
    // The pages of a list come one after the other, and a short step is over before the second.
    const bool in_pages = kind == Kind::page_expired;
    if (step && in_pages) plan.faults.back().rate = 1;
    if (step && (dice.chance(0.3) || in_pages)) {
      // So that the step takes a while.
      Fault slow = plan.faults.back();
      const bool asks_quay = slow.step == Step::observe || slow.step == Step::preflight ||
                             slow.step == Step::regenerate || slow.step == Step::verify;
      slow.kind = asks_quay ? Kind::quay_slow : Kind::api_slow;
      slow.duration = dice.between(seconds(5), seconds(60));
      slow.rate = in_pages ? 0.3 : 1;
      plan.faults.push_back(slow);
    }
    if (step && kind != Kind::rotate_now && dice.chance(0.7)) {
      // So that the step is entered soon.
      Fault wish;
      wish.kind = Kind::rotate_now;
      wish.at = plan.length + dice.between(milliseconds(0), seconds(2));
      wish.choice = dice.below(1'000'000);
      plan.faults.push_back(wish);
    }
  }
  plan.length += draw_pause(dice);
  if (dice.chance(0.1)) {
    add_takeover(dice, plan);
    plan.length += minutes(5);
  }
  Dice rare(seed ^ 0xE5U);  // so that what is drawn above stays what it was
  const std::uint64_t lot = rare.below(100);
  if (lot < 10) add_rare_faults(rare, plan);
  if (lot >= 6 && lot < 12) add_tenants(rare, plan, 1 + rare.below(3), 1);
  if (lot >= 12 && lot < 16) add_hostile_neighbours(rare, plan);
  Dice turns(seed ^ 0x1B4U);
  for (RotationOptions& rotation : plan.rotations) add_standby(turns, rotation);
  std::ranges::stable_sort(plan.faults, {}, &Fault::at);
  return plan;
}

Plan draw_plan(std::uint64_t seed, const std::vector<Aim>& together) {
  Plan plan = draw_plan(seed);
  Dice dice(seed ^ 0xF7U);
  const std::uint64_t subject = dice.below(1'000'000);
  for (const auto& [kind, step] : together) {
    Fault fault = draw_fault(dice, kind, plan.length + dice.between({}, seconds(2)));
    if (step || dice.chance(0.5)) fault.step = step;
    fault.duration = dice.between(minutes(1), minutes(5));
    fault.rate = 1;
    fault.choice = subject;
    plan.faults.push_back(fault);
  }
  plan.faults.push_back(wish(plan.length + dice.between({}, seconds(4)), subject));
  plan.length += dice.between(seconds(5), minutes(8));
  std::ranges::stable_sort(plan.faults, {}, &Fault::at);
  return plan;
}

namespace {

// "I2" of "I2 acme+puller was regenerated …".
std::string promise(const Outcome& outcome) {
  return outcome.violations.empty() ? "" : outcome.violations.front().substr(0, 2);
}

}  // namespace

Plan shrink(const Plan& failing) {
  const std::string broken = promise(run_schedule(failing));
  return shrink(failing, [&](const Plan& plan) { return promise(run_schedule(plan)) == broken; });
}

Plan shrink(const Plan& failing, const std::function<bool(const Plan&)>& fails) {
  Plan best = failing;
  for (std::size_t chunk = std::max<std::size_t>(best.faults.size() / 2, 1);;) {
    bool smaller = false;
    for (std::size_t from = 0; from < best.faults.size();) {
      Plan fewer = best;
      const auto first = fewer.faults.begin() + static_cast<std::ptrdiff_t>(from);
      const auto left = static_cast<std::size_t>(fewer.faults.end() - first);
      fewer.faults.erase(first, first + static_cast<std::ptrdiff_t>(std::min(chunk, left)));
      if (fails(fewer)) {
        best = std::move(fewer);
        smaller = true;
      } else {
        from += chunk;
      }
    }
    if (chunk == 1 && !smaller) return best;
    chunk = std::max<std::size_t>(chunk / 2, 1);
  }
}

}  // namespace quay_rotator::simulation
