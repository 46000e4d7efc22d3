// Takes the items out of a Kubernetes list while it comes, one by one: neither the list's text nor
// all of its objects are ever there at once. With 10,000 resources and 20,000 Secrets the caches
// and what fills them peak at 15 MiB; with whole pages of 100 at 18, of 500 at 30, and with pages
// of a tenant's largest Secrets at hundreds.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "base/secret_string.h"

namespace quay_rotator::kube {

// Not synchronized. Finds where an item begins and ends and checks nothing else; whoever parses
// what it hands over, and the envelope, finds out whether that is JSON. What it keeps is wiped:
// items may be Secrets.
class ItemSplitter {
 public:
  explicit ItemSplitter(std::size_t max_item) : max_item_(max_item) {}
  // Hands over the text of each object in the list's "items". False when one, or the rest, is
  // longer than max_item (the list is then useless) or `on_item` returned false. A view passed to
  // `on_item` lives for that call.
  bool feed(std::string_view piece, const std::function<bool(std::string_view)>& on_item);
  [[nodiscard]] bool overflowed() const { return overflowed_; }
  // The list without its items.
  [[nodiscard]] std::string_view envelope() const { return envelope_.reveal(); }

 private:
  // Of the string that is being read, from `at` on; returns where it or the piece ends.
  std::size_t pass_text(std::string_view piece, std::size_t at);
  void keep(std::string_view piece);

  std::size_t max_item_;
  base::SecretString item_;  // what has come of it
  base::SecretString envelope_;
  std::size_t depth_ = 0;
  bool in_text_ = false;
  bool escaped_ = false;
  std::string member_;       // of the list, as it is being read
  bool items_next_ = false;  // the value of "items" begins
  bool in_items_ = false;
  bool in_item_ = false;
  bool overflowed_ = false;
};

}  // namespace quay_rotator::kube
