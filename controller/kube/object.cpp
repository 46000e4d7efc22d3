#include "kube/object.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace quay_rotator::kube {
namespace {

constexpr std::size_t most_depth = 100;  // as base::parse_json has it

bool is_integer(std::string_view text) {
  return !text.empty() && text[0] != '0' &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

using nlohmann::json;

// What nlohmann's parser calls (its json_sax by shape).
class ObjectBuilder {
 public:
  json take() { return std::move(root_); }

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(std::int64_t value) { return add(value); }
  bool number_unsigned(std::uint64_t value) { return add(value); }
  bool number_float(double value, const std::string& /*text*/) { return add(value); }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(json::binary_t& /*value*/) { return false; }
  bool start_object(std::size_t /*size*/) { return open(json::value_t::object); }
  bool start_array(std::size_t /*size*/) { return open(json::value_t::array); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& name) {
    if (left_out_depth_ > 0) return true;
    const Open& parent = open_.back();
    leave_out_ = parent.is_metadata && name == "managedFields";
    member_is_metadata_ = name == "metadata";
    if (!leave_out_) {
      member_ = &parent.value->get_ref<json::object_t&>()[std::move(name)];
    }
    return true;
  }
  bool parse_error(std::size_t /*byte*/, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) {
    return false;
  }

 private:
  struct Open {  // an object or array whose end has not come yet
    json* value;
    bool is_metadata;
  };

  // Null: it is left out.
  template <class Value>
  json* place(Value&& value) {
    if (left_out_depth_ > 0) return nullptr;
    if (open_.empty()) return &(root_ = json(std::forward<Value>(value)));
    if (auto* array = open_.back().value->get_ptr<json::array_t*>()) {
      return &array->emplace_back(std::forward<Value>(value));
    }
    if (std::exchange(leave_out_, false)) return nullptr;
    return &(*member_ = json(std::forward<Value>(value)));
  }
  template <class Value>
  bool add(Value&& value) {
    place(std::forward<Value>(value));
    return true;
  }
  bool open(json::value_t type) {
    if (open_.size() + left_out_depth_ == most_depth) return false;
    json* value = place(type);
    if (value == nullptr) {
      ++left_out_depth_;
    } else {
      const bool member = !open_.empty() && open_.back().value->is_object();
      open_.push_back({value, member && member_is_metadata_});
    }
    return true;
  }
  bool close() {
    if (left_out_depth_ > 0) {
      --left_out_depth_;
    } else {
      open_.pop_back();
    }
    return true;
  }

  json root_;
  std::vector<Open> open_;
  json* member_ = nullptr;  // of the innermost open object: what its last key names
  bool member_is_metadata_ = false;
  bool leave_out_ = false;
  std::size_t left_out_depth_ = 0;  // of what is open within a value that is left out
};

}  // namespace

std::string Resource::api_version() const {
  std::string text(group);
  if (!text.empty()) text += '/';
  return text.append(version);
}

std::string ObjectKey::text() const {
  return name_space.empty() ? name : name_space + '/' + name;
}

int compare_resource_versions(std::string_view a, std::string_view b) {
  if (a == b) return 0;
  if (!is_integer(a) || !is_integer(b)) return 1;
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  return a < b ? -1 : 1;
}

bool proves_lost_history(std::string_view known, std::string_view read) {
  return compare_resource_versions(read, known) < 0;
}

base::Expected<json> parse_object(std::string_view text) {
  ObjectBuilder builder;
  // The parser takes a NUL for the end of the text.
  const bool whole = text.find('\0') == std::string_view::npos;
  if (whole && json::sax_parse(text, &builder)) return builder.take();
  auto again = base::parse_json(text);  // for its message, which quotes nothing
  if (again) return tl::unexpected(base::Error{"not JSON"});
  return again;
}

}  // namespace quay_rotator::kube
