#include "simulation/promises/look_first.h"

#include <algorithm>

namespace quay_rotator::simulation {

void LookFirst::on_dry_run(const kube::ObjectKey& secret, std::uint64_t order) {
  dry_runs_[secret] = order;
}

void LookFirst::on_rotation(const Change& change) {
  if (!begins_ledger(change)) return;
  const Rotation& rotation = *known().rotation(change.key);
  std::vector<kube::ObjectKey>& unseen = unseen_[rotation.uid()];
  unseen.clear();
  // One that comes back with the API server's older state is no new one.
  if (change.caller == nullptr || retires(ledger_of(*change.after))) return;
  for (const kube::ObjectKey& target : targets_of(*change.after)) {
    const RobotId robot{rotation.robot.host, text_at(ledger_of(*change.after), "/robot")};
    if (dry_runs_[target] <= posts_[robot]) unseen.push_back(target);
  }
}

void LookFirst::put_back() {
  posts_.clear();
}

void LookFirst::on_regenerate(const Sent& sent) {
  if (sent.undone) return;
  std::uint64_t& last = posts_[sent.robot];
  last = std::max(last, sent.order);
  if (sent.excused) return;
  for (const Rotation& rotation : known().claimants(sent.robot)) {
    if (!has_ledger(*rotation.object)) continue;
    for (const kube::ObjectKey& target : unseen_[rotation.uid()]) {
      violate("I3 no dry run of " + target.text() + " before " + sent.robot.text() +
              " was regenerated");
    }
  }
}

}  // namespace quay_rotator::simulation
