// Shortens objects while they come, before anybody holds them: whoever may write an object decides
// how large it is, and what is large is never what this program reads.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace quay_rotator::kube {

// Not synchronized. Passes the text of a list or a watch on, with strings cut off at about
// `most_text` bytes, and objects at about `most_object`: the object or array that is then being
// read ends with the element before, as do all that follow; its members at the top (metadata, spec,
// data, type) stay. metadata comes first and begins with what names the object, so that is never
// lost. What was JSON stays JSON; what was not does not become it.
class Abridger {
 public:
  // How many brackets are open around an object, and around a member at its top.
  struct Shape {
    std::size_t object;
    std::size_t member;
  };
  static constexpr Shape list{2, 3};   // {"items": [{"metadata": …
  static constexpr Shape watch{0, 2};  // {"type": "ADDED", "object": {"metadata": …

  Abridger(Shape shape, std::size_t most_text, std::size_t most_object)
      : shape_(shape), most_text_(most_text), most_object_(most_object) {}

  // False when `sink` returned false, which is then not called again for this piece. A view passed
  // to it lives for that call.
  bool feed(std::string_view piece, const std::function<bool(std::string_view)>& sink);

 private:
  enum class Skipping { nothing, text, member };
  // All return where to go on; what is to be passed on begins at `from_`.
  std::size_t pass_text(std::string_view piece, std::size_t at);
  std::size_t pass_plain(std::string_view piece, std::size_t at);
  std::size_t pass_structure(std::string_view piece, std::size_t at);
  void pass_on(std::string_view part);

  const Shape shape_;
  const std::size_t most_text_;
  const std::size_t most_object_;
  const std::function<bool(std::string_view)>* sink_ = nullptr;
  bool wanted_ = true;
  std::size_t from_ = 0;
  Skipping skipping_ = Skipping::nothing;
  std::string closing_;  // the brackets that close what is open, the innermost last
  std::size_t object_size_ = 0;
  bool in_text_ = false;
  std::size_t text_size_ = 0;
  bool escaped_ = false;
  std::size_t uncut_ = 0;  // bytes that may belong to an escape, and are not parted from it
};

}  // namespace quay_rotator::kube
