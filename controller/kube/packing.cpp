#include "kube/packing.h"

#include <array>
#include <cstring>

namespace quay_rotator::kube {

namespace {

// A packed object: a byte for its keeper, the size of its own bytes, its own bytes, how many texts
// of the pool it has, and their ids.
constexpr std::size_t header = 1;

constexpr std::size_t uid_size = 16;

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool dash_at(std::size_t place) {
  return place == 8 || place == 13 || place == 18 || place == 23;
}

// A UUID as Kubernetes writes them, in half of its size; nothing when it is something else.
std::optional<std::array<char, uid_size>> uid_bytes(std::string_view text) {
  if (text.size() != 36) return std::nullopt;
  std::array<char, uid_size> bytes{};
  std::size_t digits = 0;
  for (std::size_t place = 0; place < text.size(); ++place) {
    if (dash_at(place)) {
      if (text[place] != '-') return std::nullopt;
      continue;
    }
    const int digit = digit_of(text[place]);
    if (digit < 0) return std::nullopt;
    char& byte = bytes[digits++ / 2];
    const unsigned high = static_cast<unsigned char>(byte);
    byte = static_cast<char>(high << 4U | static_cast<unsigned>(digit));
  }
  return bytes;
}

std::string uid_text(const char* bytes) {
  std::string text;
  for (std::size_t digits = 0; digits < 2 * uid_size; ++digits) {
    if (dash_at(text.size())) text += '-';
    const auto byte = static_cast<unsigned char>(bytes[digits / 2]);
    text += "0123456789abcdef"[digits % 2 == 0 ? byte >> 4U : byte & 0xFU];
  }
  return text;
}

}  // namespace

TextPool::Id TextPool::acquire(std::string_view text) {
  auto found = uses_.find(text);
  if (found == uses_.end()) {
    Use use;
    if (free_.empty()) {
      use.id = static_cast<Id>(texts_.size());
      texts_.push_back(nullptr);
    } else {
      use.id = free_.back();
      free_.pop_back();
    }
    found = uses_.emplace(text, use).first;
    texts_[use.id] = &found->first;
  }
  ++found->second.count;
  return found->second.id;
}

void TextPool::release(Id id) {
  const auto found = uses_.find(*texts_[id]);
  if (--found->second.count > 0) return;
  texts_[id] = nullptr;
  free_.push_back(id);
  uses_.erase(found);
}

void Packer::operator()(const ObjectMeta& meta) {
  text(meta.key.name_space);
  text(meta.key.name);
  const auto bytes = uid_bytes(meta.uid);
  number(bytes.has_value());
  if (bytes) {
    own_.append(bytes->data(), bytes->size());
  } else {
    text(meta.uid);
  }
  text(meta.resource_version);
}

Packed Packer::take() {
  std::string rest;
  put(rest, shared_.size());
  for (const TextPool::Id id : shared_) put(rest, id);
  std::string size;
  put(size, own_.size());
  Packed packed(new char[header + size.size() + own_.size() + rest.size()]);
  char* place = packed.get();
  *place = 0;
  place += header;
  for (const std::string& part : {std::cref(size), std::cref(own_), std::cref(rest)}) {
    std::memcpy(place, part.data(), part.size());
    place += part.size();
  }
  own_.clear();
  shared_.clear();
  kept_text.clear();
  return packed;
}

void Packer::bits(const std::uint64_t& value) {
  std::array<char, sizeof value> bytes{};
  std::memcpy(bytes.data(), &value, sizeof value);
  own_.append(bytes.data(), bytes.size());
}

void Packer::text(const std::string& value) {
  put(own_, value.size());
  own_ += value;
}

void Packer::shared_text(const std::string& value) {
  shared_.push_back(pool_.acquire(value));
}

void Packer::put(std::string& bytes, std::uint64_t number) {
  for (; number >= 0x80U; number >>= 7U) bytes += static_cast<char>(number | 0x80U);
  bytes += static_cast<char>(number);
}

Unpacker::Unpacker(const char* packed, const TextPool& pool)
    : own_(packed + header), shared_(nullptr), pool_(pool) {
  const std::uint64_t size = get(own_);
  shared_ = own_ + size;
  get(shared_);
}

void Unpacker::operator()(ObjectMeta& meta) {
  text(meta.key.name_space);
  text(meta.key.name);
  bool bytes = false;
  number(bytes);
  if (bytes) {
    meta.uid = uid_text(own_);
    own_ += uid_size;
  } else {
    text(meta.uid);
  }
  text(meta.resource_version);
}

Unpacker::Key Unpacker::key(const char* packed) {
  const char* place = packed + header;
  get(place);
  Key key;
  key.name_space = get_text(place);
  key.name = get_text(place);
  return key;
}

void Unpacker::bits(std::uint64_t& value) {
  std::memcpy(&value, own_, sizeof value);
  own_ += sizeof value;
}

void Unpacker::text(std::string& value) {
  value = get_text(own_);
}

void Unpacker::shared_text(std::string& value) {
  value = pool_.text(static_cast<TextPool::Id>(get(shared_)));
}

std::uint64_t Unpacker::get(const char*& place) {
  std::uint64_t number = 0;
  for (unsigned shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(*place++);
    number |= std::uint64_t{byte & 0x7FU} << shift;
    if (byte < 0x80U) return number;
  }
}

std::string_view Unpacker::get_text(const char*& place) {
  const std::size_t size = get(place);
  const std::string_view text(place, size);
  place += size;
  return text;
}

void release(Packed packed, TextPool& pool) {
  const char* place = packed.get() + header;
  std::size_t size = Unpacker::get(place);
  place += size;
  for (size = Unpacker::get(place); size > 0; --size) {
    pool.release(static_cast<TextPool::Id>(Unpacker::get(place)));
  }
}

bool marked(const Packed& packed) {
  return packed[0] != 0;
}

void mark(const Packed& packed, bool set) {
  packed[0] = set ? 1 : 0;
}

}  // namespace quay_rotator::kube
