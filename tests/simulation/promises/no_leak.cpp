#include "simulation/promises/no_leak.h"

#include "base/base64.h"

namespace quay_rotator::simulation {

namespace {

using nlohmann::json;

// The mark itself, and what base64 makes of it at each of the three alignments.
std::vector<std::string> spellings(std::string_view mark) {
  std::vector<std::string> all{std::string(mark)};
  for (std::size_t before = 0; before < 3; ++before) {
    const auto encoded = base::base64_encode(std::string(before, '\0') + std::string(mark));
    const std::size_t first = (before * 8 + 5) / 6;
    const std::size_t last = (before + mark.size()) * 8 / 6;
    all.emplace_back(encoded.reveal().substr(first, last - first));
  }
  return all;
}

}  // namespace

NoLeak::NoLeak(const Knowledge& known, Journal& journal)
    : Checker(known, journal), leaks_(spellings(token_mark)) {}

void NoLeak::check(std::string_view where, std::string_view text) {
  for (const std::string& leak : leaks_) {
    if (text.find(leak) != std::string_view::npos) {
      violate("I5 a token is in " + std::string(where));
    }
  }
}

void NoLeak::check_all(std::string_view where, const json& value) {
  if (value.is_string()) check(where, value.get_ref<const std::string&>());
  if (!value.is_structured()) return;
  for (const auto& [key, member] : value.items()) {
    if (value.is_object()) check(where, key);
    check_all(where, member);
  }
}

void NoLeak::on_request(const Message& message, const Address& address,
                        const base::Executor& /*caller*/) {
  check("a URL", message.target);
  const bool holds_a_token = address.plural == kube::secrets.plural &&
                             message.method == http::Method::patch &&
                             address.option("dryRun").empty();
  if (!holds_a_token) return check("a body for " + address.plural, message.body);
  const json object = json::parse(message.body);
  for (const auto& [key, value] : object.items()) {
    if (key != "data") check_all("a Secret's metadata", value);
  }
}

}  // namespace quay_rotator::simulation
