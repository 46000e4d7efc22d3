#include "rotation/status/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/rotation/status/samples.h"

namespace quay_rotator::rotation {
namespace {

using namespace samples;
using std::chrono::milliseconds;

TEST(StatusRecord, TheHistoryTellsEveryTokenThatWasCurrentBefore) {
  api::RobotTokenRotation rotation = settled();
  EXPECT_THAT(superseded(rotation.status, "puller"), testing::IsEmpty());
  rotation.status = after_run(rotation, rotated()).status;
  EXPECT_THAT(superseded(rotation.status, "puller"),
              testing::ElementsAre(base::Fingerprint::of("old")));
  RunResult overtaken = rotated();
  overtaken.ledger->previous = base::Fingerprint::of("new");
  overtaken.made = base::Fingerprint::of("newer");
  overtaken.fingerprint = base::Fingerprint::of("theirs");
  overtaken.foreign = true;
  rotation.status = after_run(rotation, overtaken).status;
  EXPECT_THAT(
      superseded(rotation.status, "puller"),
      testing::UnorderedElementsAre(base::Fingerprint::of("old"), base::Fingerprint::of("new"),
                                    base::Fingerprint::of("newer")));
  EXPECT_FALSE(rotation.status.history[1].previous) << "the entry before tells it";
  rotation.status.active()->fingerprint.reset();
  EXPECT_THAT(superseded(rotation.status, "puller"),
              testing::Not(testing::Contains(base::Fingerprint::of("theirs"))))
      << "a status that has lost it";
}

TEST(StatusRecord, TheLedgerIsWrittenWithItsTimeAndShowsAsReconciling) {
  const api::RobotTokenRotationStatus status =
      with_ledger(settled(), *rotated().ledger, "acme+puller", now + milliseconds(700));
  EXPECT_EQ(status.rotation->started_at, now);
  EXPECT_EQ(status.rotation->robot, "acme+puller");
  api::Ledger nameless = *rotated().ledger;
  nameless.robot.clear();
  EXPECT_EQ(with_ledger(settled(), nameless, "acme+puller", now).rotation->robot, "acme+puller");
  EXPECT_TRUE(status.conditions.is_true("Reconciling"));
}

}  // namespace
}  // namespace quay_rotator::rotation
