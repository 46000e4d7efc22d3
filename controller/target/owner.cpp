#include "target/owner.h"

#include "base/fingerprint.h"

namespace quay_rotator::target {

Owner Owner::of(const api::RobotTokenRotation& rotation) {
  return {rotation.meta.key, rotation.meta.uid};
}

std::string field_manager(const Owner& owner) {
  constexpr std::size_t longest = 128;
  std::string manager = "quay-rotator/" + owner.key.text();
  if (manager.size() <= longest) return manager;
  const std::string digest = "-" + base::digest_text(owner.key.text());
  return manager.substr(0, longest - digest.size()) + digest;
}

}  // namespace quay_rotator::target
