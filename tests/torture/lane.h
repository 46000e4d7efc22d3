// A tenant of the tortured cluster: a namespace with robots that rotate, an operator of its own
// that looks after them, and the books of what Quay did for it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "cluster/cluster.h"
#include "cluster/operator_process.h"
#include "torture/tcp_proxy.h"

namespace quay_rotator::torture {

using cluster::json;

// What a disaster did, as Quay's journal and the Secrets tell.
struct Damage {
  int rotations = 0;                         // asked for and done
  int lost = 0;                              // Secrets that do not hold the token that Quay holds
  int extra = 0;                             // regenerations that nobody asked for
  std::chrono::duration<double> recovery{};  // until everything was right again
  std::vector<std::string> complaints;       // whatever is not as it should be
};

// Not synchronized: one thread uses it at a time, and that thread must outlive the operators that
// it starts, which die with it.
class Lane {
 public:
  // Makes everything and lets an operator adopt the robots' tokens.
  Lane(std::string name_space, std::size_t resources);
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  [[nodiscard]] const std::string& name_space() const { return name_space_; }
  [[nodiscard]] std::size_t resources() const { return names_.size(); }
  TcpProxy& api_proxy() { return *api_proxy_; }
  TcpProxy& quay_proxy() { return *quay_proxy_; }
  // The chance of the run that begins.
  void seed(std::uint64_t value) { random_.seed(value); }
  std::size_t draw(std::size_t below) { return random_() % below; }
  // Waits up to that long: the instant of a disaster.
  void linger(std::chrono::milliseconds most);

  // --- Operators. Replicas have a number; what ran under it is killed first.
  void start(std::size_t replica = 0, cluster::OperatorOptions changes = {.quay_timeout = "1s"});
  // Unless it runs already: starts it, and waits until it acts.
  void start_leading(const std::vector<std::string>& arguments = {},
                     const std::string& quay_timeout = "1s");
  // What runs now is not to be used by the next disaster.
  void spoil() { spoiled_ = true; }
  cluster::OperatorProcess& replica(std::size_t number) { return *replicas_.at(number); }
  void kill(std::size_t replica);
  void kill_all();
  // Until the Lease names another one.
  void wait_for_another_leader(std::size_t replica);
  // Until it has ended, or stopped itself; false when that takes too long.
  bool wait_for_end(std::size_t replica);
  bool wait_for_stop(std::size_t replica);
  // How often replica 0 has listed; and until it has listed again.
  void note_lists() { lists_ = count_lists(); }
  bool wait_for_new_list();

  // --- Robots
  // Asks for one rotation of each resource, or of those that have done what they were asked for.
  void request();
  void request_of_idle();
  // A fault of Quay for one of our robots; its id. It lasts until the lane has settled.
  int add_fault(json fault);
  void remove_faults();
  // Waits until it has struck; false when that takes too long.
  static bool wait_for_fault(int fault);
  // Somebody deletes one Secret and damages another.
  void damage_secrets();

  // The disaster is over: from here the recovery is timed.
  void start_recovering() { recovering_since_ = std::chrono::steady_clock::now(); }
  // Waits until everything is right; false when that takes too long.
  bool await_right();
  // … restarting operators that end as the kubelet does (but none of
  // those that a test has killed), closes the books. Once for each request().
  Damage settle();
  // The journal forgets: to be called at least every 100,000 requests to Quay.
  void read_journal();
  // Regenerations since the books were closed, as far as the journal was read.
  [[nodiscard]] int rotations() const { return std::accumulate(done_.begin(), done_.end(), 0); }
  void complain(const std::string& what) { complaints_.push_back(what); }
  [[nodiscard]] bool has_complaints() const { return !complaints_.empty(); }
  // Files with what the operators of this lane have logged since they were forgotten.
  [[nodiscard]] const std::vector<std::string>& logs() const { return logs_; }
  void forget_logs();

 private:
  struct Target {
    std::size_t resource;
    std::string name;
    std::string uid;
  };

  void create();
  [[nodiscard]] std::string robot(std::size_t resource) const;
  void request(std::size_t resource);
  void restart_ended();
  [[nodiscard]] double count_lists() const;
  // What is not right with it; "" for nothing.
  [[nodiscard]] std::string problem(const json& rotation, std::size_t resource) const;
  // As it is: what is not right?
  std::vector<std::string> problems();
  // How many Secrets do not hold what Quay holds; their names.
  std::vector<std::string> stale_secrets(bool note_uids);

  std::string name_space_;
  std::vector<std::string> names_;  // of the resources
  std::vector<Target> targets_;
  std::unique_ptr<TcpProxy> api_proxy_;
  std::unique_ptr<TcpProxy> quay_proxy_;
  std::string kubeconfig_;
  cluster::OperatorOptions options_{.quay_timeout = "1s"};  // of the last start_leading
  std::vector<std::unique_ptr<cluster::OperatorProcess>> replicas_;
  std::vector<std::string> logs_;
  std::mt19937_64 random_;
  bool spoiled_ = false;
  std::vector<int> faults_;
  double lists_ = 0;
  std::vector<int> requests_;  // of each resource; the number is the request's name
  std::vector<int> expected_;  // regenerations of each robot since the books were closed …
  std::vector<int> done_;      // … and what the journal says of them
  std::vector<long> counted_;  // the last journal entry of each that is in the books
  std::chrono::steady_clock::time_point recovering_since_{};
  std::vector<std::string> complaints_;
};

}  // namespace quay_rotator::torture
