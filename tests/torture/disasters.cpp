#include "torture/disasters.h"

#include <csignal>
#include <unistd.h>

namespace quay_rotator::torture {

using cluster::cluster;
using std::chrono::milliseconds;

namespace {

// About what a round of rotations of a lane takes.
constexpr milliseconds round{500};

// All but replica 0, which leads.
void start_followers(Lane& lane, std::size_t replicas, const std::vector<std::string>& arguments) {
  for (std::size_t i = 1; i < replicas; ++i) {
    lane.start(i, {.arguments = arguments, .quay_timeout = "1s"});
  }
}

void start_replicas(Lane& lane, std::size_t count, const std::vector<std::string>& arguments = {}) {
  lane.start_leading(arguments);
  start_followers(lane, count, arguments);
}

// kill -9 after a step of the protocol: of one of the lane's rotations that are under way at once.
Disaster killed_after(const std::string& step) {
  return {.name = "kill -9 after " + step, .strike = [step](Lane& lane) {
            const std::string fail_point =
                step + ":" + std::to_string(1 + lane.draw(lane.resources()));
            const bool running = lane.draw(2) == 0;
            lane.kill_all();
            if (!running) lane.request();
            lane.start(0, {.fail_point = fail_point, .quay_timeout = "1s"});
            if (running) {
              (void)lane.replica(0).wait_for_log("caches are complete");
              lane.request();
            }
            if (!lane.wait_for_end(0)) lane.complain("never came to " + fail_point);
            lane.start();
          }};
}

void kill_at_random(Lane& lane) {
  lane.start_leading();
  lane.request();
  for (std::size_t kills = 1 + lane.draw(3); kills > 0; --kills) {
    lane.linger(round);
    lane.start();
  }
}

// The network is cut in the middle of a round for up to five seconds: longer than a request to Quay
// may take twice, shorter than a lease.
Disaster cut(const std::string& what, TcpProxy& (Lane::*proxy)(), TcpProxy::Cut direction) {
  return {.name = what, .strike = [proxy, direction](Lane& lane) {
            lane.start_leading();
            lane.request();
            lane.linger(round);
            (lane.*proxy)().cut(direction);
            lane.linger(milliseconds(5000));
            (lane.*proxy)().heal(lane.draw(2) == 0);
          }};
}

Disaster reset(const std::string& what, TcpProxy& (Lane::*proxy)()) {
  return {.name = what, .strike = [proxy](Lane& lane) {
            lane.start_leading();
            lane.request();
            lane.linger(round);
            (lane.*proxy)().reset();
            lane.linger(milliseconds(1000));
            (lane.*proxy)().heal(true);
          }};
}

Disaster half_open(const std::string& what, TcpProxy& (Lane::*proxy)()) {
  return {.name = what, .strike = [proxy](Lane& lane) {
            lane.start_leading();
            lane.request();
            lane.linger(round);
            (lane.*proxy)().abandon();
            lane.spoil();  // its watches are dead, which it finds out after minutes of silence
          }};
}

// Each fault strikes one request; the second at the same robot strikes its repetition.
Disaster quay_resets(const std::string& when) {
  return {.name = "Quay resets " + when + " its commit",
          .strike = [action = "reset-" + when](Lane& lane) {
            lane.start_leading();
            for (std::size_t i = 0; i < lane.resources(); ++i) {
              lane.add_fault({{"action", action}, {"times", 1}});
            }
            lane.request();
          }};
}

Disaster leader_killed(std::size_t replicas) {
  return {.name = std::to_string(replicas) + " replicas, leader killed",
          .strike = [replicas](Lane& lane) {
            lane.kill_all();
            start_replicas(lane, replicas);
            lane.request();
            lane.linger(round);
            lane.kill(0);
            lane.spoil();  // the next disaster wants a single replica
          }};
}

// The leader is stopped, at the one place where it matters most or anywhere, until another has
// taken over and done everything; then it wakes and believes that it leads. If it was stopped
// between its last look at the clock and the socket, its POST makes a token that only reading drift
// will find.
Disaster leader_frozen(std::size_t replicas) {
  const std::vector<std::string> arguments{"--drift-interval=30s"};  // not 10 minutes
  return {.name = std::to_string(replicas) + " replicas, leader frozen",
          .strike =
              [replicas, arguments](Lane& lane) {
                const bool before_post = lane.draw(2) == 0;
                lane.kill_all();
                if (before_post) {
                  lane.start(0, {.arguments = arguments,
                                 .environment = {{"QUAY_ROTATOR_FAIL_POINT_FREEZES", "1"}},
                                 .fail_point = "before-regenerate:" +
                                               std::to_string(1 + lane.draw(lane.resources())),
                                 .quay_timeout = "1s"});
                  (void)lane.replica(0).wait_for_log("caches are complete");
                  start_followers(lane, replicas, arguments);
                } else {
                  start_replicas(lane, replicas, arguments);
                }
                lane.request();
                if (before_post) {
                  if (!lane.wait_for_stop(0)) lane.complain("never came to before-regenerate");
                } else {
                  lane.linger(round);
                  lane.replica(0).signal(SIGSTOP);
                }
                lane.wait_for_another_leader(0);
                (void)lane.await_right();
                lane.replica(0).signal(SIGCONT);
                if (!lane.wait_for_end(0)) lane.complain("a leader without its lease went on");
                lane.spoil();
              },
          .may_regenerate_again = true};
}

// In the middle of a round: Quay has committed for one robot, but holds its answer back …
void begin_a_round(Lane& lane) {
  lane.start_leading({}, "20s");
  const int fault = lane.add_fault({{"action", "hold"}, {"at", {"after"}}, {"times", 1}});
  lane.request();
  if (!Lane::wait_for_fault(fault)) lane.complain("no request came to Quay");
}

// … until nothing can be written: the old token is dead, the new one has no place to go to.
void let_go(Lane& lane) {
  lane.remove_faults();
  lane.spoil();  // the next disaster wants Quay's usual deadline
}

constexpr useconds_t until_somebody_comes = 1'500'000;

void kill_api_server(Etcd&) {
  cluster().control().post("/processes/kube-apiserver/kill");
}

void start_api_server(Etcd&) {
  usleep(until_somebody_comes);
  cluster().control().post("/processes/kube-apiserver/start");
}

// The operator is cut off through the end of an API server. The next one begins its history when it
// starts: the version from which the operator wants to watch has expired.
Disaster watches_expire() {
  return {.name = "watches answered with 410",
          .strike =
              [](Lane& lane) {
                lane.start_leading({"--leader-elect=false"});
                lane.note_lists();
                lane.api_proxy().cut(TcpProxy::Cut::both);
                lane.request();
                lane.damage_secrets();
              },
          .break_all = kill_api_server,
          .mend_all = start_api_server,
          .after =
              [](Lane& lane) {
                lane.api_proxy().heal(true);
                if (!lane.wait_for_new_list()) lane.complain("no watch was answered with 410");
                lane.spoil();
              }};
}

}  // namespace

std::vector<Disaster> disasters() {
  std::vector<Disaster> all;
  for (const char* step : {"read-robot", "dry-run", "login", "ledger", "before-regenerate",
                           "regenerate", "publish", "commit", "event"}) {
    all.push_back(killed_after(step));
    all.back().left_out = "the cluster tests try it";
  }
  all.push_back({.name = "kill -9 at random instants", .strike = kill_at_random});
  const auto api = &Lane::api_proxy;
  const auto quay = &Lane::quay_proxy;
  all.push_back(cut("API server: both directions cut", api, TcpProxy::Cut::both));
  all.push_back(cut("API server: requests lost", api, TcpProxy::Cut::to_server));
  all.push_back(cut("API server: answers lost", api, TcpProxy::Cut::to_client));
  all.push_back(reset("API server: connections reset", api));
  all.push_back(half_open("API server: half-open", api));
  all.back().left_out = "it may take until a dead watch is found out";
  all.push_back(cut("Quay: both directions cut", quay, TcpProxy::Cut::both));
  all.push_back(cut("Quay: requests lost", quay, TcpProxy::Cut::to_server));
  all.push_back(cut("Quay: answers lost", quay, TcpProxy::Cut::to_client));
  all.push_back(reset("Quay: connections reset", quay));
  all.push_back(half_open("Quay: half-open", quay));
  all.push_back(quay_resets("before"));
  all.push_back(quay_resets("after"));
  for (const std::size_t replicas : {2U, 3U}) {
    all.push_back(leader_killed(replicas));
    all.push_back(leader_frozen(replicas));
  }
  all.push_back({.name = "API server killed, restarted",
                 .strike = begin_a_round,
                 .break_all = kill_api_server,
                 .meanwhile = let_go,
                 .mend_all = start_api_server});
  all.push_back(watches_expire());
  all.push_back({.name = "etcd out of space, and back",
                 .strike = begin_a_round,
                 .break_all = [](Etcd& etcd) { etcd.overflow(); },
                 .meanwhile = let_go,
                 .mend_all =
                     [](Etcd& etcd) {
                       usleep(until_somebody_comes);
                       etcd.recover();
                     }});
  return all;
}

}  // namespace quay_rotator::torture
