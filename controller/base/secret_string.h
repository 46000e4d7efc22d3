// A string that must not leak: tokens, passwords, and any buffer that holds one.
//
// It cannot be printed, compared by accident or copied implicitly; its memory is wiped when it is
// destroyed or replaced, and is in no core dump and, where the system allows, never in swap (see
// secret_memory.h). Not synchronized.
#pragma once

#include <cstddef>
#include <iosfwd>
#include <string>
#include <string_view>

namespace quay_rotator::base {

class SecretString {
 public:
  SecretString() = default;
  // Takes the text over and wipes the source.
  explicit SecretString(std::string&& text);
  static SecretString copy_of(std::string_view text);

  SecretString(SecretString&& other) noexcept;
  SecretString& operator=(SecretString&& other) noexcept;
  SecretString(const SecretString&) = delete;
  SecretString& operator=(const SecretString&) = delete;
  ~SecretString();

  // The one way to the text; the view dies with this object. Every call is a place to audit.
  [[nodiscard]] std::string_view reveal() const { return {bytes_, size_}; }
  [[nodiscard]] SecretString clone() const { return copy_of(reveal()); }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t size() const { return size_; }
  // Appends without leaving a copy behind when the buffer grows.
  void append(std::string_view text);
  void clear();

 private:
  void release() noexcept;

  char* bytes_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

// Deliberately unusable, so that neither a stream nor a test's failure message prints a secret.
std::ostream& operator<<(std::ostream&, const SecretString&) = delete;

// Overwrites in a way that the compiler may not remove.
void wipe(std::string& text);

}  // namespace quay_rotator::base
