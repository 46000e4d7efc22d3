#include "rotation/quotation.h"

#include <algorithm>
#include <cctype>
#include <string>

#include <gtest/gtest.h>

#include "base/base64.h"

namespace quay_rotator::rotation {
namespace {

const std::string token = "K7QW2M9ZP4XR8TVB1NHC6JYD3GFL5SAE0UKX7QW2M9ZP4XR8TVB1NHC6JYD3GFL5";

bool found(const std::string& text) {
  return quotes("policy refuses: " + text + " (see the manual)",
                written_forms(base::SecretString::copy_of(token), {}));
}

TEST(Quotation, IsAnyPieceOfATokenWhereverItStands) {
  EXPECT_TRUE(found(token));
  for (const std::size_t at : {0U, 1U, 20U, 56U}) EXPECT_TRUE(found(token.substr(at, 8))) << at;
  EXPECT_FALSE(found(token.substr(20, 7)));
  EXPECT_FALSE(found("secrets \"quay-pull\" is forbidden: exceeded quota: few"));
  EXPECT_FALSE(found(""));
  EXPECT_FALSE(quotes("K7QW", written_forms(base::SecretString::copy_of(token), {})));
}

TEST(Quotation, IsOneInLowerCaseToo) {
  std::string lower = token;
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  EXPECT_TRUE(found(lower.substr(30, 10)));
}

TEST(Quotation, IsBase64OfItBehindAnything) {
  for (const char* before :
       {"", "a", "ab", "abc", "acme+puller:", R"({"auths":{"q":{"password":")"}) {
    const auto encoded = base::base64_encode(before + token + "\"}");
    std::string text(encoded.reveal());
    EXPECT_TRUE(found(text)) << before;
    EXPECT_TRUE(found(text.substr(text.size() / 2, 16))) << before;
    std::ranges::replace(text, '/', '_');
    std::ranges::replace(text, '+', '-');
    EXPECT_TRUE(found(text.substr(text.size() / 2, 16))) << before;
  }
}

TEST(Quotation, IsOfWhatElseHoldsIt) {
  std::vector<base::SecretString> written;
  written.push_back(base::SecretString::copy_of("ZGF0YSBvZiBhIFNlY3JldA=="));
  const auto forms = written_forms(base::SecretString::copy_of(token), std::move(written));
  EXPECT_TRUE(quotes("… BvZiBhIF …", forms));
  EXPECT_FALSE(quotes("… BvZiBh …", forms));
}

}  // namespace
}  // namespace quay_rotator::rotation
