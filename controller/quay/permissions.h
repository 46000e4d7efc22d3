// What two robots may do in Quay and where they differ, for robots that stand in for one another.
// Pure functions.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret_string.h"
#include "base/time.h"

namespace quay_rotator::quay {

// What a robot may do, in words that continue its name ("may use repository app"), and where Quay
// tells them the roles in which it may ("read").
class Rights {
 public:
  // Of names. Quay's own have 255 characters at most: these are thousands of repositories.
  static constexpr std::size_t most = 1U << 20U;

  void add(std::string right, std::string_view role = {});
  // There are more than are kept here.
  void cut_off() { cut_off_ = true; }

 private:
  friend std::vector<std::string> differences(std::string_view first_name, const Rights& first,
                                              std::string_view second_name, const Rights& second,
                                              const base::SecretString& api_token);
  std::map<std::string, std::set<std::string>> rights_;
  std::size_t size_ = 0;
  bool cut_off_ = false;
};

// What one may do and the other not, as sentences for people ("only puller may use repository
// app"): ten at most and then "and 5 more". Names are the server's: they are cut short, and shown
// as public_text() does. Of rights that are cut off there is nothing to compare, which is a
// difference.
std::vector<std::string> differences(std::string_view first_name, const Rights& first,
                                     std::string_view second_name, const Rights& second,
                                     const base::SecretString& api_token);

struct RobotsCompared {
  std::vector<std::string> differences;  // of differences(); none: they may do the same
  // As in RobotCredential.
  std::optional<base::WallTime> first_last_accessed;
  std::optional<base::WallTime> second_last_accessed;
  // Whether their roles in each repository are among what was compared. Quay shows these to an API
  // token that has user:admin beside org:admin.
  bool roles_compared = false;
};

}  // namespace quay_rotator::quay
