// What callgrind counted: reads its output and says where the instructions went.
#pragma once

#include <cstdint>
#include <istream>
#include <map>
#include <string>
#include <string_view>

namespace quay_rotator::bench {

struct Cost {
  std::uint64_t self = 0;       // in the function itself
  std::uint64_t inclusive = 0;  // … and in what it called
};

// A value.
class Profile {
 public:
  // Reads one dump of `callgrind --compress-strings=no --compress-pos=no`. Throws
  // std::runtime_error on what is none.
  static Profile read(std::istream& lines);

  [[nodiscard]] std::uint64_t total() const { return total_; }
  // By short_name(); of overloads the largest inclusive cost, and the sum of what is their own.
  [[nodiscard]] std::map<std::string, Cost> functions() const;
  // By the operator's folder. What libraries cost is shared out to whoever called them, in
  // proportion to what each caller's calls cost.
  [[nodiscard]] std::map<std::string, std::uint64_t> by_folder() const;
  // By what kind of code it is: "JSON", "memory", "cryptography", "strings", "operator", …
  [[nodiscard]] std::map<std::string, std::uint64_t> by_kind() const;

 private:
  struct Function {
    std::string object;  // the library's file
    Cost cost;
    std::map<std::string, std::uint64_t> callers;  // what their calls cost
  };

  std::map<std::string, Function> functions_;
  std::uint64_t total_ = 0;
};

// Without arguments, template arguments and the result's type:
// "quay_rotator::kube::{anonymous}::ObjectBuilder::key".
std::string short_name(std::string name);
// "kube" of quay_rotator::kube::…; "" of what is not the operator's.
std::string folder_of(std::string_view short_name);

}  // namespace quay_rotator::bench
