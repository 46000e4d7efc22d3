#include "rotation/status/words.h"

#include <algorithm>
#include <chrono>

#include "api/robot_token_rotation.h"

namespace quay_rotator::rotation {

std::string secrets(int count) {
  return count == 1 ? "1 Secret" : std::to_string(count) + " Secrets";
}

std::string held_by(int count) {
  return secrets(count) + (count == 1 ? " holds" : " hold");
}

std::string in_words(base::Duration time) {
  return base::format_duration(std::max<base::Duration>(
      std::chrono::ceil<std::chrono::seconds>(time), std::chrono::seconds(1)));
}

std::string asking_again(base::Duration delay) {
  return "; asking again in " + in_words(delay);
}

std::string stale_message(base::Fingerprint stale, std::optional<base::Fingerprint> newest) {
  return "Quay answered with token " + stale.text() + ", which is older than " +
         (newest ? newest->text() : "the one that a regeneration has made") +
         " (a replica or a cache that lags; or a backup of Quay that was put back, which is "
         "believed when it stays and the registry accepts it)";
}

std::string differences(const credential::Comparison& comparison) {
  std::string all;
  for (const std::string& one : comparison.differences) all += (all.empty() ? "" : ", ") + one;
  return "the two robots take turns and so need the same permissions: " + all +
         "; make them equal in Quay";
}

std::string summary(const std::vector<target::Problem>& problems) {
  const target::Problem& first = problems.front();
  std::string text = first.message;
  // Our own words name it as namespace/name, the API server's as "name".
  const std::string& name = first.object.name;
  if (text.find("/" + name) == std::string::npos &&
      text.find('"' + name + '"') == std::string::npos) {
    text.insert(0, first.kind + " " + name + ": ");
  }
  if (problems.size() > 1) {
    text += " (and " + std::to_string(problems.size() - 1) + " more, see status.targets.failing";
    if (problems.size() > api::most_failing) {
      text += " for the first " + std::to_string(api::most_failing);
    }
    text += ")";
  }
  return text;
}

}  // namespace quay_rotator::rotation
