#include "simulation/observer.h"

#include <sstream>
#include <utility>
#include <variant>

#include "api/group.h"

namespace quay_rotator::simulation {

Observer::Observer(testing::VirtualExecutor& world, SimulatedApiServer& api, const Quays& quays)
    : journal_(world), known_(world, api, quays) {
  api.on_change = [this](const Change& change) { on_change(change); };
  api.on_request = [this](const auto& message, const auto& address, const auto& caller) {
    for (Checker* checker : checkers_) checker->on_request(message, address, caller);
  };
  api.on_dry_run = [this](const kube::ObjectKey& secret) {
    const std::uint64_t order = known_.next_order();
    for (Checker* checker : checkers_) checker->on_dry_run(secret, order);
  };
  for (const auto& quay : quays) watch(*quay);
}

void Observer::watch(SimulatedQuay& quay) {
  quay.on_request = [this](const Message& message) { check_public("a URL", message.target); };
  quay.on_regenerate = [this, &quay](const SimulatedQuay::Post& post) {
    if (of_copy_.contains(post.caller)) return one_cluster_.on_copys_post(post.robot);
    const Sent& sent = known_.take_post(quay.host(), post);
    note("POST regenerate " + sent.robot.text());
    for (Checker* checker : checkers_) checker->on_regenerate(sent);
  };
  quay.on_commit = [this, &quay](const SimulatedQuay::Post& post, const std::string& token) {
    on_commit(quay, post, token);
  };
}

void Observer::on_commit(SimulatedQuay& quay, const SimulatedQuay::Post& post,
                         const std::string& token) {
  if (of_copy_.contains(post.caller)) {
    known_.excuse({quay.host(), post.robot});
    return calm().disturb_quay(quay.host());
  }
  const Sent sent = known_.take_commit(quay.host(), post, token);
  note("Quay has a new token for " + sent.robot.text());
  for (Checker* checker : checkers_) checker->on_commit(sent);
  if (sent.late) calm().disturb_quay(quay.host());
  known_.settle(sent);
}

void Observer::watch_copy(SimulatedApiServer& copy) {
  one_cluster_.begin(copy.cluster());
  copy.on_change = [this](const Change& change) { one_cluster_.on_copied(change); };
  copy.on_request = [this](const auto& message, const auto& address, const auto& caller) {
    no_leak_.on_request(message, address, caller);
  };
}

void Observer::carry_over(const std::string& old_uid, const std::string& new_uid) {
  known_.carry_over(old_uid, new_uid);
  single_shot_.carry_over(old_uid, new_uid);
}

void Observer::put_back(Done done) {
  known_.put_back(std::move(done.first));
  single_shot_.put_back(std::move(done.second));
  look_first_.put_back();
}

void Observer::on_change(const Change& change) {
  known_.take(change);
  no_bad_neighbour_.look();
  if (change.plural == api::rotations.plural) {
    const bool edited =
        !change.before || !change.after || (*change.before)["spec"] != (*change.after)["spec"];
    if (change.caller == nullptr && edited) calm().disturb_namespace(change.key.name_space);
    for (Checker* checker : checkers_) checker->on_rotation(change);
  }
  if (change.plural == kube::secrets.plural) {
    if (change.caller == nullptr) calm().disturb_namespace(change.key.name_space);
    for (Checker* checker : checkers_) checker->on_secret(change);
  }
}

std::vector<std::string> Observer::unsettled() const {
  std::vector<std::string> problems;
  for (const Checker* checker : checkers_) checker->add_unsettled(problems);
  return problems;
}

void Observer::write(base::LogLevel /*level*/, std::string_view message,
                     const std::vector<base::LogField>& fields) {
  check_public("the log", message);
  for (const base::LogField& field : fields) {
    if (const auto* text = std::get_if<std::string>(&field.value)) check_public("the log", *text);
  }
  if (!trace_logs_) return;
  std::ostringstream line;
  line << "    log: " << message;
  for (const base::LogField& field : fields) {
    line << ' ' << field.key << '=';
    std::visit([&line](const auto& value) { line << value; }, field.value);
  }
  note(std::move(line).str());
}

}  // namespace quay_rotator::simulation
