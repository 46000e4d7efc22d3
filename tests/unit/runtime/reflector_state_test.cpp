#include "runtime/reflector_state.h"

#include <variant>

#include <gtest/gtest.h>

namespace quay_rotator::runtime {
namespace {

using namespace std::chrono_literals;
using Kind = kube::Error::Kind;
using Action = ReflectorState::Action;
using ListPage = ReflectorState::ListPage;
using Check = ReflectorState::Check;
using Watch = ReflectorState::Watch;
using Wait = ReflectorState::Wait;

kube::Error error_of(Kind kind) {
  kube::Error error;
  error.kind = kind;
  return error;
}

constexpr std::uint64_t longest = ~0ULL;  // the random number of the longest delay

const ReflectorState::Told told{{"team-a", "puller"}, "9"};

// A state that was told of an object and watches from "10".
ReflectorState watching() {
  ReflectorState state;
  state.on_told(told);
  state.on_page("10", "");
  return state;
}

Action check(const std::string& version) {
  return Check{version, told};
}

base::Duration delay_of(const ReflectorState& state) {
  const auto action = state.next();
  const auto* wait = std::get_if<Wait>(&action);
  return wait == nullptr ? base::Duration::zero() : wait->delay;
}

TEST(ReflectorStateTest, ListsInPagesThenWatches) {
  ReflectorState state;
  EXPECT_EQ(state.next(), Action(ListPage{"", 500, true, History::goes_on}));
  state.on_page("10", "next");
  EXPECT_FALSE(state.complete());
  EXPECT_EQ(state.next(), Action(ListPage{"next", 500, false, History::goes_on}));
  state.on_page("10", "");
  EXPECT_TRUE(state.complete());
  EXPECT_EQ(state.next(), Action(Watch{"10"}));
}

TEST(ReflectorStateTest, ExpiredContinueTokenMeansOneFullList) {
  ReflectorState state;
  state.on_page("10", "next");
  state.on_list_error(error_of(Kind::expired), 0);
  EXPECT_EQ(state.next(), Action(ListPage{"", 0, true, History::goes_on}));
  state.on_page("20", "");
  EXPECT_EQ(state.next(), Action(Watch{"20"}));
  state.on_watch_status(410, 5min, 0);
  EXPECT_EQ(state.next(), Action(ListPage{"", 500, true, History::goes_on}))
      << "later lists are paged again";
}

TEST(ReflectorStateTest, PageThatCouldNotBeHadIsAskedForAgain) {
  for (const Kind kind : {Kind::unreachable, Kind::server, Kind::too_many_requests}) {
    ReflectorState state;
    state.on_page("10", "next");
    state.on_list_error(error_of(kind), 0);
    EXPECT_GT(delay_of(state), 0s);
    state.on_waited();
    EXPECT_EQ(state.next(), Action(ListPage{"next", 500, false, History::goes_on}));
  }
}

TEST(ReflectorStateTest, ListThatIsRefusedBeginsAnew) {
  for (const Kind kind : {Kind::unauthorized, Kind::forbidden, Kind::not_found, Kind::invalid,
                          Kind::malformed, Kind::credentials}) {
    ReflectorState state;
    state.on_page("10", "next");
    state.on_list_error(error_of(kind), 0);
    EXPECT_GT(delay_of(state), 0s);
    state.on_waited();
    EXPECT_EQ(state.next(), Action(ListPage{"", 500, true, History::goes_on}));
  }
}

TEST(ReflectorStateTest, FullListThatExpiresBacksOff) {
  ReflectorState state;
  state.on_list_error(error_of(Kind::expired), 0);
  EXPECT_GT(delay_of(state), 0s);
}

TEST(ReflectorStateTest, DelayDoublesUpToHalfAMinute) {
  ReflectorState state;
  base::Duration expected = 800ms;
  for (int failure = 0; failure < 10; ++failure) {
    state.on_list_error(error_of(Kind::unreachable), longest);
    EXPECT_NEAR(std::chrono::duration<double>(delay_of(state)).count(),
                std::chrono::duration<double>(expected).count(), 1e-6);
    state.on_waited();
    expected = std::min<base::Duration>(expected * 2, 30s);
  }
}

TEST(ReflectorStateTest, RetryAfterIsHonouredWhenItIsLonger) {
  auto busy = error_of(Kind::too_many_requests);
  busy.retry_after = 7s;
  ReflectorState state;
  state.on_list_error(busy, longest);
  EXPECT_GE(delay_of(state), 7s);
  busy.retry_after = 1ns;
  state.on_list_error(busy, longest);
  EXPECT_GT(delay_of(state), 1s);
}

TEST(ReflectorStateTest, RetryAfterIsHonouredUpToHalfAMinuteAndAQuarterOnTop) {
  for (const base::Duration asked : {base::Duration(30s), base::Duration(1h),
                                     base::Duration(std::chrono::seconds(4'294'967'296))}) {
    for (const std::uint64_t random : {std::uint64_t{0}, std::uint64_t{123'456'789}, longest}) {
      for (const Kind kind : {Kind::too_many_requests, Kind::server}) {
        auto busy = error_of(kind);
        busy.retry_after = asked;
        ReflectorState listing;
        listing.on_list_error(busy, random);
        EXPECT_GE(delay_of(listing), 30s);
        EXPECT_LE(delay_of(listing), 37500ms);
        auto state = watching();
        state.on_watch_error(busy, 0s, random);
        EXPECT_LE(delay_of(state), 37500ms);
      }
    }
  }
}

TEST(ReflectorStateTest, EndedWatchGoesOnAtOnceFromTheLastVersionOnceTheServerHasIt) {
  auto state = watching();
  state.on_watch_version("12");
  state.on_watch_end(5min, 1, 0);
  EXPECT_EQ(state.next(), check("12"));
  state.on_checked("12", "9");
  EXPECT_EQ(state.next(), Action(Watch{"12"}));
  state.on_watch_end(10ms, 1, 0);
  EXPECT_EQ(state.next(), check("12")) << "short, but it brought something";
}

TEST(ReflectorStateTest, AServerThatHasNotReachedOurVersionIsListedToReplaceAll) {
  for (const bool refused : {false, true}) {
    auto state = watching();
    state.on_watch_version("200");
    state.on_watch_error(error_of(Kind::unreachable), 1min, 0);
    state.on_waited();
    EXPECT_EQ(state.next(), check("200"));
    if (refused) {
      state.on_check_error(error_of(Kind::ahead), 0);
    } else {
      state.on_checked("150", "9");
    }
    EXPECT_EQ(state.next(), Action(ListPage{"", 500, true, History::went_back}));
    state.on_page("150", "next");
    EXPECT_EQ(state.next(), Action(ListPage{"next", 500, false, History::went_back}));
    state.on_list_error(error_of(Kind::expired), 0);
    EXPECT_EQ(state.next(), Action(ListPage{"", 0, true, History::went_back}));
    state.on_page("151", "");
    EXPECT_TRUE(state.complete());
    EXPECT_EQ(state.history(), History::goes_on);
    EXPECT_EQ(state.next(), Action(Watch{"151"}));
  }
}

TEST(ReflectorStateTest, AListThatIsOlderThanWhatWasSeenIsListedOnceMoreToReplaceAll) {
  auto state = watching();
  state.on_watch_version("200");
  state.on_watch_status(410, 1min, 0);
  EXPECT_EQ(state.next(), Action(ListPage{"", 500, true, History::goes_on}));
  state.on_page("150", "");
  EXPECT_FALSE(state.complete());
  EXPECT_EQ(state.next(), Action(ListPage{"", 500, true, History::went_back}));
  state.on_page("150", "");
  EXPECT_EQ(state.next(), Action(Watch{"150"}));
}

// What an API server that has passed our version says it had at ours, of the object told of last.
TEST(ReflectorStateTest, TheObjectThatWasToldOfLastShowsAServerThatPassedOurVersionOnAnotherWay) {
  struct Row {
    const char* name;
    bool deleted;
    std::optional<std::string> found;
    Action next;
  };
  const Action watch = Watch{"12"};
  const Action replace = ListPage{"", 500, true, History::went_back};
  for (const Row& row :
       {Row{"as it was", false, "11", watch},
        Row{"written since, on another way", false, "12", replace},
        Row{"older", false, "9", replace}, Row{"never made", false, {}, replace},
        Row{"deleted as it was", true, {}, watch}, Row{"made anew", true, "12", replace},
        Row{"not deleted yet", true, "9", replace}}) {
    auto state = watching();
    state.on_told({{"team-a", "puller"}, "11", row.deleted});
    state.on_watch_version("12");
    state.on_watch_end(5min, 2, 0);
    EXPECT_EQ(state.next(),
              Action(Check{"12", ReflectorState::Told{{"team-a", "puller"}, "11", row.deleted}}));
    state.on_checked("20", row.found);
    EXPECT_EQ(state.next(), row.next) << row.name;
  }
}

TEST(ReflectorStateTest, WhereNothingWasEverToldAListCostsNoMoreThanACheck) {
  ReflectorState state;
  state.on_page("10", "");
  state.on_watch_end(5min, 1, 0);
  EXPECT_EQ(state.next(), Action(ListPage{"", 500, true, History::goes_on}));
  state.on_page("9", "");
  EXPECT_EQ(state.next(), Action(ListPage{"", 500, true, History::went_back}));
}

TEST(ReflectorStateTest, TheNewestObjectIsTheLastThatWasToldOf) {
  ReflectorState state;
  EXPECT_TRUE(state.is_news("9"));
  state.on_told({{"team-a", "puller"}, "9"});
  EXPECT_FALSE(state.is_news("8"));
  EXPECT_TRUE(state.is_news("10"));
}

TEST(ReflectorStateTest, OthersProofReplacesAllAndIsNotTakenTwiceForOneList) {
  auto state = watching();
  state.on_lost_history();
  EXPECT_EQ(state.next(), Action(ListPage{"", 500, true, History::went_back}));
  state.on_page("5", "next");
  state.on_lost_history();
  EXPECT_EQ(state.next(), Action(ListPage{"next", 500, false, History::went_back}));
  state.on_page("5", "");
  EXPECT_EQ(state.next(), Action(Watch{"5"}));
}

TEST(ReflectorStateTest, VersionsThatAreNoNumbersAreNotCompared) {
  auto state = watching();
  state.on_watch_version("b");
  state.on_watch_end(5min, 1, 0);
  state.on_checked("a", "9");
  EXPECT_EQ(state.next(), Action(Watch{"b"}));
}

TEST(ReflectorStateTest, ACheckThatFailsIsAskedAgainAndOneThatIsRefusedLetBe) {
  for (const Kind kind : {Kind::unreachable, Kind::server, Kind::too_many_requests, Kind::forbidden,
                          Kind::malformed}) {
    auto state = watching();
    state.on_watch_end(5min, 1, 0);
    state.on_check_error(error_of(kind), 0);
    EXPECT_GT(delay_of(state), 0s);
    state.on_waited();
    EXPECT_EQ(state.next(), check("10"));
  }
  auto state = watching();
  state.on_watch_end(5min, 1, 0);
  state.on_check_error(error_of(Kind::invalid), 0);
  EXPECT_EQ(state.next(), Action(Watch{"10"}));
}

TEST(ReflectorStateTest, WatchThatEndsAsSoonAsItBeginsBacksOff) {
  auto state = watching();
  state.on_watch_end(999ms, 0, 0);
  EXPECT_GT(delay_of(state), 0s);
  state.on_waited();
  EXPECT_EQ(state.next(), check("10"));
}

TEST(ReflectorStateTest, FailureToOpenKeepsTheVersion) {
  for (const Kind kind :
       {Kind::unreachable, Kind::server, Kind::too_many_requests, Kind::unauthorized,
        Kind::forbidden, Kind::not_found, Kind::credentials}) {
    auto state = watching();
    state.on_watch_error(error_of(kind), 0s, 0);
    EXPECT_GT(delay_of(state), 0s);
    state.on_waited();
    EXPECT_EQ(state.next(), check("10"));
  }
}

TEST(ReflectorStateTest, WatchThatMakesNoSenseIsRelistedAfterADelay) {
  for (const Kind kind : {Kind::invalid, Kind::malformed}) {
    auto state = watching();
    state.on_watch_error(error_of(kind), 1min, 0);
    EXPECT_GT(delay_of(state), 0s);
    state.on_waited();
    EXPECT_EQ(state.next(), Action(ListPage{"", 500, true, History::goes_on}));
  }
}

TEST(ReflectorStateTest, StatusOfAnErrorEventDecides) {
  auto expired = watching();
  expired.on_watch_status(410, 1min, 0);
  EXPECT_EQ(expired.next(), Action(ListPage{"", 500, true, History::goes_on}));

  auto busy = watching();
  busy.on_watch_status(429, 1min, 0);
  EXPECT_GT(delay_of(busy), 0s);
  busy.on_waited();
  EXPECT_EQ(busy.next(), check("10"));

  auto other = watching();
  other.on_watch_status(500, 1min, 0);
  EXPECT_GT(delay_of(other), 0s);
  other.on_waited();
  EXPECT_EQ(other.next(), Action(ListPage{"", 500, true, History::goes_on}));
}

TEST(ReflectorStateTest, VersionsThatAreTooOldAgainAndAgainBackOff) {
  auto state = watching();
  state.on_watch_error(error_of(Kind::expired), 0s, 0);
  EXPECT_EQ(delay_of(state), 0s);
  state.on_page("11", "");
  state.on_watch_error(error_of(Kind::expired), 0s, 0);
  EXPECT_GT(delay_of(state), 0s);
  state.on_waited();
  EXPECT_EQ(state.next(), Action(ListPage{"", 500, true, History::goes_on}));
}

TEST(ReflectorStateTest, TwoMinutesOfHealthForgetFailures) {
  auto state = watching();
  for (int failure = 0; failure < 5; ++failure) {
    state.on_watch_error(error_of(Kind::unreachable), 1min, longest);
    state.on_waited();
  }
  state.on_watch_error(error_of(Kind::unreachable), 119s, longest);
  EXPECT_GT(delay_of(state), 20s);
  state.on_watch_error(error_of(Kind::unreachable), 2min, longest);
  EXPECT_LT(delay_of(state), 1s);
}

}  // namespace
}  // namespace quay_rotator::runtime
