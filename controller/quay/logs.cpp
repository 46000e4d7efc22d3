// RobotsApi::regenerations.
#include "quay/logs.h"

#include <algorithm>
#include <utility>

#include "base/public_text.h"
#include "quay/call.h"
#include "quay/robots_api.h"

namespace quay_rotator::quay {

namespace {

using base::JsonPath;
using base::SecretString;

constexpr std::size_t most_page = 1U << 20U;
constexpr std::size_t most_entries = 100;
constexpr std::size_t most_addresses = 50;
constexpr std::size_t most_text = 255;  // a name's, in Quay's database

// What Quay calls the page that comes next: base64 that goes into a query.
bool is_cursor(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '=';
  });
}

// {"logs": [{"kind", "datetime", "ip", "performer": {"name"}, "metadata": {"robot",
// "oauth_token_application"}}], "next_page"}, the newest first
class LogReader : public ListReader {
 public:
  LogReader(const Robot& robot, base::WallTime since, const SecretString& api_token,
            Regenerations& found)
      : ListReader("logs"), robot_(robot), since_(since), api_token_(api_token), found_(found) {}

  void on_string(const JsonPath& path, std::string_view value) override {
    if (at(path, "kind")) kind_ = value;
    if (at(path, "datetime")) time_ = parse_date(value);
    if (at(path, "ip")) entry_.address = shown(value);
    if (at(path, "performer", "name")) {
      entry_.performer = shown(value);
      by_robot_ = is_name_of(robot_, value);
    }
    if (at(path, "metadata", "robot")) of_robot_ = value == robot_.name;
    if (at(path, "metadata", "oauth_token_application")) entry_.application = shown(value);
    if (path.size() == 1 && path[0] == "next_page") next_page = value;
  }
  // search_unavailable: Quay keeps its log where it cannot be read.
  void on_other(const JsonPath& path) override {
    if (path.size() == 1 && path[0] == "search_unavailable") found_.incomplete = true;
  }
  void on_element() override {
    entries = true;
    const bool regenerated = kind_ == "regenerate_robot_token" && of_robot_;
    if (!time_) {
      found_.incomplete = found_.incomplete || regenerated || by_robot_;
    } else if (*time_ < since_) {
      older = true;
    } else if (regenerated) {
      take_regeneration();
    } else if (by_robot_) {
      take_use();
    }
    kind_.clear();
    time_.reset();
    of_robot_ = by_robot_ = false;
    entry_ = {};
  }

  std::string next_page;
  bool entries = false;
  bool older = false;  // than what is looked for: so are those that follow

 private:
  [[nodiscard]] std::string shown(std::string_view text) const {
    return base::public_text(text.substr(0, most_text), {api_token_.reveal()}, "(not shown)");
  }
  void take_regeneration() {
    if (found_.entries.size() == most_entries) {
      found_.incomplete = true;
      return;
    }
    entry_.time = *time_;
    found_.entries.push_back(std::move(entry_));
  }
  void take_use() {
    auto use = std::ranges::find(found_.uses, entry_.address, &Use::address);
    if (use == found_.uses.end()) {
      if (found_.uses.size() == most_addresses) {
        found_.incomplete = true;
        return;
      }
      use = found_.uses.insert(use, {std::move(entry_.address), 0, *time_, *time_});
    }
    ++use->count;
    use->first = std::min(use->first, *time_);
    use->last = std::max(use->last, *time_);
  }

  const Robot& robot_;
  base::WallTime since_;
  const SecretString& api_token_;
  Regenerations& found_;
  std::string kind_;
  std::optional<base::WallTime> time_;
  bool of_robot_ = false;
  bool by_robot_ = false;
  Regeneration entry_;
};

// "11/28/2026": Quay selects whole days.
std::string day_of(base::WallTime time) {
  const std::string text = base::format_time(time);
  return text.substr(5, 2) + "/" + text.substr(8, 2) + "/" + text.substr(0, 4);
}

}  // namespace

Expected<Regenerations> RobotsApi::regenerations(const Robot& robot, base::WallTime since,
                                                 const SecretString& api_token,
                                                 const std::stop_token& stop) {
  if (auto error = illegal(robot)) return tl::unexpected(std::move(*error));
  if (api_token.empty()) return no_api_token();
  since = std::chrono::floor<std::chrono::seconds>(since);  // entries have whole seconds
  const Call call{Call::Kind::log, origin_, robot_text(robot), robot.organization.empty()};
  const std::string first = owner_path(robot.organization) + "/logs?starttime=" + day_of(since);

  const auto read = [&]() -> Expected<Regenerations> {
    Regenerations found;
    std::string target = first;
    for (int page = 1; page <= most_pages_of_log; ++page) {
      LogReader reader(robot, since, api_token, found);
      if (page > 1 && options_.on_next_request) options_.on_next_request();
      auto answer = read_list(transport_, call, target, api_token, options_.deadline, stop, reader,
                              "log entries", most_page);
      if (!answer && page == 1) return tl::unexpected(std::move(answer.error()));
      if (!answer) break;
      if (!reader.entries || reader.older || reader.next_page.empty()) return found;
      if (!is_cursor(reader.next_page)) break;
      target = first + "&next_page=" + reader.next_page;
    }
    found.incomplete = true;
    return found;
  };
  auto result = read();
  observe(options_, "logs", result);
  return result;
}

}  // namespace quay_rotator::quay
