#include "base/secret_string.h"

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "base/secret_memory.h"

namespace quay_rotator::base {
namespace {

static_assert(!std::is_copy_constructible_v<SecretString>);
static_assert(!std::is_copy_assignable_v<SecretString>);
static_assert(!std::is_convertible_v<std::string, SecretString>);
static_assert(!std::is_convertible_v<SecretString, std::string>);
template <class T>
concept Printable = requires(std::ostream& out, const T& value) {
  out << value;
};
static_assert(!Printable<SecretString>);

const std::string short_text = "s3cr3t";  // fits into the object
const std::string long_text(100, 's');

bool all_zero(const char* bytes, std::size_t size) {
  const volatile char* place = bytes;
  for (std::size_t i = 0; i < size; ++i) {
    if (place[i] != 0) return false;
  }
  return true;
}

TEST(Wipe, OverwritesTheWholeBufferAndKeepsTheStringUsable) {
  for (const std::string& text : {short_text, long_text}) {
    std::string copy = text;
    copy.resize(3);  // the rest is still behind the end
    const char* bytes = copy.data();
    const std::size_t capacity = copy.capacity();
    wipe(copy);
    EXPECT_TRUE(copy.empty());
    ASSERT_EQ(copy.data(), bytes);
    EXPECT_TRUE(all_zero(bytes, capacity));
    copy = "again";
    EXPECT_EQ(copy, "again");
  }
}

TEST(SecretString, TakesTheTextAndWipesTheSource) {
  for (const std::string& text : {short_text, long_text}) {
    std::string source = text;
    const SecretString secret(std::move(source));
    EXPECT_TRUE(secret.reveal() == text);
    EXPECT_TRUE(source.empty());  // NOLINT(bugprone-use-after-move): what is tested
    EXPECT_TRUE(all_zero(source.data(), source.capacity()));
  }
}

TEST(SecretString, Moves) {
  for (const std::string& text : {short_text, long_text}) {
    SecretString first = SecretString::copy_of(text);
    SecretString second(std::move(first));
    EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): what is tested
    SecretString third = SecretString::copy_of("other");
    third = std::move(second);
    EXPECT_TRUE(second.empty());  // NOLINT(bugprone-use-after-move): what is tested
    EXPECT_TRUE(third.reveal() == text);
    EXPECT_TRUE(third.clone().reveal() == text);
    SecretString& same = third;
    third = std::move(same);
    EXPECT_TRUE(third.reveal() == text);
    third.clear();
    EXPECT_TRUE(third.empty());
  }
}

TEST(SecretString, LeavesNothingBehind) {
  for (const std::string& text : {short_text, long_text, std::string(5000, 's')}) {
    SecretString cleared = SecretString::copy_of(text);
    const char* place = cleared.reveal().data();
    cleared.clear();
    EXPECT_TRUE(all_zero(place, text.size()));

    const char* given_back = SecretString::copy_of(text).reveal().data();
    // A block that was given back is the next one of its size; its first bytes link free blocks.
    char* const again = allocate_secret(text.size());
    ASSERT_EQ(again, given_back);
    EXPECT_TRUE(all_zero(again + sizeof(void*), secret_capacity(text.size()) - sizeof(void*)));
    release_secret(again, secret_capacity(text.size()));
  }
}

// The line of /proc/self/smaps that says how the kernel treats that place.
std::string kernel_flags(const void* place) {
  std::ifstream maps("/proc/self/smaps");
  const auto wanted = reinterpret_cast<std::uintptr_t>(place);
  bool here = false;
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    char dash = 0;
    std::istringstream range(line);
    if (range >> std::hex >> begin >> dash >> end && dash == '-') {
      here = begin <= wanted && wanted < end;
    }
    if (here && line.starts_with("VmFlags:")) return line + " ";
  }
  return "";
}

TEST(SecretString, IsKeptOutOfSwapAndCoreDumps) {
  rlimit may_be_locked{};
  ASSERT_EQ(getrlimit(RLIMIT_MEMLOCK, &may_be_locked), 0);
  for (const std::size_t size : {6U, 64U, 5000U, 100000U}) {
    const SecretString secret = SecretString::copy_of(std::string(size, 's'));
    const std::string flags = kernel_flags(secret.reveal().data());
    EXPECT_NE(flags.find(" dd "), std::string::npos) << size << ": " << flags;
    if (may_be_locked.rlim_cur >= 1U << 20U) {
      EXPECT_NE(flags.find(" lo "), std::string::npos) << size << ": " << flags;
    }
  }
  const auto ordinary = std::make_unique<std::string>(100, 'x');
  EXPECT_EQ(kernel_flags(ordinary->data()).find(" dd "), std::string::npos);
}

TEST(SecretString, IsKeptWhereNothingMayBeLocked) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_MEMLOCK, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_MEMLOCK, &none), 0);
  const SecretString secret = SecretString::copy_of(std::string(300000, 's'));
  setrlimit(RLIMIT_MEMLOCK, &before);
  EXPECT_EQ(secret.size(), 300000U);
  EXPECT_TRUE(secret.reveal().ends_with("sss"));
}

TEST(SecretString, AppendsAPartOfItself) {
  SecretString secret = SecretString::copy_of(std::string(32, 'a'));
  secret.append(secret.reveal());
  EXPECT_TRUE(secret.reveal() == std::string(64, 'a'));
}

TEST(SecretString, AppendsAcrossGrowth) {
  SecretString secret;
  std::string expected;
  for (int i = 0; i < 200; ++i) {
    secret.append("abc");
    expected += "abc";
  }
  EXPECT_TRUE(secret.reveal() == expected);
  EXPECT_EQ(secret.size(), 600U);
}

}  // namespace
}  // namespace quay_rotator::base
