#include "kube/item_splitter.h"

#include <algorithm>
#include <utility>

namespace quay_rotator::kube {

namespace {

constexpr std::string_view items = "items";

bool separates(char c) {
  return c == ',' || c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

}  // namespace

std::size_t ItemSplitter::pass_text(std::string_view piece, std::size_t at) {
  const auto add = [this](std::string_view part) {
    if (depth_ == 1 && member_.size() <= items.size()) member_ += part;
  };
  while (at < piece.size()) {
    if (std::exchange(escaped_, false)) {
      add(piece.substr(at++, 1));
      continue;
    }
    const std::size_t end = std::min(piece.find('"', at), piece.size());
    const std::size_t escape = piece.substr(at, end - at).find('\\');
    if (escape != std::string_view::npos) {
      add(piece.substr(at, escape + 1));
      escaped_ = true;
      at += escape + 1;
      continue;
    }
    add(piece.substr(at, end - at));
    in_text_ = end == piece.size();
    return end;
  }
  return at;
}

void ItemSplitter::keep(std::string_view piece) {
  base::SecretString& place = in_item_ ? item_ : envelope_;
  overflowed_ = overflowed_ || place.size() + piece.size() > max_item_;
  if (!overflowed_) place.append(piece);
}

bool ItemSplitter::feed(std::string_view piece,
                        const std::function<bool(std::string_view)>& on_item) {
  std::size_t from = 0;  // what has not been kept or handed over
  for (std::size_t at = 0; at < piece.size(); ++at) {
    if (in_text_) {
      at = pass_text(piece, at);
      continue;
    }
    const char c = piece[at];
    if (c == '"') {
      in_text_ = true;
      member_.clear();
    } else if (depth_ == 1 && (c == ':' || c == ',')) {
      items_next_ = c == ':' && member_ == items;
    } else if (c == '{' || c == '[') {
      if (in_items_ && depth_ == 2 && c == '{') {
        keep(piece.substr(from, at - from));
        from = at;
        in_item_ = true;
      }
      ++depth_;
      if (depth_ == 2 && c == '[' && items_next_) in_items_ = true;
    } else if ((c == '}' || c == ']') && depth_ > 0) {
      --depth_;
      if (depth_ == 1) in_items_ = false;
      if (!in_item_ || depth_ > 2) continue;
      bool more = true;
      if (item_.empty() && at + 1 - from <= max_item_) {
        more = on_item(piece.substr(from, at + 1 - from));
      } else {
        keep(piece.substr(from, at + 1 - from));
        more = !overflowed_ && on_item(item_.reveal());
        item_.clear();
      }
      in_item_ = false;
      from = at + 1;
      if (!more) return false;
    } else if (in_items_ && !in_item_ && depth_ == 2 && separates(c)) {
      keep(piece.substr(from, at - from));
      from = at + 1;
    }
  }
  keep(piece.substr(from));
  return !overflowed_;
}

}  // namespace quay_rotator::kube
