#include "base/public_text.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "base/base64.h"

namespace quay_rotator::base {
namespace {

const std::string token = "A1B2C3D4E5F6G7H8I9J0K1L2M3N4O5P6Q7R8S9T0U1V2W3X4Y5Z6A7B8C9D0E1F2";

std::string lowered(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

std::string formatted(const char* format, std::string_view text) {
  std::string result;
  for (const char c : text) {
    std::array<char, 8> buffer{};
    snprintf(buffer.data(), buffer.size(), format, static_cast<unsigned>(c));
    result += buffer.data();
  }
  return result;
}

std::string base64(std::string_view text) {
  return std::string(base64_encode(text).reveal());
}

// Every way that there is to say it.
std::vector<std::string> sayings(const std::string& secret) {
  std::string parted;
  for (std::size_t at = 0; at < secret.size(); at += 5) parted += secret.substr(at, 5) + ".";
  std::string url = base64("x" + secret);
  std::ranges::replace(url, '+', '-');
  std::ranges::replace(url, '/', '_');
  return {secret,
          lowered(secret),
          parted,
          lowered(parted),
          base64(secret),
          base64("." + secret),
          base64("a:" + secret),
          base64(lowered(secret)),
          lowered(base64(secret)),
          url,
          formatted("%%%02X", secret),
          formatted("\\u%04x", secret),
          formatted("\\x%02x", secret),
          formatted("%02x", secret),
          formatted("%02X:", secret)};
}

TEST(PublicText, KnowsASecretHoweverItIsSaid) {
  for (const std::string& saying : sayings(token)) {
    EXPECT_TRUE(betrays(saying, token));
    EXPECT_TRUE(betrays("https://" + saying + ".example.com/", token));
    EXPECT_EQ(public_text("said " + saying, {"another-secret-0123", token}, "withheld"),
              "withheld");
  }
}

TEST(PublicText, KnowsAPieceOfASecret) {
  for (std::size_t at = 0; at + 16 <= token.size(); ++at) {
    EXPECT_TRUE(betrays("x" + lowered(token.substr(at, 16)) + "y", token));
    EXPECT_FALSE(betrays("-" + token.substr(at, 15) + "-", token));
  }
  EXPECT_TRUE(betrays("password hunter2hunter", "hunter2hunter"));
  EXPECT_FALSE(betrays("password hunter2hunte", "hunter2hunter"));
  // What is this short is no secret, and would be in many a word.
  EXPECT_FALSE(betrays("abc", "abc"));
  EXPECT_FALSE(betrays("", token));
  EXPECT_FALSE(betrays("anything", ""));
}

// What was sent a secret may cut it short at both ends.
TEST(PublicText, KnowsAShortPieceWhereItIsQuoted) {
  const auto quotes = [](const std::string& text) {
    return betrays("policy refuses: " + text + " (see the manual)", token, quoted_piece);
  };
  for (std::size_t at = 0; at + 8 <= token.size(); ++at) {
    EXPECT_TRUE(quotes(token.substr(at, 8))) << at;
    EXPECT_TRUE(quotes(lowered(token.substr(at, 8)))) << at;
    EXPECT_FALSE(betrays("(" + token.substr(at, 7) + ")", token, quoted_piece)) << at;
  }
  for (const char* before :
       {"", "a", "ab", "abc", "acme+puller:", R"({"auths":{"q":{"password":")"}) {
    std::string text = base64(before + token + "\"}");
    for (const char* alphabet : {"+/", "-_"}) {
      std::ranges::replace(text, '+', alphabet[0]);
      std::ranges::replace(text, '/', alphabet[1]);
      for (const std::size_t size : {8U, 16U, 40U}) {
        EXPECT_TRUE(quotes(text.substr(text.size() / 2, size))) << before << " " << size;
      }
    }
  }
  EXPECT_TRUE(quotes(formatted("%02x", token.substr(20, 8))));
  EXPECT_FALSE(quotes("secrets \"quay-pull\" is forbidden: exceeded quota: few"));
}

// What is no letter counts as well, where it is quoted as it stands.
TEST(PublicText, KnowsAShortPieceWithFewLetters) {
  const std::string encoded = "ab+/cd++ef//gh+a/b+c/d+e/f";
  for (std::size_t at = 0; at + 8 <= encoded.size(); ++at) {
    EXPECT_TRUE(betrays("x" + encoded.substr(at, 8) + "=", encoded, quoted_piece)) << at;
  }
  std::string url = encoded;
  std::ranges::replace(url, '+', '-');
  std::ranges::replace(url, '/', '_');
  EXPECT_TRUE(betrays(lowered(url.substr(5, 8)), encoded, quoted_piece));
}

TEST(PublicText, KnowsItBehindWhatIsHidden) {
  std::string hidden;
  for (const char c : token) hidden += std::string(1, c) + "\xE2\x80\x8B";
  EXPECT_EQ(public_text(hidden, {token}, "withheld"), "withheld");
  EXPECT_EQ(public_text(std::string(1020, '.') + token, {token}, "withheld"),
            std::string(1020, '.') + token.substr(0, 4) + "…");
}

TEST(PublicText, LeavesOrdinaryWordsAlone) {
  for (const char* text :
       {"secrets \"quay-pull\" is forbidden: User \"system:serviceaccount:a:b\" cannot patch",
        "Über 日本語 🙂", "", "kubernetes.io/dockerconfigjson"}) {
    EXPECT_EQ(public_text(text, {token}, "withheld"), text);
  }
}

TEST(PublicText, IsOnOneLineAndHidesNothing) {
  EXPECT_EQ(public_text("a\r\nb\tc", {}, ""), "a  b c");
  EXPECT_EQ(public_text("\x1b[31mred\x07\x7f", {}, ""), "[31mred");
  EXPECT_EQ(public_text("a\xE2\x80\xAE"
                        "b\xE2\x81\xA6"
                        "c\xC2\x85\xEF\xBB\xBF"
                        "d",
                        {}, ""),
            "abcd");
  EXPECT_EQ(public_text("a\xff\xc0\x80 \xed\xa0\x80", {}, ""), "a??? ???");
  EXPECT_EQ(public_text("a\xe2\x82", {}, ""), "a??");
}

TEST(PublicText, EndsAtAWholeCharacter) {
  std::string text;
  while (text.size() < 5000) text += "日";
  const std::string shown = public_text(text, {}, "");
  EXPECT_EQ(shown.size(), 1023 + std::string("…").size());
  EXPECT_EQ(shown.substr(1020), "日…");
}

TEST(PublicText, SaysNothingOfASecretThatIsChangedAtRandom) {
  std::mt19937 random(11);
  const auto all = sayings(token);
  for (int i = 0; i < 300; ++i) {
    std::string text = all[random() % all.size()];
    for (std::size_t change = random() % 3; change > 0; --change) {
      text.insert(random() % (text.size() + 1), 1, "-_. %\n"[random() % 6]);
    }
    const std::string shown = public_text(text, {token}, "withheld");
    EXPECT_TRUE(shown == "withheld" || shown.find(token.substr(0, 16)) == std::string::npos);
  }
}

}  // namespace
}  // namespace quay_rotator::base
