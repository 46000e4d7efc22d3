#include "bench/instructions/profile.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <regex>
#include <stdexcept>

namespace quay_rotator::bench {

namespace {

// Deep recursion of libraries is spread evenly after some dozen turns.
constexpr int most_turns = 40;

// Callgrind tells levels of a recursion apart: "name'2".
std::string without_level(const std::string& name) {
  const std::size_t quote = name.rfind('\'');
  const bool level = quote != std::string::npos && quote + 1 < name.size() &&
                     std::all_of(name.begin() + static_cast<std::ptrdiff_t>(quote) + 1, name.end(),
                                 [](unsigned char c) { return std::isdigit(c) != 0; });
  return level ? name.substr(0, quote) : name;
}

// Takes out all that is between two brackets that match.
std::string without_brackets(std::string_view text, char open, char close) {
  std::string rest;
  int depth = 0;
  for (const char c : text) {
    if (c == open) ++depth;
    if (depth == 0) rest += c;
    if (c == close && depth > 0) --depth;
  }
  return rest;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at)) {
    text.replace(at, from.size(), to);
    at += to.size();
  }
}

std::string kind_of(const std::string& name, const std::string& object) {
  const auto any_of = [&name](std::initializer_list<const char*> parts) {
    return std::any_of(parts.begin(), parts.end(),
                       [&name](const char* part) { return name.find(part) != std::string::npos; });
  };
  if (!folder_of(name).empty()) return "operator";
  if (name.starts_with("nlohmann::")) return "JSON";
  if (object.find("libcrypto") != std::string::npos) return "cryptography";
  if (object.find("libssl") != std::string::npos) return "TLS";
  if (object.find("libcpprest") != std::string::npos ||
      any_of({"boost::asio", "web::", "pplx::"})) {
    return "cpprestsdk";
  }
  if (any_of(
          {"operator new", "operator delete", "malloc", "free", "_int_", "allocate", "release"})) {
    return "memory";
  }
  if (any_of({"mem", "str", "bzero"}) && object.find("libc.so") != std::string::npos) {
    return "strings";
  }
  if (name.starts_with("std::") || object.find("libstdc++") != std::string::npos) {
    return "standard library";
  }
  return "other";
}

}  // namespace

std::string short_name(std::string name) {
  name = without_level(name);
  replace_all(name, "(anonymous namespace)", "{anonymous}");
  static const std::regex signs(R"(operator ?(<=>|<<|>>|<=|>=|->|<|>|\(\)))");
  name = std::regex_replace(name, signs, "operator{}");
  name = without_brackets(name, '<', '>');
  name = without_brackets(name, '(', ')');
  name = without_brackets(name, '[', ']');
  for (const char* part : {" const", " &&", " &", "json_abi_v3_11_2::", "__cxx11::"}) {
    replace_all(name, part, "");
  }
  name.erase(name.find_last_not_of(' ') + 1);
  if (name.find("operator") == std::string::npos) name.erase(0, name.rfind(' ') + 1);
  return name;
}

std::string folder_of(std::string_view name) {
  constexpr std::string_view ours = "quay_rotator::";
  if (!name.starts_with(ours)) return "";
  name.remove_prefix(ours.size());
  const std::string folder(name.substr(0, name.find(':')));
  constexpr std::array not_shipped{"simulation", "testing", "bench", "contract"};
  return std::find(not_shipped.begin(), not_shipped.end(), folder) == not_shipped.end() ? folder
                                                                                        : "";
}

Profile Profile::read(std::istream& lines) {
  Profile profile;
  std::string object;
  std::string name;
  std::string called;
  bool is_call = false;  // the next line of costs is a call's
  bool events = false;
  const auto value_of = [](const std::string& line) { return line.substr(line.find('=') + 1); };
  for (std::string line; std::getline(lines, line);) {
    if (line == "events: Ir") events = true;
    if (line.starts_with("ob=")) {
      object = value_of(line);
    } else if (line.starts_with("fn=")) {
      name = value_of(line);
      profile.functions_[name].object = object;
    } else if (line.starts_with("cfn=")) {
      called = value_of(line);
    } else if (line.starts_with("calls=")) {
      is_call = true;
    } else if (!line.empty() && std::isdigit(static_cast<unsigned char>(line.front())) != 0) {
      const std::size_t space = line.find(' ');
      const std::uint64_t cost = space == std::string::npos ? 0 : std::stoull(line.substr(space));
      Function& function = profile.functions_[name];
      function.cost.inclusive += cost;
      if (is_call) {
        profile.functions_[called].callers[name] += cost;
      } else {
        function.cost.self += cost;
        profile.total_ += cost;
      }
      is_call = false;
    }
  }
  if (!events || profile.total_ == 0) throw std::runtime_error("no dump of callgrind");
  return profile;
}

std::map<std::string, Cost> Profile::functions() const {
  std::map<std::string, Cost> merged;
  for (const auto& [name, function] : functions_) {
    Cost& cost = merged[short_name(name)];
    cost.self += function.cost.self;
    cost.inclusive = std::max(cost.inclusive, function.cost.inclusive);
  }
  return merged;
}

std::map<std::string, std::uint64_t> Profile::by_folder() const {
  std::map<std::string, double> folders;
  std::map<std::string, double> open;  // costs that are yet to be shared out, by function
  std::map<std::string, std::string> folder;
  for (const auto& [name, function] : functions_) {
    folder[name] = folder_of(short_name(name));
    open[name] = static_cast<double>(function.cost.self);
  }
  for (int turn = 0; turn < most_turns; ++turn) {
    std::map<std::string, double> next;
    for (const auto& [name, cost] : open) {
      const auto& callers = functions_.at(name).callers;
      double all = 0;
      for (const auto& [caller, weight] : callers) all += static_cast<double>(weight);
      if (!folder.at(name).empty()) {
        folders[folder.at(name)] += cost;
      } else if (all == 0) {
        folders["(threads of libraries)"] += cost;
      } else {
        for (const auto& [caller, weight] : callers) {
          next[caller] += cost * static_cast<double>(weight) / all;
        }
      }
    }
    open = std::move(next);
  }
  for (const auto& [name, cost] : open) folders["(recursion)"] += cost;
  std::map<std::string, std::uint64_t> rounded;
  for (const auto& [name, cost] : folders) {
    if (cost >= 0.5) rounded[name] = static_cast<std::uint64_t>(cost + 0.5);
  }
  return rounded;
}

std::map<std::string, std::uint64_t> Profile::by_kind() const {
  std::map<std::string, std::uint64_t> kinds;
  for (const auto& [name, function] : functions_) {
    if (function.cost.self > 0) {
      kinds[kind_of(short_name(name), function.object)] += function.cost.self;
    }
  }
  return kinds;
}

}  // namespace quay_rotator::bench
