// A Quay in memory that behaves as docs/quay.md says, with the faults that the seed draws.
//
// Lives in one world: one thread of control runs at a time, so nothing here locks.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "http/transport.h"
#include "simulation/hostility.h"
#include "simulation/network.h"
#include "support/virtual_executor.h"

namespace quay_rotator::simulation {

// Every secret of the simulation begins with this, so that one search finds any leak.
inline constexpr std::string_view token_mark = "QRSIMTOKEN";
// A token of somebody else's identity provider, which Quay does not know.
inline constexpr std::string_view foreign_jwt = "eyJhbGciOiJSUzI1NiJ9.QRSIMTOKEN.c2lnbmF0dXJl";

// Probabilities for each request. "Before" leaves the token as it is, "after" has changed it.
struct QuayFaults {
  NetworkFaults network;
  double broken_before = 0;    // 500 without a commit …
  double broken_after = 0;     // … and with one: the audit log cannot be written
  double bad_gateway = 0;      // 502
  double gateway_timeout = 0;  // 504; a regeneration may be committed later
  double rate_limited = 0;     // 429
  double unreadable = 0;       // 200 with half a body, after the commit
  double late_commit = 0;      // the connection is lost and the commit comes a while later …
  double beyond = 0;           // … of those, so late that nobody waits for it
  double undecryptable = 0;    // 500 to a GET of the robot
  double stale_reads = 0;      // a robot, or a list of them, as it was a while ago …
  double stale_logins = 0;     // … or the registry believes what was true then
  base::Duration lag{};        // how long ago
  double retry_after = 0;      // 503 with "Retry-After: 3600"; at times the request is carried out
  double concurrent = 0;       // somebody presses the UI's button during a POST
  double held = 0;             // the sender of a POST is frozen right before it is sent …
  base::Duration held_for{};   // … and for how long
};

// What is so until it is cured.
struct QuayTroubles {
  bool down = false;
  base::Duration answers_after{};  // everybody waits that long for an answer …
  bool posts_only = false;         // … or whoever POSTs
  bool read_only = false;
  bool audit_broken = false;       // 500 to a POST that has changed the token and to a good login
  bool locked = false;             // 500 after 10 s to a POST, 504 after 60 s to a login
  bool no_rights = false;          // the API token has lost its scope
  bool no_rights_as_user = false;  // … or never had user:admin
  bool organization_missing = false;
  bool robots_disallowed = false;
  bool owner_disabled = false;
  std::set<std::string> robots_missing;
};

class SimulatedQuay final : public Server {
 public:
  SimulatedQuay(testing::VirtualExecutor& world, std::uint64_t seed,
                std::string host = "quay.example.com");

  // Whoever looks on: a POST of an operator that Quay will perform has arrived, or has changed the
  // token. `robot` is the full name.
  struct Post {
    std::string robot;
    base::Duration held{};  // how long its sender was frozen right before it was sent
    const base::Executor* caller = nullptr;
    std::uint64_t number = 0;  // no two have the same
    bool late = false;         // its commit came, or was seen, after the caller had given up
    bool beyond = false;       // … and after the hold
  };
  std::function<void(const Post&)> on_regenerate;
  std::function<void(const Post&, const std::string& token)> on_commit;
  std::function<void(const Message&)> on_request;

  void add_robot(const std::string& full_name);
  // What a robot may do: all of them the same, unless the world changes it. One that is made anew
  // has none in a real Quay; here whoever does it grants the same again.
  struct Rights {
    std::set<std::string> teams = {};
    std::map<std::string, std::string> repositories = {{"app", "read"}};  // and the role
    // On repositories that that user ("": anybody) will create, and the role.
    std::map<std::string, std::string> default_permissions = {};
  };
  Rights& rights(const std::string& full_name) { return robots_.at(full_name).rights; }
  // Whoever did it, an operator or not; noted once a minute at most.
  void logged_in(const std::string& full_name);
  [[nodiscard]] std::optional<base::WallTime> last_accessed(const std::string& full_name) const {
    return robots_.at(full_name).last_accessed;
  }
  // What somebody does in the UI.
  void regenerate_in_ui(const std::string& full_name);
  // A backup is put back: the robot has the token of before again. False: it never had another.
  bool put_back(const std::string& full_name);
  [[nodiscard]] bool was_put_back(const std::string& full_name) const {
    const auto robot = robots_.find(full_name);
    return robot != robots_.end() && robot->second.put_back;
  }
  // The robot is made anew, which gives it another token.
  void restore_robot(std::string full_name);
  // The API token that is valid from now on, instead of the one before.
  const std::string& replace_api_token();
  [[nodiscard]] const std::string& api_token() const { return api_token_; }
  // "" when there is no such robot.
  [[nodiscard]] std::string token(const std::string& full_name);
  // By what has been looked at: the robot's token, and since when that one is it; nothing: it has
  // another.
  [[nodiscard]] std::string token_seen(const std::string& full_name) const;
  [[nodiscard]] std::optional<base::MonotonicTime> has_since(const std::string& full_name,
                                                             const std::string& token) const;
  [[nodiscard]] bool regenerated_in_ui(const std::string& full_name) const {
    return robots_.at(full_name).in_ui;
  }
  // Changes that POSTs made, the late ones included.
  [[nodiscard]] int commits(const std::string& full_name);
  [[nodiscard]] std::uint64_t requests() const { return requests_; }
  // How it names itself: "quay.example.com", "https://quay.example.com".
  [[nodiscard]] const std::string& host() const { return host_; }
  [[nodiscard]] std::string origin() const { return "https://" + host_; }

