#include "quay/federation_list.h"

#include <gtest/gtest.h>

namespace quay_rotator::quay {
namespace {

const FederationEntry ours{"https://api", "system:serviceaccount:a:new"};
const FederationEntry former{"https://api", "system:serviceaccount:a:old"};
const FederationEntry theirs{"https://ci", "repo:acme/app"};

TEST(FederationListTest, AddsBesideWhatOthersPutIn) {
  EXPECT_EQ(with_entry({}, ours, {}), FederationList{ours});
  EXPECT_EQ(with_entry({theirs}, ours, {}), (FederationList{theirs, ours}));
  EXPECT_EQ(with_entry({former, theirs}, ours, former), (FederationList{theirs, ours}));
}

TEST(FederationListTest, WritesNothingThatIsThere) {
  EXPECT_FALSE(with_entry({theirs, ours}, ours, {}));
  EXPECT_FALSE(with_entry({ours}, ours, ours));
  // It goes once the new one is there, whoever put that in.
  EXPECT_EQ(with_entry({ours, former}, ours, former), FederationList{ours});
}

TEST(FederationListTest, TakesOutOursAlone) {
  EXPECT_EQ(without_entry({theirs, ours, former}, ours), (FederationList{theirs, former}));
  EXPECT_EQ(without_entry({ours}, ours), FederationList{});
  EXPECT_FALSE(without_entry({theirs}, ours));
  EXPECT_FALSE(without_entry({}, ours));
}

}  // namespace
}  // namespace quay_rotator::quay
