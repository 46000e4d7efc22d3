#include "simulation/promises/single_shot.h"

#include <utility>

namespace quay_rotator::simulation {

namespace {

using nlohmann::json;

// What changes with each due moment.
std::string dated(const json& rotation) {
  return text_at(rotation, "/status/lastRotationTime") +
         text_at(rotation, "/status/tokenFingerprint");
}

std::string request_of(const Sent& sent) {
  return sent.ledger->content.value("rotateRequest", "");
}

bool is_initial(const Sent& sent) {
  return sent.ledger->content.value("reason", "") == "Initial";
}

}  // namespace

void SingleShot::on_rotation(const Change& change) {
  if (!change.after) return;
  Account& account = accounts_[text_at(*change.after, "/metadata/uid")];
  if (!change.before) {
    account.last = known().world.wall_now();
  } else if (dated(*change.before) != dated(*change.after)) {
    ++account.due;
  }
}

void SingleShot::carry_over(const std::string& old_uid, const std::string& new_uid) {
  Account& account = accounts_[new_uid];
  account = accounts_[old_uid];
  account.initial = true;
  ++account.due;
}

void SingleShot::on_regenerate(const Sent& sent) {
  if (!sent.excused) return;
  note("… whose sender was frozen after its last check");
  ++late_sends_;
}

void SingleShot::on_commit(const Sent& sent) {
  if (!sent.ledger) return violate("I2 " + sent.robot.text() + " was regenerated without a ledger");
  if (!sent.holder) return;  // deleted while the request was on its way
  if (known().quay_of(sent.robot).was_put_back(sent.robot.name)) return;
  charge(sent);
}

void SingleShot::count_extra() {
  note("an extra regeneration");
  ++extra_;
}

void SingleShot::excuse(const Sent& sent, Account& account) {
  const std::string request = request_of(sent);
  const bool again = request.empty() ? (is_initial(sent) && account.initial)
                                     : known().served(sent.ledger->uid, request);
  if (again || !has_ledger(*sent.holder->object)) count_extra();
  account.excused.insert(request);
}

void SingleShot::charge(const Sent& sent) {
  Account& account = accounts_[sent.ledger->uid];
  if (sent.excused) return excuse(sent, account);
  const std::string request = request_of(sent);
  const std::string what = "I2 " + sent.robot.text() + " was regenerated ";
  if (!request.empty()) {
    if (!known().requested(sent.ledger->uid, request)) {
      violate(what + "for a request that nobody made");
    }
    if (known().served(sent.ledger->uid, request)) violate(what + "again for request " + request);
    if (account.excused.contains(request)) count_extra();
  } else if (is_initial(sent)) {
    if (std::exchange(account.initial, true)) violate(what + "initially again");
  } else {
    if (std::exchange(account.charged_due, account.due) == account.due) {
      violate(what + "again for one due moment");
    }
    const base::Duration interval =
        *base::parse_duration(text_at(*sent.holder->object, "/spec/schedule/interval"));
    // What was on its way while another request was served was not too early.
    if (!known().clocks_lie && sent.at > account.last &&
        sent.at - account.last < interval - std::chrono::seconds(1)) {
      violate(what + "before its interval was over");
    }
  }
  account.last = known().world.wall_now();
}

}  // namespace quay_rotator::simulation