  // Other origins under which it is reached too.
  std::set<std::string> aliases;
  // That of its clients: they send a second POST no earlier than that after their ledger, which is
  // at most 30 s, a deadline, older than the first. Its commit comes before and is seen by then,
  // unless it is one of those `beyond`.
  base::Duration hold = std::chrono::minutes(2);
  base::Duration longest_lag{};  // the most that faults.lag is set to
  std::string service;           // in its challenge: its host, unless it lies
  QuayFaults faults;
  QuayTroubles troubles;
  Hostility hostility;

  base::Duration held(const Message& message) override;
  Journey journey(const Message& message, Process& caller) override;
  Reply handle(const Message& message, Process& caller) override;

 private:
  struct Past {
    std::string token;
    base::MonotonicTime until;
  };
  struct Robot {
    std::string token;
    std::vector<Past> past = {};  // the oldest first
    int commits = 0;
    bool in_ui = false;
    bool put_back = false;
    Rights rights = {};
    std::optional<base::WallTime> last_accessed = std::nullopt;
  };
  struct LogEntry {
    base::WallTime time;
    std::string robot;
    enum class Kind { by_hand, by_api, login } kind;
  };
  struct LateCommit {
    base::MonotonicTime time;
    Post post;
  };

  Reply answer(const Message& message, Process& caller);
  Reply api(const Message& message, std::string_view path, Process& caller);
  Reply list(const std::string& owner, std::string_view query, const Message& message,
             Process& caller);
  Reply robot(const std::string& full_name, std::string_view what, const Message& message,
              Process& caller);
  static Reply permissions(const Rights& rights);
  Reply default_permissions(const std::string& owner);
  Reply logs(const std::string& owner, std::string_view query);
  std::optional<Reply> failed_read(const Message& message, Process& caller);
  Reply regenerate(const std::string& full_name, const Message& message, Process& caller);
  Reply registry(const Message& message, std::string_view path, Process& caller);
  // It is so, and has met that request.
  bool met(bool trouble, FaultKind kind, const Message& message, Process& caller);
  [[nodiscard]] bool exists(const std::string& full_name) const;
  void replace(Robot& robot, std::string token);
  void log(const std::string& full_name, LogEntry::Kind kind);
  [[nodiscard]] base::Duration latest_commit() const {
    return hold - std::chrono::seconds(31) - longest_lag;
  }
  // What is answered for that robot, at a rate as it was a while ago.
  const std::string& seen(const Robot& robot, double rate, const Message& message, Process& caller);
  void commit(const Post& post);
  void commit_late(Post post);
  void catch_up();
  std::string new_token();

  testing::VirtualExecutor& world_;
  Dice dice_;
  std::string host_;
  std::map<std::string, Robot> robots_;
  std::uint64_t posts_ = 0;
  std::vector<LateCommit> late_;
  std::deque<LogEntry> log_;     // the oldest first
  std::uint64_t forgotten_ = 0;  // entries before those
  std::uint64_t tokens_ = 0;
  std::string api_token_;
  std::uint64_t requests_ = 0;
};

using Quays = std::vector<std::unique_ptr<SimulatedQuay>>;
// Which of them is reached there; null: none.
SimulatedQuay* quay_at(const Quays& quays, std::string_view origin);

// Opens connections of one process to the Quays there are, each at its origin and its aliases. A
// Quay that is a connection's proxy is a forger: it answers in place of the host that was asked
// for, and who trusts a CA of his own believes it.
class QuayConnections final : public http::TransportFactory {
 public:
  QuayConnections(Process& process, const Quays& quays) : process_(process), quays_(quays) {}
  tl::expected<std::unique_ptr<http::Transport>, http::Error> open(
      http::Endpoint endpoint) override;

 private:
  Process& process_;
  const Quays& quays_;
};

}  // namespace quay_rotator::simulation
