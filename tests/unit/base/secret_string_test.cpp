#include "base/secret_string.h"

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include <gtest/gtest.h>

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

TEST(SecretString, MovesAndLeavesNothingBehind) {
  for (const std::string& text : {short_text, long_text}) {
    SecretString first = SecretString::copy_of(text);
    SecretString second(std::move(first));
    EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): what is tested
    EXPECT_TRUE(all_zero(first.reveal().data(), 15));
    SecretString third = SecretString::copy_of("other");
    third = std::move(second);
    EXPECT_TRUE(second.empty());  // NOLINT(bugprone-use-after-move): what is tested
    EXPECT_TRUE(all_zero(second.reveal().data(), 15));
    EXPECT_TRUE(third.reveal() == text);
    EXPECT_TRUE(third.clone().reveal() == text);
    SecretString& same = third;
    third = std::move(same);
    EXPECT_TRUE(third.reveal() == text);
    third.clear();
    EXPECT_TRUE(third.empty());
  }
}

TEST(SecretString, WipesTheBufferInsideTheObjectWhenItIsDestroyed) {
  alignas(SecretString) std::array<char, sizeof(SecretString)> memory{};
  auto* secret = new (memory.data()) SecretString(SecretString::copy_of(short_text));
  const char* bytes = secret->reveal().data();
  ASSERT_GE(bytes, memory.data());
  ASSERT_LT(bytes, memory.data() + memory.size());
  std::destroy_at(secret);
  EXPECT_TRUE(all_zero(bytes, short_text.size()));
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
