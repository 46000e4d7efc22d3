#include "kube/object.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace quay_rotator::kube {
namespace {

TEST(Object, NamesItself) {
  EXPECT_EQ(secrets.api_version(), "v1");
  EXPECT_EQ(leases.api_version(), "coordination.k8s.io/v1");
  EXPECT_EQ((ObjectKey{"team-a", "puller"}).text(), "team-a/puller");
  EXPECT_EQ((ObjectKey{"", "team-a"}).text(), "team-a");
}

TEST(Object, ComparesResourceVersionsAsIntegersOfAnySize) {
  EXPECT_EQ(compare_resource_versions("5", "5"), 0);
  EXPECT_EQ(compare_resource_versions("9", "10"), -1);
  EXPECT_EQ(compare_resource_versions("10", "9"), 1);
  EXPECT_EQ(compare_resource_versions("99999999999999999999998", "99999999999999999999999"), -1);
  EXPECT_EQ(compare_resource_versions("", ""), 0);
  for (const char* odd : {"", "abc", "05", "-1", "5 "}) {
    EXPECT_EQ(compare_resource_versions(odd, "5"), 1) << odd;
    EXPECT_EQ(compare_resource_versions("5", odd), 1) << odd;
  }
}

TEST(Object, OnlyAnOlderVersionProvesThatHistoryWasLost) {
  EXPECT_TRUE(proves_lost_history("10", "9"));
  EXPECT_FALSE(proves_lost_history("9", "10"));
  EXPECT_FALSE(proves_lost_history("9", "9"));
  for (const char* odd : {"", "abc", "05", "-1", "5 "}) {
    EXPECT_FALSE(proves_lost_history(odd, "5")) << odd;
    EXPECT_FALSE(proves_lost_history("5", odd)) << odd;
  }
}

TEST(Object, ParsingLeavesOutManagedFieldsAndNothingElse) {
  const auto list = parse_object(R"({"items": [
      {"metadata": {"name": "a", "managedFields": [{"manager": "kubectl", "f": {"metadata": {}}}],
                    "labels": {"managedFields": "x"}},
       "data": {"managedFields": "eA==", "metadata": "eQ=="}}],
      "metadata": {"managedFields": [], "continue": "t"}, "managedFields": 1})");
  ASSERT_TRUE(list);
  EXPECT_EQ(*list, nlohmann::json::parse(R"({"items": [
      {"metadata": {"name": "a", "labels": {"managedFields": "x"}},
       "data": {"managedFields": "eA==", "metadata": "eQ=="}}],
      "metadata": {"continue": "t"}, "managedFields": 1})"));
}

TEST(Object, ParsingBoundsNesting) {
  const auto nested = [](std::size_t levels) {
    return parse_object(R"({"data":)" + std::string(levels, '[') + std::string(levels, ']') + "}");
  };
  EXPECT_TRUE(nested(99));
  for (const std::size_t levels : {100U, 1'000'000U}) {
    const auto object = nested(levels);
    ASSERT_FALSE(object) << levels;
    EXPECT_EQ(object.error().message, "JSON that nests deeper than 100 levels");
  }
}

TEST(Object, ParsingNamesTheByteAndQuotesNothing) {
  const auto broken = parse_object(R"({"token": "s3cr3t" x})");
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().message, "not JSON: error at byte 20");
  const auto behind = parse_object(std::string_view("{}\0{", 4));
  ASSERT_FALSE(behind);
  EXPECT_EQ(behind.error().message, "not JSON: error at byte 3");
}

}  // namespace
}  // namespace quay_rotator::kube
