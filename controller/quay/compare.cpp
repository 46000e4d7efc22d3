// RobotsApi::compare.
#include <array>
#include <utility>

#include "quay/call.h"
#include "quay/permissions.h"
#include "quay/robots_api.h"

namespace quay_rotator::quay {

namespace {

using base::JsonPath;
using base::SecretString;

constexpr std::size_t most_name = 255;  // in Quay's database

struct Side {
  Robot robot;
  Rights rights;
  std::optional<base::WallTime> last_accessed;
  bool found = false;
  bool shown = false;  // its teams and repositories
};
using Sides = std::array<Side, 2>;

std::string use_of(std::string_view repository) {
  return "may use repository " + std::string(repository);
}

// {"robots": [{"name", "last_accessed", "teams": [{"name"}], "repositories": ["app"]}]}
class RightsReader : public ListReader {
 public:
  explicit RightsReader(Sides& sides) : ListReader("robots"), sides_(sides) {}

  void on_string(const JsonPath& path, std::string_view value) override {
    if (at(path, "name")) {
      name_ = value;
      // Quay tells the name first: what another robot may do need not be held.
      other_ = !is_name_of(sides_[0].robot, name_) && !is_name_of(sides_[1].robot, name_);
    }
    if (at(path, "last_accessed")) last_accessed_ = parse_date(value);
    const bool team = is_team(path);
    if (other_ || (!team && !at(path, "repositories", "[]"))) return;
    if (value.size() > most_name) return rights_.cut_off();
    rights_.add(team ? "is in team " + std::string(value) : use_of(value));
  }
  void on_other(const JsonPath& path) override {
    if (is_team(path) || at(path, "repositories", "[]")) rights_.cut_off();
  }
  void on_begin(const JsonPath& path) override {
    ListReader::on_begin(path);
    if (at(path, "teams")) teams_ = true;
    if (at(path, "repositories")) repositories_ = true;
  }
  void on_element() override {
    for (Side& side : sides_) {
      if (!is_name_of(side.robot, name_)) continue;
      side.rights = rights_;
      side.last_accessed = last_accessed_;
      side.found = true;
      side.shown = teams_ && repositories_;
    }
    name_.clear();
    rights_ = {};
    last_accessed_.reset();
    other_ = teams_ = repositories_ = false;
  }

 private:
  static bool is_team(const JsonPath& path) {
    return path.size() == 5 && path[0] == "robots" && path[2] == "teams" && path[4] == "name";
  }

  Sides& sides_;
  std::string name_;
  Rights rights_;
  std::optional<base::WallTime> last_accessed_;
  bool other_ = false;
  bool teams_ = false;
  bool repositories_ = false;
};

// {"prototypes": [{"activating_user": {"name"} or null, "delegate": {"name", "kind"}, "role"}]}
class DefaultPermissionsReader : public ListReader {
 public:
  explicit DefaultPermissionsReader(Sides& sides) : ListReader("prototypes"), sides_(sides) {}

  void on_string(const JsonPath& path, std::string_view value) override {
    const std::string_view text = value.substr(0, most_name);
    if (at(path, "activating_user", "name")) creator_ = text;
    if (at(path, "delegate", "name")) delegate_ = text;
    if (at(path, "delegate", "kind")) kind_ = text;
    if (at(path, "role")) role_ = text;
  }
  void on_element() override {
    for (Side& side : sides_) {
      const std::string name = full_name(side.robot);
      const bool own = creator_ == name;
      const bool to_itself = kind_ == "user" && delegate_ == name;
      if (to_itself) {
        side.rights.add("may use new repositories" +
                            (creator_.empty() ? "" : " of " + (own ? "its own" : creator_)),
                        role_);
      } else if (own) {
        side.rights.add("gives its new repositories to " + kind_ + " " + delegate_, role_);
      }
    }
    for (std::string* text : {&creator_, &delegate_, &kind_, &role_}) text->clear();
  }

 private:
  Sides& sides_;
  std::string creator_;  // "": whoever creates one
  std::string delegate_;
  std::string kind_;  // user (robots are users) or team
  std::string role_;
};

// {"permissions": [{"repository": {"name"}, "role"}]}
class RolesReader : public ListReader {
 public:
  explicit RolesReader(Rights& rights) : ListReader("permissions"), rights_(rights) {}

  void on_string(const JsonPath& path, std::string_view value) override {
    if (value.size() > most_name) return rights_.cut_off();
    if (at(path, "repository", "name")) repository_ = value;
    if (at(path, "role")) role_ = value;
  }
  void on_element() override {
    rights_.add(use_of(repository_), role_);
    repository_.clear();
    role_.clear();
  }

 private:
  Rights& rights_;
  std::string repository_;
  std::string role_;
};

}  // namespace

Expected<RobotsCompared> RobotsApi::compare(const std::string& organization, std::string_view first,
                                            std::string_view second, const SecretString& api_token,
                                            const std::stop_token& stop) {
  Sides sides;
  sides[0].robot = {organization, std::string(first)};
  sides[1].robot = {organization, std::string(second)};
  for (const Side& side : sides) {
    if (auto error = illegal(side.robot)) return tl::unexpected(std::move(*error));
  }
  if (api_token.empty()) return no_api_token();
  const std::string owner = owner_path(organization);
  const auto call = [&](std::string subject) {
    return Call{Call::Kind::compare, origin_, std::move(subject), organization.empty()};
  };
  const Call both = call("the robots of " + owner_text(organization));
  const auto read = [&](const Call& of, const std::string& target, ListReader& reader,
                        std::string_view what) {
    return read_list(transport_, of, target, api_token, options_.deadline, stop, reader, what);
  };
  const auto read_next = [&](const Call& of, const std::string& target, ListReader& reader,
                             std::string_view what) {
    if (options_.on_next_request) options_.on_next_request();
    return read(of, target, reader, what);
  };

  const auto compared = [&]() -> Expected<RobotsCompared> {
    RightsReader robots(sides);
    auto answer = read(both, owner + "/robots?permissions=true&token=false", robots, "robots");
    if (!answer) return tl::unexpected(std::move(answer.error()));
    for (const Side& side : sides) {
      if (!side.found) return tl::unexpected(robot_missing(call(robot_text(side.robot))));
      if (!side.shown) return tl::unexpected(rights_missing(call(robot_text(side.robot))));
    }
    if (!organization.empty()) {  // users have none
      DefaultPermissionsReader permissions(sides);
      answer = read_next(both, owner + "/prototypes", permissions, "default permissions");
      if (!answer) return tl::unexpected(std::move(answer.error()));
    }
    RobotsCompared result;
    result.first_last_accessed = sides[0].last_accessed;
    result.second_last_accessed = sides[1].last_accessed;
    result.roles_compared = true;
    std::array<Rights, 2> rights{sides[0].rights, sides[1].rights};
    for (std::size_t i = 0; i < 2 && result.roles_compared; ++i) {
      RolesReader roles(rights[i]);
      answer = read_next(call(robot_text(sides[i].robot)),
                         owner + "/robots/" + sides[i].robot.name + "/permissions", roles,
                         "permissions");
      if (answer) continue;
      if (answer.error().kind != Error::Kind::insufficient_scope) {
        return tl::unexpected(std::move(answer.error()));
      }
      result.roles_compared = false;
      rights = {sides[0].rights, sides[1].rights};
    }
    result.differences = differences(first, rights[0], second, rights[1], api_token);
    return result;
  };
  auto result = compared();
  observe(options_, "robots-compare", result);
  return result;
}

}  // namespace quay_rotator::quay
