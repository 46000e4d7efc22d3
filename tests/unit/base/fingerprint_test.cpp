#include "base/fingerprint.h"

#include <gtest/gtest.h>

namespace quay_rotator::base {
namespace {

TEST(Fingerprint, IsTheStartOfSha256) {
  // echo -n abc | sha256sum
  const Fingerprint fingerprint = Fingerprint::of("abc");
  EXPECT_EQ(fingerprint.text(), "sha256:ba7816bf8f01cfea");
  EXPECT_EQ(fingerprint.bits(), 0xba7816bf8f01cfeaU);
  EXPECT_EQ(digest64("abc"), 0xba7816bf8f01cfeaU);
  EXPECT_EQ(Fingerprint::of(SecretString::copy_of("abc")), fingerprint);
  EXPECT_NE(Fingerprint::of("abd"), fingerprint);
  EXPECT_EQ(Fingerprint::of("").text(), "sha256:e3b0c44298fc1c14");
}

TEST(Fingerprint, ParsesExactlyItsOwnText) {
  EXPECT_EQ(Fingerprint::parse("sha256:ba7816bf8f01cfea"), Fingerprint::of("abc"));
  for (const char* text : {"", "sha256:", "sha256:ba7816bf8f01cfe", "sha256:ba7816bf8f01cfea0",
                           "sha256:BA7816BF8F01CFEA", "sha512:ba7816bf8f01cfea", "ba7816bf8f01cfea",
                           "sha256:ba7816bf8f01cfeg"}) {
    EXPECT_EQ(Fingerprint::parse(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace quay_rotator::base
