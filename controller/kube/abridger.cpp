#include "kube/abridger.h"

#include <algorithm>

namespace quay_rotator::kube {
namespace {

constexpr std::size_t longest_escape = 12;  // a pair of surrogates

bool continues_character(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
}

}  // namespace

void Abridger::pass_on(std::string_view part) {
  if (!part.empty()) wanted_ = wanted_ && (*sink_)(part);
}

// To the next byte of a string that means something.
std::size_t Abridger::pass_plain(std::string_view piece, std::size_t at) {
  const auto means = [](char c) { return c == '"' || c == '\\' || c == '\n'; };
  const std::string_view rest = piece.substr(at);
  const auto size = static_cast<std::size_t>(std::ranges::find_if(rest, means) - rest.begin());
  const std::size_t end = at + size;
  if (skipping_ == Skipping::nothing && text_size_ + size > most_text_) {
    std::size_t cut = at + std::max(uncut_, most_text_ - std::min(most_text_, text_size_));
    while (cut < end && continues_character(piece[cut])) ++cut;
    if (cut < end) {
      pass_on(piece.substr(from_, cut - from_));
      skipping_ = Skipping::text;
    }
  }
  text_size_ += size;
  uncut_ -= std::min(uncut_, size);
  return end;
}

std::size_t Abridger::pass_text(std::string_view piece, std::size_t at) {
  const char c = piece[at];
  if (escaped_ || c == '\\') {
    escaped_ = !escaped_;
    if (escaped_) uncut_ = longest_escape;
    ++text_size_;
    return at + 1;
  }
  // A line break is in no string: whatever this is, it ends there.
  if (c != '"' && c != '\n') return pass_plain(piece, at);
  in_text_ = false;
  if (skipping_ == Skipping::text) {
    skipping_ = Skipping::nothing;
    from_ = at;
  }
  return at + 1;
}

std::size_t Abridger::pass_structure(std::string_view piece, std::size_t at) {
  const char c = piece[at];
  if (c == '"') {
    in_text_ = true;
    text_size_ = 0;
    uncut_ = 0;
  } else if (c == '{' || c == '[') {
    if (closing_.size() == shape_.object) object_size_ = 0;
    closing_ += c == '{' ? '}' : ']';
  } else if ((c == '}' || c == ']') && !closing_.empty()) {
    closing_.pop_back();
    if (skipping_ == Skipping::member && closing_.size() == shape_.member) {
      skipping_ = Skipping::nothing;
      from_ = at + 1;  // it has been closed
    }
  } else if (c == ',' && skipping_ == Skipping::nothing && closing_.size() > shape_.member &&
             object_size_ > most_object_) {
    pass_on(piece.substr(from_, at - from_));
    const std::string closed(closing_.rbegin(),
                             closing_.rend() - static_cast<std::ptrdiff_t>(shape_.member));
    pass_on(closed);
    skipping_ = Skipping::member;
  }
  return at + 1;
}

bool Abridger::feed(std::string_view piece, const std::function<bool(std::string_view)>& sink) {
  sink_ = &sink;
  wanted_ = true;
  from_ = 0;
  for (std::size_t at = 0; at < piece.size() && wanted_;) {
    const std::size_t before = at;
    at = in_text_ ? pass_text(piece, at) : pass_structure(piece, at);
    if (skipping_ == Skipping::nothing) object_size_ += at - before;
  }
  if (skipping_ == Skipping::nothing) pass_on(piece.substr(from_));
  return wanted_;
}

}  // namespace quay_rotator::kube
