#include "http/line_splitter.h"

namespace quay_rotator::http {

bool LineSplitter::feed(std::string_view piece,
                        const std::function<bool(std::string_view)>& on_line) {
  // Checks the length without its line end, and hands over.
  const auto finish = [&](std::string_view line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    overflowed_ = line.size() > max_line_;
    return !overflowed_ && on_line(line);
  };
  while (!overflowed_) {
    const std::size_t end = piece.find('\n');
    if (end == std::string_view::npos) {
      // One more for a "\r" whose "\n" is still to come.
      overflowed_ = rest_.size() + piece.size() > max_line_ + 1;
      if (!overflowed_) rest_.append(piece);
      return !overflowed_;
    }
    const std::string_view head = piece.substr(0, end);
    piece.remove_prefix(end + 1);
    if (rest_.empty()) {
      if (!finish(head)) return false;
      continue;
    }
    overflowed_ = rest_.size() + head.size() > max_line_ + 1;
    if (overflowed_) return false;
    rest_.append(head);
    const base::SecretString line = std::move(rest_);
    rest_.clear();
    if (!finish(line.reveal())) return false;
  }
  return false;
}

}  // namespace quay_rotator::http
