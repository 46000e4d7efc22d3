#include "simulation/hostility.h"

#include <array>
#include <string>
#include <string_view>

#include "simulation/simulated_quay.h"

namespace quay_rotator::simulation {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

bool asks_for_a_list(const Message& message) {
  const std::string_view path = message.target.substr(0, message.target.find('?'));
  return message.method == http::Method::get && path.ends_with("/robots");
}

std::string listed(std::string_view name, std::size_t number) {
  return R"({"name":")" + std::string(name) + R"(","token":")" + std::string(token_mark) +
         "HOSTILE" + std::to_string(number) + R"(","description":"","unstructured_metadata":{}})";
}

// `first`, then `again` over and over, one piece each `pause`; until nobody listens or, as every
// connection does at last, it breaks.
Reply endless(std::string first, std::string again, base::Duration pause, Process& caller) {
  Reply reply;
  reply.source = [first = std::move(first), again = std::move(again), pause, &caller, pieces = 0](
                     base::MonotonicTime /*silence*/, const std::stop_token& stop) mutable
      -> tl::expected<std::optional<std::string>, http::Error> {
    constexpr int most_pieces = 4000;  // 60 MB, or more than an hour
    if (++pieces > most_pieces || !caller.sleep_until(caller.now() + pause, stop)) {
      return tl::unexpected(
          http::Error{http::Error::Kind::connection_lost, "the connection was lost", true});
    }
    return pieces == 1 ? first : again;
  };
  return reply;
}

Reply endless_list(Process& caller, Dice& dice) {
  // Mostly slow, for the sake of speed: the deadline ends it. Else it becomes too large before.
  const base::Duration pause = milliseconds(dice.chance(0.02) ? 5 : 250);
  std::string again;
  switch (dice.below(4)) {
    case 0: {  // robots
      for (std::size_t number = 0; number < 128; ++number) {
        again += "," + listed("acme+more-" + std::to_string(number), number);
      }
      return endless(R"({"robots":[)" + listed("acme+first", 0), again, pause, caller);
    }
    case 1:  // one name
      return endless(R"({"robots":[{"name":"acme+)", std::string(16'384, 'x'), pause, caller);
    case 2:  // depth
      return endless(R"({"robots":)", std::string(16'384, '['), pause, caller);
    default:  // nothing at all
      return endless("{", std::string(16'384, ' '), pause, caller);
  }
}

std::string nonsense_list(Dice& dice) {
  const std::array<std::string, 12> lists{
      "",
      "[]",
      "null",
      R"({"robots":{}})",
      R"({"robots":[1,null,"x",{},[]]})",
      R"({"robots":[{"name":"acme+puller"}]})",
      R"({"robots":[{"name":42,"token":{"a":[]}}]})",
      R"({"robots":[{"name":"acme+\u0000\n\u001b[2J","token":"QRSIMTOKEN\r\nX-Evil: 1"}]})",
      "{\"robots\":[{\"name\":\"acme+\xff\xfe\",\"token\":\"\xc0\x80\"}]}",
      R"({"robots":[{"name":"acme+)" + std::string(100'000, 'a') + R"(","token":"QRSIMTOKENA"}]})",
      R"({"robots":[)" + listed("acme+robot-0", 1) + "," + listed("acme+robot-0", 2) + "]}",
      std::string(10'000, '[') + std::string(10'000, ']')};
  return lists.at(dice.below(lists.size()));
}

std::string list_of_others() {
  std::string robots;
  for (std::size_t number = 0; number < 8; ++number) {
    const std::string name = "robot-" + std::to_string(number);
    for (const char* owner : {"acme+", "globex+", "admin+", ""}) {
      robots += (robots.empty() ? "" : ",") + listed(owner + name, number);
    }
  }
  return R"({"robots":[)" + robots + "]}";
}

Reply comes_much_later(Dice& dice) {
  constexpr std::array<const char*, 5> times{"3600", "31536000", "4294967295",
                                             "99999999999999999999", "-1"};
  constexpr std::array<int, 3> statuses{429, 503, 500};
  return {statuses.at(dice.below(statuses.size())),
          "<html>later</html>",
          {{"Content-Type", "text/html"}, {"Retry-After", times.at(dice.below(times.size()))}}};
}

Reply registry_nonsense(bool challenges, Dice& dice) {
  if (!challenges) {
    const std::array<Reply, 6> answers{
        Reply{200, "[[[[", {}},
        Reply{200, R"({"token":)" + std::string(50'000, '1') + "}", {}},
        Reply{401, std::string(50'000, '\n'), {}},
        Reply{401, R"({"errors":[{"message":"QRSIMTOKEN QRSIMTOKEN"}]})", {}},
        Reply{302, "", {{"Location", "https://QRSIMTOKEN.example.org/"}}},
        Reply{599, "", {}}};
    return answers.at(dice.below(answers.size()));
  }
  const std::array<std::string, 7> challenge{
      R"(Bearer realm="https://quay.example.com/v2/auth",service="quay.example.com")",
      R"(Bearer realm="http://169.254.169.254/latest",service="x")",
      R"(Bearer realm="https://QRSIMTOKEN.example.org/",service="QRSIMTOKEN")",
      "Bearer realm=\"" + std::string(60'000, 'r') + "\"",
      "Bearer " + std::string(60'000, ','),
      "Basic",
      ""};
  const std::string& header = challenge.at(dice.below(challenge.size()));
  Reply reply{dice.chance(0.8) ? 401 : 200, "", {}};
  if (!header.empty()) reply.headers.push_back({"WWW-Authenticate", header});
  return reply;
}

}  // namespace

std::optional<std::pair<FaultKind, Reply>> Hostility::answer(const Message& message,
                                                             Process& caller, Dice& dice) const {
  const bool logs_in = message.target.starts_with("/v2/");
  if (much_later) return std::pair{FaultKind::quay_much_later, comes_much_later(dice)};
  if (registry && logs_in) {
    return std::pair{FaultKind::registry_nonsense,
                     registry_nonsense(!message.target.starts_with("/v2/auth"), dice)};
  }
  if (!asks_for_a_list(message)) return std::nullopt;
  const Reply good{200, "", {{"Content-Type", "application/json"}}};
  if (trickles) {
    return std::pair{FaultKind::quay_trickles, endless("{", " ", seconds(1), caller)};
  }
  if (endless_lists) return std::pair{FaultKind::quay_endless_list, endless_list(caller, dice)};
  if (nonsense_lists) {
    Reply reply = good;
    reply.body = nonsense_list(dice);
    return std::pair{FaultKind::quay_nonsense_list, reply};
  }
  if (others_robots) {
    Reply reply = good;
    reply.body = list_of_others();
    return std::pair{FaultKind::quay_others_robots, reply};
  }
  return std::nullopt;
}

std::optional<std::pair<FaultKind, base::Duration>> Hostility::delay(const Message& message) const {
  // Longer than any deadline; a byte a second is a few hundred seconds for any answer.
  if (silent) return std::pair{FaultKind::quay_silent, base::Duration(std::chrono::hours(1))};
  if (trickles && !asks_for_a_list(message)) {
    return std::pair{FaultKind::quay_trickles, base::Duration(std::chrono::minutes(5))};
  }
  return std::nullopt;
}

}  // namespace quay_rotator::simulation
