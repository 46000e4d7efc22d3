#include "quay/permissions.h"

#include <gmock/gmock.h>

#include "quay_fixture.h"

namespace quay_rotator::quay {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<std::string> differences_of(const Rights& first, const Rights& second) {
  return differences("puller", first, "puller-b", second, secret(api_token));
}

Rights rights(const std::vector<std::pair<std::string, std::string>>& list) {
  Rights made;
  for (const auto& [right, role] : list) made.add(right, role);
  return made;
}

TEST(PermissionsTest, EqualRightsDoNotDiffer) {
  EXPECT_THAT(differences_of({}, {}), IsEmpty());
  EXPECT_THAT(differences_of(rights({{"is in team a", ""}, {"may use repository app", "read"}}),
                             rights({{"may use repository app", "read"}, {"is in team a", ""}})),
              IsEmpty());
  // Of two repositories of one name, in whatever order.
  EXPECT_THAT(
      differences_of(
          rights({{"may use repository app", "read"}, {"may use repository app", "write"}}),
          rights({{"may use repository app", "write"}, {"may use repository app", "read"}})),
      IsEmpty());
}

TEST(PermissionsTest, SaysWhatOnlyOneMayDo) {
  EXPECT_THAT(
      differences_of(rights({{"is in team builders", ""}, {"may use repository app", "read"}}),
                     rights({{"may use repository base", "admin"}})),
      ElementsAre("only puller is in team builders", "only puller may use repository app (read)",
                  "only puller-b may use repository base (admin)"));
}

TEST(PermissionsTest, SaysARoleThatDiffersOnce) {
  EXPECT_THAT(differences_of(rights({{"may use repository app", "read"}}),
                             rights({{"may use repository app", "write"}})),
              ElementsAre("puller may use repository app (read), puller-b (write)"));
}

TEST(PermissionsTest, SaysTenAndCountsTheRest) {
  Rights many;
  for (int i = 0; i < 25; ++i) many.add("may use repository r" + std::to_string(100 + i));
  const auto found = differences_of(many, {});
  ASSERT_THAT(found, SizeIs(11));
  EXPECT_EQ(found[9], "only puller may use repository r109");
  EXPECT_EQ(found[10], "and 15 more");
}

TEST(PermissionsTest, NamesAreTheServersAndBounded) {
  const auto found =
      differences_of(rights({{"may use repository " + std::string(api_token), ""},
                             {"may use repository a\nb\x1b[2J\xe2\x80\xae", std::string(5000, 'r')},
                             {"may use repository z" + std::string(5000, 'z'), ""}}),
                     {});
  ASSERT_THAT(found, SizeIs(3));
  EXPECT_EQ(found[0], "a difference that is not shown: it holds a secret");
  EXPECT_EQ(found[1].find_first_of("\n\x1b"), std::string::npos);
  for (const std::string& sentence : found) EXPECT_LT(sentence.size(), 400U);
}

TEST(PermissionsTest, WhatIsCutOffIsADifference) {
  Rights endless;
  for (int i = 0; i < 20'000; ++i) {
    endless.add("may use repository " + std::string(100, 'r') + std::to_string(i));
  }
  EXPECT_THAT(differences_of(endless, rights({{"is in team a", ""}})),
              ElementsAre("puller has more rights than can be compared"));
  EXPECT_THAT(differences_of(endless, endless),
              ElementsAre("puller has more rights than can be compared",
                          "puller-b has more rights than can be compared"));
}

}  // namespace
}  // namespace quay_rotator::quay
