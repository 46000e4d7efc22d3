#include "target/owner.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quay_rotator::target {
namespace {

using ::testing::SizeIs;

TEST(FieldManager, IsOfTheOwnerAlone) {
  Owner owner{{"team-a", "puller"}, "uid"};
  EXPECT_EQ(field_manager(owner), "quay-rotator/team-a/puller");
  const auto here = field_manager(owner);
  owner.key.name_space = "team-b";
  EXPECT_NE(field_manager(owner), here);
}

TEST(FieldManager, IsNoLongerThanKubernetesAllows) {
  Owner owner{{"team-a", std::string(108, 'a')}, "uid"};
  EXPECT_EQ(field_manager(owner), "quay-rotator/team-a/" + owner.key.name);
  owner.key.name = std::string(253, 'a');
  const auto one = field_manager(owner);
  EXPECT_THAT(one, SizeIs(128));
  owner.key.name.back() = 'b';
  EXPECT_THAT(field_manager(owner), SizeIs(128));
  EXPECT_NE(field_manager(owner), one);
}

}  // namespace
}  // namespace quay_rotator::target
