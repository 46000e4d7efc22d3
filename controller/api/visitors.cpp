#include "api/visitors.h"

#include <algorithm>

#include "base/json.h"

namespace quay_rotator::api {

using nlohmann::json;

namespace {

struct ObjectMetadata {
  std::string name_space;
  std::string name;
  std::string uid;
  std::string resource_version;
  std::int64_t generation = 0;
  base::WallTime created{};
  std::string deleted;
};
template <class V>
void describe(V& v, kube::Is<ObjectMetadata> auto& metadata) {
  v("namespace", metadata.name_space);
  v("name", metadata.name, {.required = true});
  v("uid", metadata.uid);
  v("resourceVersion", metadata.resource_version);
  v("generation", metadata.generation);
  v("creationTimestamp", metadata.created);
  v("deletionTimestamp", metadata.deleted);
}

}  // namespace

const json* Reader::find(std::string_view name) const {
  return base::find(value_, name);
}

std::string Reader::path() const {
  const std::string before = parent_ == nullptr ? "" : parent_->path();
  if (before.empty() || name_.empty() || name_.starts_with('[')) return before + std::string(name_);
  return before + "." + std::string(name_);
}

void Reader::fail(std::string_view name, std::string_view what) {
  if (*problem_) return;
  const std::string before = path();
  const bool joined = before.empty() || name.empty() || name.starts_with('[');
  *problem_ = before + (joined ? "" : ".") + std::string(name) + ": " + std::string(what);
}

bool Reader::accept(bool right, std::string_view expected) {
  if (!right) {
    fail("", "expected " + std::string(expected) + ", got " + std::string(base::kind_of(value_)));
  }
  return right;
}

void Reader::take(std::string& text) {
  accept(text, base::string_of(value_));
}

void Reader::take(bool& flag) {
  accept(flag, base::bool_of(value_));
}

void Reader::take(std::int64_t& number) {
  accept(number, base::integer_of(value_));
}

void Reader::take(int& count) {
  std::int64_t number = 0;
  take(number);
  // Nothing was counted that far, and whoever goes on counting must not overflow.
  constexpr std::int64_t most = 1'000'000'000;
  if (number < 0) return fail("", "expected a number from 0 on");
  if (!*problem_) count = static_cast<int>(std::min(number, most));
}

void Reader::take(double& number) {
  accept(number, base::number_of(value_));
}

void Reader::take(base::WallTime& time) {
  parse(time, base::parse_time);
}

void Reader::take(base::Duration& duration) {
  parse(duration, base::parse_duration);
}

void Reader::take(base::Fingerprint& fingerprint) {
  if (!accept(value_.is_string(), "a string")) return;
  const auto read = base::Fingerprint::parse(value_.get_ref<const std::string&>());
  if (!read) return fail("", "expected sha256: and 16 hex digits");
  fingerprint = *read;
}

void Reader::take(Texts& texts) {
  if (!accept(value_.is_object(), "an object")) return;
  for (const auto& [key, value] : value_.items()) {
    const std::string name = "[\"" + key + "\"]";
    Reader(value, *this, name).take(texts[key]);
  }
}

json& Writer::place(std::string_view name) {
  json* place = &object_;
  for (std::size_t dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.')) {
    place = &(*place)[std::string(name.substr(0, dot))];
    name.remove_prefix(dot + 1);
  }
  return (*place)[std::string(name)];
}

base::Expected<Metadata> read_metadata(const json& object) {
  Reader reader(object);
  ObjectMetadata read;
  reader("metadata", read, {.required = true});
  if (reader.problem()) return tl::unexpected(base::Error{*reader.problem()});
  return Metadata{{{read.name_space, read.name}, read.uid, read.resource_version},
                  read.generation,
                  read.created,
                  !read.deleted.empty()};
}

}  // namespace quay_rotator::api
