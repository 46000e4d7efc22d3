#include "rotation/memory.h"

#include <gtest/gtest.h>

namespace quay_rotator::rotation {
namespace {

using base::Fingerprint;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

const base::MonotonicTime start{hours(1)};
const base::WallTime noon{std::chrono::sys_days(std::chrono::year(2026) / 3 / 1)};

api::RobotTokenRotationStatus with_ledger(int attempt) {
  api::RobotTokenRotationStatus status;
  status.rotation = api::Ledger{"id", "acme+puller", {}, {}, Fingerprint::of("old"), attempt, ""};
  return status;
}

TEST(Memory, ARetryWaitsAsLongAsAskedForButNeverLongerThanItsOwnCeiling) {
  constexpr std::uint64_t most = ~0ULL;
  EXPECT_EQ(retry_delay(ledger_backoff, 1, 0, {}), milliseconds(125));
  EXPECT_EQ(retry_delay(ledger_backoff, 1, 0, seconds(3)), seconds(3));
  EXPECT_EQ(retry_delay(ledger_backoff, 1, 0, hours(1)), seconds(15));
  EXPECT_EQ(retry_delay(ordinary_backoff, 1, 0, hours(1)), minutes(5));
  EXPECT_EQ(retry_delay(ordinary_backoff, 100, 0, base::Duration::max()), minutes(5));
  EXPECT_LE(retry_delay(hold_backoff, 100, most, {}), minutes(1));
  EXPECT_GT(retry_delay(ordinary_backoff, 0, 0, {}), base::Duration::zero());
}

TEST(Memory, ALedgerAgesFromWhenThisProcessFirstSawItsAttempt) {
  Memory memory;
  memory.look("uid", with_ledger(1), start);
  memory.count_ledger_failure();
  memory.look("uid", with_ledger(1), start + seconds(20));
  EXPECT_EQ(memory.ledger_age(start + seconds(20)), seconds(20));
  EXPECT_EQ(memory.ledger_failures(), 1);
  memory.look("uid", with_ledger(2), start + seconds(30));
  EXPECT_EQ(memory.ledger_age(start + seconds(30)), seconds(0));
  EXPECT_EQ(memory.ledger_failures(), 0) << "a new attempt is looked at as soon as the first was";
}

TEST(Memory, ALedgerThatCannotBeReadAgesToo) {
  Memory memory;
  api::RobotTokenRotationStatus status;
  status.unreadable = api::Unreadable{{"rotation"}, "status.rotation.id: expected a string"};
  memory.look("uid", status, start);
  memory.look("uid", status, start + seconds(20));
  EXPECT_EQ(memory.ledger_age(start + seconds(20)), seconds(20));
  EXPECT_FALSE(memory.empty());
  status.unreadable->why = "status.rotation.attempt: expected an integer";
  memory.look("uid", status, start + seconds(30));
  EXPECT_EQ(memory.ledger_age(start + seconds(30)), seconds(0)) << "that is another one";
  status.unreadable->members = {"robot"};
  memory.look("uid", status, start + seconds(40));
  EXPECT_TRUE(memory.empty());
}

TEST(Memory, AnotherUidIsAnotherResource) {
  Memory memory;
  memory.look("uid", with_ledger(1), start);
  memory.note_drift({});
  memory.look("another", with_ledger(1), start + seconds(20));
  EXPECT_EQ(memory.ledger_age(start + seconds(20)), seconds(0));
  EXPECT_FALSE(memory.drifted());
}

TEST(Memory, DriftThatIsNotedBeforeTheFirstLookIsKept) {
  Memory memory;
  memory.note_drift({});
  memory.look("uid", {}, start);
  EXPECT_TRUE(memory.drifted());
}

TEST(Memory, IsEmptyAtRest) {
  Memory memory;
  memory.look("uid", {}, start);
  EXPECT_TRUE(memory.empty());
  memory.look("uid", with_ledger(1), start);
  EXPECT_FALSE(memory.empty());
  memory.look("uid", {}, start);
  EXPECT_TRUE(memory.empty());
}

TEST(Memory, ABackOffEndsWithItsTimeOrWithWhatAPersonChanges) {
  Memory memory;
  memory.wait(start + seconds(5), "generation 1");
  EXPECT_TRUE(memory.waits("generation 1", start));
  EXPECT_FALSE(memory.waits("generation 2", start));
  EXPECT_FALSE(memory.waits("generation 1", start + seconds(5)));
}

TEST(Memory, ARestartDoesNotEndABackOffAndNoClockMakesItLonger) {
  struct Row {
    base::WallTime retry_after;
    base::Duration waits;
  };
  for (const Row& row :
       {Row{noon + seconds(40), seconds(40)}, Row{noon - hours(9), seconds(0)},
        Row{noon + hours(600'000), minutes(5)}, Row{base::WallTime::min(), seconds(0)},
        Row{base::WallTime::max(), minutes(5)}}) {
    Memory memory;
    memory.resume_waiting(row.retry_after, noon, start, "inputs");
    EXPECT_EQ(memory.not_before() - start, row.waits);
    memory.resume_waiting(row.retry_after, noon + hours(1), start + hours(1), "inputs");
    EXPECT_EQ(memory.not_before() - start, row.waits) << "only once";
  }
}

TEST(Memory, NewsEndsAWaitAndTheSameAgainDoesNot) {
  Memory memory;
  memory.note_drift({});
  memory.wait(start + minutes(5), "inputs");
  memory.note_drift({});
  EXPECT_TRUE(memory.waits("inputs", start)) << "still no such robot";
  memory.note_drift(Fingerprint::of("made anew"));
  EXPECT_FALSE(memory.waits("inputs", start));
  memory.resume_waiting(noon + minutes(5), noon, start, "inputs");
  EXPECT_FALSE(memory.waits("inputs", start)) << "the status still speaks of it";
}

TEST(Memory, DriftThatIsNotedDuringARunIsStillToBeLookedAt) {
  Memory memory;
  memory.note_drift(Fingerprint::of("theirs"));
  const std::uint64_t news = memory.news();
  memory.note_drift(Fingerprint::of("theirs again"));
  memory.settle_drift(news);
  EXPECT_TRUE(memory.drifted());
  memory.settle_drift(memory.news());
  EXPECT_FALSE(memory.drifted());
}

TEST(Memory, AStaleReadLastsUntilAnythingElseIsAnswered) {
  const Fingerprint old_token = Fingerprint::of("old");
  Memory memory;
  memory.answered(old_token, start);
  memory.answered(old_token, start + minutes(3));
  EXPECT_EQ(memory.stale(), old_token);
  EXPECT_EQ(memory.stale_for(start + minutes(4)), minutes(4));
  memory.answered({}, start + minutes(5));
  EXPECT_FALSE(memory.stale());
  memory.answered(old_token, start + minutes(6));
  EXPECT_EQ(memory.stale_for(start + minutes(7)), minutes(1));
}

TEST(Memory, CountsHealsThatFollowEachOther) {
  Memory memory;
  EXPECT_EQ(memory.count_heal(start), 0);
  EXPECT_EQ(memory.count_heal(start + minutes(1)), 1);
  EXPECT_EQ(memory.count_heal(start + minutes(2)), 2);
  EXPECT_EQ(memory.count_heal(start + minutes(20)), 0);
}

TEST(Memory, WatchesARobotForAHoldMoreAndMoreSeldom) {
  Memory memory;
  memory.watch(minutes(10), start);
  int reads = 0;
  base::MonotonicTime now = start;
  for (; memory.watches(now); ++reads) {
    now = memory.next_watch();
    memory.watched(now, 0);
  }
  EXPECT_GE(now - start, minutes(10));
  EXPECT_LE(reads, 25);
  memory.look("uid", {}, now);
  EXPECT_TRUE(memory.empty());
}

TEST(Memory, AResourceAtRestIsToldOfNothingTwiceWithoutAPause) {
  Memory memory;
  EXPECT_EQ(memory.tell(start), start);
  EXPECT_EQ(memory.tell(start + seconds(1)), start + seconds(10));
  EXPECT_EQ(memory.tell(start + seconds(10)), start + seconds(10));
  memory.look("uid", {}, start + seconds(20));
  EXPECT_TRUE(memory.empty());
}

TEST(Memory, ATimeToComeIsBelievedAfterAWhile) {
  Memory memory;
  EXPECT_FALSE(memory.sees_future(true, start));
  EXPECT_FALSE(memory.sees_future(true, start + minutes(29)));
  EXPECT_TRUE(memory.sees_future(true, start + minutes(30)));
  EXPECT_FALSE(memory.sees_future(false, start + minutes(31)));
  EXPECT_FALSE(memory.sees_future(true, start + minutes(32))) << "it was our own clock";
}

}  // namespace
}  // namespace quay_rotator::rotation
