#include "base/secret_json.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <new>

#include <nlohmann/json.hpp>
#include <openssl/crypto.h>

namespace quay_rotator::base {
namespace {

// The parser collects each string in a buffer of its own, which grows and is freed: here wiped.
template <class T>
struct WipingAllocator {
  using value_type = T;
  WipingAllocator() = default;
  template <class U>
  explicit WipingAllocator(const WipingAllocator<U>& /*other*/) {}
  T* allocate(std::size_t count) { return std::allocator<T>().allocate(count); }
  void deallocate(T* memory, std::size_t count) {
    OPENSSL_cleanse(memory, count * sizeof(T));
    std::allocator<T>().deallocate(memory, count);
  }
  bool operator==(const WipingAllocator& /*other*/) const { return true; }
};
using WipedString = std::basic_string<char, std::char_traits<char>, WipingAllocator<char>>;
using WipingJson = nlohmann::basic_json<std::map, std::vector, WipedString>;

constexpr std::size_t most_depth = 32;

// What the parser calls (nlohmann's json_sax by shape).
class Events {
 public:
  explicit Events(JsonVisitor& visitor) : visitor_(visitor) {}

  bool null() { return other(); }
  bool boolean(bool /*value*/) { return other(); }
  bool number_integer(std::int64_t /*value*/) { return other(); }
  bool number_unsigned(std::uint64_t /*value*/) { return other(); }
  // The binary formats, which are never parsed here, would call it with another string.
  template <class Text>
  bool number_float(double /*value*/, const Text& /*text*/) {
    return other();
  }
  bool string(WipedString& value) {
    visitor_.on_string(path_, value);
    leave_member();
    return true;
  }
  bool binary(WipingJson::binary_t& /*value*/) { return false; }
  bool start_object(std::size_t /*size*/) { return begin(false); }
  bool key(WipedString& key) {
    path_.emplace_back(key);
    return true;
  }
  bool end_object() { return end(); }
  bool start_array(std::size_t /*size*/) { return begin(true); }
  bool end_array() {
    path_.pop_back();
    return end();
  }
  bool parse_error(std::size_t /*byte*/, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) {
    return false;
  }

 private:
  bool other() {
    visitor_.on_other(path_);
    leave_member();
    return true;
  }
  bool begin(bool array) {
    if (in_array_.size() == most_depth) return false;
    visitor_.on_begin(path_);
    in_array_.push_back(array);
    if (array) path_.emplace_back("[]");
    return true;
  }
  bool end() {
    in_array_.pop_back();
    visitor_.on_end(path_);
    leave_member();
    return true;
  }
  // Behind a value its key is left; all elements of an array share one.
  void leave_member() {
    if (!in_array_.empty() && !in_array_.back()) path_.pop_back();
  }

  JsonVisitor& visitor_;
  JsonPath path_;
  std::vector<bool> in_array_;
};

}  // namespace

bool visit_json(std::string_view text, JsonVisitor& visitor) {
  Events events(visitor);
  return WipingJson::sax_parse(text, &events);
}

}  // namespace quay_rotator::base
