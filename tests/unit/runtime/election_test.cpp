#include "runtime/election.h"

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/runtime/api_client.h"

namespace quay_rotator::runtime {
namespace {

using namespace std::chrono_literals;
using quay_rotator::testing::Answer;
using quay_rotator::testing::FakeResult;
using quay_rotator::testing::RecordingLog;
using quay_rotator::testing::SentRequest;
using quay_rotator::testing::VirtualExecutor;
using testing::ApiClient;
using ::testing::HasSubstr;
using testing::no_answer;
using testing::refusal;
using Verdict = ElectionState::Verdict;

const kube::ObjectKey lease_key{"operators", "quay-rotator"};

ElectionOptions options_of(const std::string& identity,
                           std::function<void()> on_lost_history = {}) {
  ElectionOptions options;
  options.on_lost_history = std::move(on_lost_history);
  options.lease = lease_key;
  options.identity = identity;
  return options;
}

LeaseRecord held_by(const std::string& holder, const std::string& renewed = "1") {
  return {holder, 15s, "0", renewed, 3};
}

constexpr base::MonotonicTime start{1h};

TEST(ElectionIdentityTest, IsThePodsNameOrOneThatNoOtherProcessHas) {
  EXPECT_EQ(election_identity("quay-rotator-0", "node-1", 7), "quay-rotator-0");
  EXPECT_EQ(election_identity("", "laptop", 0x3f9a1c), "laptop_00000000003f9a1c");
  EXPECT_NE(election_identity("", "node-1", 1), election_identity("", "node-1", 2));
}

TEST(ElectionStateTest, TakesWhatIsFree) {
  struct Row {
    const char* name;
    std::optional<LeaseRecord> record;
    Verdict verdict;
  };
  for (const Row& row : {Row{"no lease", std::nullopt, Verdict::create},
                         Row{"released", held_by(""), Verdict::acquire},
                         Row{"ours, of an earlier container", held_by("pod-a"), Verdict::acquire},
                         Row{"another's", held_by("pod-b"), Verdict::wait}}) {
    ElectionState state(options_of("pod-a"));
    EXPECT_EQ(state.observe(row.record, start), row.verdict) << row.name;
    EXPECT_FALSE(state.leading(start)) << row.name;
  }
}

TEST(ElectionStateTest, ExpiryCountsFromWhenTheRecordLastChangedForUs) {
  ElectionState state(options_of("pod-a"));
  EXPECT_EQ(state.observe(held_by("pod-b", "1"), start), Verdict::wait);
  EXPECT_EQ(state.observe(held_by("pod-b", "1"), start + 14999ms), Verdict::wait);
  EXPECT_EQ(state.observe(held_by("pod-b", "2"), start + 14999ms), Verdict::wait) << "renewed";
  EXPECT_EQ(state.observe(held_by("pod-b", "2"), start + 29998ms), Verdict::wait);
  EXPECT_EQ(state.observe(held_by("pod-b", "2"), start + 29999ms), Verdict::acquire);
}

TEST(ElectionStateTest, HolderSaysHowLongItsLeaseLasts) {
  ElectionState state(options_of("pod-a"));
  auto record = held_by("pod-b");
  record.duration = 60s;
  EXPECT_EQ(state.observe(record, start), Verdict::wait);
  EXPECT_EQ(state.observe(record, start + 59s), Verdict::wait);
  EXPECT_EQ(state.observe(record, start + 60s), Verdict::acquire);
  record.duration = 0s;  // nonsense: our own
  EXPECT_EQ(state.observe(record, start + 61s), Verdict::wait);
  EXPECT_EQ(state.observe(record, start + 76s), Verdict::acquire);
}

TEST(ElectionStateTest, ClaimCountsTransitionsAndKeepsWhatIsOurs) {
  ElectionState fresh(options_of("pod-a"));
  fresh.observe(std::nullopt, start);
  EXPECT_EQ(fresh.claim("now"), (LeaseRecord{"pod-a", 15s, "now", "now", 0}));

  ElectionState taking(options_of("pod-a"));
  taking.observe(held_by("pod-b"), start);
  EXPECT_EQ(taking.claim("now"), (LeaseRecord{"pod-a", 15s, "now", "now", 4}));

  ElectionState renewing(options_of("pod-a"));
  renewing.observe(held_by("pod-a"), start);
  EXPECT_EQ(renewing.claim("now"), (LeaseRecord{"pod-a", 15s, "0", "now", 3}));
}

TEST(ElectionStateTest, LeadsForTheRenewDeadlineFromTheStartOfTheRequest) {
  ElectionState state(options_of("pod-a"));
  state.observe(std::nullopt, start);
  state.renewed(state.claim("now"), start);
  EXPECT_TRUE(state.leading(start + 9999ms));
  EXPECT_FALSE(state.leading(start + 10s));
  state.renewed(state.claim("later"), start + 8s);
  EXPECT_TRUE(state.leading(start + 17s));
}

TEST(ElectionStateTest, AnotherHolderEndsItAtOnce) {
  ElectionState state(options_of("pod-a"));
  state.observe(std::nullopt, start);
  state.renewed(state.claim("now"), start);
  EXPECT_EQ(state.observe(held_by("pod-b"), start + 1s), Verdict::wait);
  EXPECT_FALSE(state.leading(start + 1s));
}

kube::ClientOptions client_options() {
  kube::ClientOptions options;
  options.deadline = 5s;
  return options;
}

// One Lease in an API server, with its preconditions.
class LeaseServer {
 public:
  FakeResult answer(const SentRequest& request) {
    if (down) return no_answer();
    switch (request.method) {
      case http::Method::get:
        if (!lease) return refusal(404, "NotFound");
        return Answer{.body = lease->dump()};
      case http::Method::post:
        if (lease) return refusal(409, "AlreadyExists");
        return store(request.body, 201);
      case http::Method::put: {
        if (!lease) return refusal(404, "NotFound");
        const auto sent = nlohmann::json::parse(request.body);
        if (sent["metadata"]["resourceVersion"] != (*lease)["metadata"]["resourceVersion"]) {
          return refusal(409, "Conflict");
        }
        return store(request.body, 200);
      }
      default:
        return refusal(405, "MethodNotAllowed");
    }
  }
  FakeResult store(const std::string& text, int status) {
    lease = nlohmann::json::parse(text);
    (*lease)["metadata"]["resourceVersion"] = std::to_string(++version);
    return Answer{.status = status, .body = lease->dump()};
  }
  // Somebody else writes.
  void hold(const std::string& holder, const std::string& renewed) {
    if (!lease) lease.emplace();
    (*lease)["metadata"]["name"] = "quay-rotator";
    (*lease)["metadata"]["labels"]["kept"] = "yes";
    (*lease)["metadata"]["resourceVersion"] = std::to_string(++version);
    (*lease)["spec"] = {{"holderIdentity", holder},
                        {"leaseDurationSeconds", 15},
                        {"renewTime", renewed},
                        {"leaseTransitions", 1}};
  }
  std::string holder() const { return (*lease)["spec"]["holderIdentity"]; }

  std::optional<nlohmann::json> lease;
  int version = 0;
  bool down = false;
};

class ElectionTest : public ::testing::Test {
 protected:
  struct Replica {
    Replica(ElectionTest& test, const std::string& identity,
            std::function<void()> on_lost_history = {})
        : api(
              test.executor_,
              [&test, this](const SentRequest& request) {
                test.executor_.sleep_for(std::exchange(hang, {}), {});
                if (cut_off) return FakeResult(no_answer());
                auto answer = test.server_.answer(request);
                if (answer) answer->delay = delay;
                return answer;
              },
              client_options()),
          election(options_of(identity, std::move(on_lost_history)), api.client, test.executor_,
                   test.log_.log()) {
      election.on_lost([this] { ++lost; });
    }
    int writes() const {
      int count = 0;
      for (const auto& request : api.transport.requests()) {
        count += request.method == http::Method::get ? 0 : 1;
      }
      return count;
    }
    bool cut_off = false;
    base::Duration delay{};
    base::Duration hang{};  // of the next request, whatever its deadline
    int lost = 0;
    ApiClient api;
    Election election;
  };

  VirtualExecutor executor_{1};
  RecordingLog log_;
  LeaseServer server_;
};

TEST_F(ElectionTest, CreatesTheLeaseAndLeads) {
  Replica replica(*this, "pod-a");
  EXPECT_TRUE(replica.election.wait_until_leading({}));
  EXPECT_TRUE(replica.election.leading());
  const auto& lease = *server_.lease;
  EXPECT_EQ(lease["metadata"]["name"], "quay-rotator");
  EXPECT_EQ(lease["metadata"]["namespace"], "operators");
  EXPECT_EQ(lease["spec"]["holderIdentity"], "pod-a");
  EXPECT_EQ(lease["spec"]["leaseDurationSeconds"], 15);
  EXPECT_EQ(lease["spec"]["leaseTransitions"], 0);
  EXPECT_EQ(lease["spec"]["acquireTime"], "2026-03-01T12:00:00.000000Z");
  EXPECT_EQ(lease["spec"]["renewTime"], "2026-03-01T12:00:00.000000Z");
}

TEST_F(ElectionTest, RenewsWithOneRequestEveryTwoSeconds) {
  Replica replica(*this, "pod-a");
  ASSERT_TRUE(replica.election.wait_until_leading({}));
  const auto before = replica.api.transport.requests().size();
  executor_.advance(1min);
  EXPECT_TRUE(replica.election.leading());
  EXPECT_EQ(replica.api.transport.requests().size(), before + 30);
  EXPECT_EQ((*server_.lease)["spec"]["renewTime"], "2026-03-01T12:01:00.000000Z");
  EXPECT_EQ((*server_.lease)["spec"]["acquireTime"], "2026-03-01T12:00:00.000000Z");
  EXPECT_EQ((*server_.lease)["spec"]["leaseTransitions"], 0);
  EXPECT_EQ(replica.lost, 0);
}

TEST_F(ElectionTest, ALeaseThatIsOlderThanItWasProvesThatHistoryWentBack) {
  for (const bool ours : {true, false}) {
    server_.lease.reset();
    if (!ours) server_.hold("pod-b", "0");
    int lost = 0;
    Replica replica(*this, "pod-a", [&lost] { ++lost; });
    executor_.advance(10s);
    const auto before = server_.lease;
    executor_.advance(3s);
    if (!ours) server_.hold("pod-b", "1");
    executor_.advance(3s);
    EXPECT_EQ(lost, 0);
    server_.lease = before;
    executor_.advance(3s);
    EXPECT_EQ(lost, 1);
    EXPECT_EQ(replica.election.leading(), ours);
  }
}

TEST_F(ElectionTest, SaysWhenItsThreadHangsAndNotWhenTheServerIsAway) {
  Replica replica(*this, "pod-a");
  server_.hold("pod-b", "0");
  replica.cut_off = true;
  executor_.advance(1h);
  EXPECT_EQ(replica.election.stuck(), "");
  replica.hang = 10min;
  executor_.advance(5min);
  EXPECT_THAT(replica.election.stuck(), ::testing::StartsWith("no sign of life for"));
  executor_.advance(6min);
  EXPECT_EQ(replica.election.stuck(), "");
}

TEST_F(ElectionTest, WaitsForALivingHolderAndFollowsADeadOne) {
  server_.hold("pod-b", "0");
  Replica replica(*this, "pod-a");
  for (int second = 1; second <= 30; ++second) {
    executor_.advance(1s);
    server_.hold("pod-b", std::to_string(second));
  }
  EXPECT_FALSE(replica.election.leading());
  EXPECT_EQ(replica.writes(), 0);
  // pod-b dies; no stamp of the lease is believed, only our own clock.
  executor_.advance(14s);
  EXPECT_FALSE(replica.election.leading());
  executor_.advance(4s);
  EXPECT_TRUE(replica.election.leading());
  EXPECT_EQ(server_.holder(), "pod-a");
  EXPECT_EQ((*server_.lease)["spec"]["leaseTransitions"], 2);
  EXPECT_EQ((*server_.lease)["metadata"]["labels"]["kept"], "yes");
}

TEST_F(ElectionTest, ALeaseOfNonsenseIsOneLikeAnyOther) {
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  server_.hold("", "0");
  const nlohmann::json sound = *server_.lease;
  nlohmann::json numbers = sound;
  numbers["spec"]["leaseDurationSeconds"] = most;
  numbers["spec"]["leaseTransitions"] = most;
  nlohmann::json negative = sound;
  negative["spec"]["leaseDurationSeconds"] = -most;
  negative["spec"]["leaseTransitions"] = -most;
  nlohmann::json text = sound;
  text["spec"] = "text";
  for (const nlohmann::json& lease : {numbers, negative, text}) {
    server_.lease = lease;
    Replica replica(*this, "pod-a");
    EXPECT_TRUE(replica.election.wait_until_leading({})) << lease;
    EXPECT_EQ(server_.holder(), "pod-a");
    EXPECT_EQ((*server_.lease)["spec"]["leaseDurationSeconds"], 15);
    EXPECT_GT((*server_.lease)["spec"]["leaseTransitions"], 0);
  }
}

TEST_F(ElectionTest, AHolderOfForEverIsWaitedForTenMinutes) {
  server_.hold("pod-b", "0");
  (*server_.lease)["spec"]["leaseDurationSeconds"] = std::numeric_limits<std::int64_t>::max();
  Replica replica(*this, "pod-a");
  executor_.advance(599s);
  EXPECT_FALSE(replica.election.leading());
  EXPECT_EQ(replica.writes(), 0);
  executor_.advance(5s);
  EXPECT_TRUE(replica.election.leading());
}

TEST_F(ElectionTest, WallClockJumpsChangeNothing) {
  server_.hold("pod-b", "0");
  Replica replica(*this, "pod-a");
  executor_.settle();
  executor_.shift_wall_clock(24h);
  executor_.advance(10s);
  EXPECT_FALSE(replica.election.leading());
  executor_.advance(8s);
  EXPECT_TRUE(replica.election.leading());
  executor_.shift_wall_clock(-48h);
  executor_.advance(1min);
  EXPECT_TRUE(replica.election.leading());
}

TEST_F(ElectionTest, OneOfTwoLeadsAndTheOtherFollowsWhenItIsReleased) {
  Replica first(*this, "pod-a");
  ASSERT_TRUE(first.election.wait_until_leading({}));
  Replica second(*this, "pod-b");
  executor_.advance(1min);
  EXPECT_FALSE(second.election.leading());
  first.election.release();
  EXPECT_FALSE(first.election.leading());
  EXPECT_EQ(server_.holder(), "");
  executor_.advance(3s);
  EXPECT_TRUE(second.election.leading());
  EXPECT_EQ(first.lost, 0);
}

TEST_F(ElectionTest, TwoThatBeginAtOnceElectOne) {
  Replica first(*this, "pod-a");
  Replica second(*this, "pod-b");
  executor_.advance(1min);
  EXPECT_NE(first.election.leading(), second.election.leading());
}

TEST_F(ElectionTest, RestartedContainerTakesItsOwnLeaseAtOnce) {
  server_.hold("pod-a", "0");
  Replica replica(*this, "pod-a");
  executor_.settle();
  EXPECT_TRUE(replica.election.leading());
  EXPECT_EQ((*server_.lease)["spec"]["leaseTransitions"], 1);
}

TEST_F(ElectionTest, LeaderThatIsCutOffStopsAtItsDeadlineBeforeTheOtherBegins) {
  Replica first(*this, "pod-a");
  ASSERT_TRUE(first.election.wait_until_leading({}));
  Replica second(*this, "pod-b");
  executor_.advance(20s);
  const auto cut = executor_.now();
  first.cut_off = true;
  std::optional<base::Duration> ended;
  while (!second.election.leading()) {
    executor_.advance(100ms);
    ASSERT_LT(executor_.now() - cut, 1min);
    ASSERT_FALSE(first.election.leading() && second.election.leading());
    if (!ended && first.lost > 0) ended = executor_.now() - cut;
  }
  ASSERT_TRUE(ended);
  EXPECT_LE(*ended, 10100ms);
  executor_.advance(5min);
  EXPECT_EQ(first.lost, 1);
  first.cut_off = false;
  executor_.advance(1min);
  EXPECT_FALSE(first.election.leading()) << "it is not to compete again";
}

TEST_F(ElectionTest, ShortOutageIsSurvived) {
  Replica replica(*this, "pod-a");
  ASSERT_TRUE(replica.election.wait_until_leading({}));
  server_.down = true;
  executor_.advance(7s);
  EXPECT_TRUE(replica.election.leading());
  server_.down = false;
  executor_.advance(1min);
  EXPECT_TRUE(replica.election.leading());
  EXPECT_EQ(replica.lost, 0);
}

TEST_F(ElectionTest, LeaseTakenByAnotherIsLostAtTheNextRenewal) {
  Replica replica(*this, "pod-a");
  ASSERT_TRUE(replica.election.wait_until_leading({}));
  server_.hold("pod-b", "x");
  executor_.advance(2s);
  EXPECT_FALSE(replica.election.leading());
  EXPECT_EQ(replica.lost, 1);
  EXPECT_EQ(server_.holder(), "pod-b");
}

TEST_F(ElectionTest, LeaseDeletedOrEditedByAPersonIsRenewed) {
  Replica replica(*this, "pod-a");
  ASSERT_TRUE(replica.election.wait_until_leading({}));
  server_.lease.reset();
  executor_.advance(2s);
  EXPECT_EQ(server_.holder(), "pod-a");
  (*server_.lease)["metadata"]["resourceVersion"] = std::to_string(++server_.version);
  executor_.advance(1min);
  EXPECT_TRUE(replica.election.leading());
  EXPECT_EQ(replica.lost, 0);
}

// The request goes out, the process is frozen, the answer is a success.
TEST_F(ElectionTest, AnswerThatComesAfterTheDeadlineDoesNotMakeALeader) {
  auto frozen = false;
  ApiClient api(executor_, [&](const SentRequest& request) {
    if (frozen) executor_.sleep_for(12s, {});
    return server_.answer(request);
  });
  Election election(options_of("pod-a"), api.client, executor_, log_.log());
  int lost = 0;
  election.on_lost([&] { ++lost; });
  ASSERT_TRUE(election.wait_until_leading({}));
  frozen = true;
  executor_.advance(10s);
  EXPECT_FALSE(election.leading()) << "judged by the clock, whatever the thread is busy with";
  executor_.advance(5s);
  EXPECT_EQ(server_.holder(), "pod-a");
  EXPECT_FALSE(election.leading());
  EXPECT_EQ(lost, 1);
  int told_late = 0;
  election.on_lost([&] { ++told_late; });
  EXPECT_EQ(told_late, 1);
}

TEST_F(ElectionTest, SlowFirstAnswerIsNoLeadership) {
  ApiClient api(executor_, [&](const SentRequest& request) {
    if (request.method == http::Method::post) executor_.sleep_for(12s, {});
    return server_.answer(request);
  });
  Election election(options_of("pod-a"), api.client, executor_, log_.log());
  executor_.advance(12s);
  // The lease is there and names us; the next round renews it.
  EXPECT_TRUE(election.leading());
  EXPECT_THAT(log_.text(), ::testing::Not(HasSubstr("lost")));
}

TEST_F(ElectionTest, ReleaseLeavesALeaseThatIsNotOurs) {
  Replica replica(*this, "pod-a");
  ASSERT_TRUE(replica.election.wait_until_leading({}));
  server_.hold("pod-b", "x");
  replica.election.release();
  EXPECT_EQ(server_.holder(), "pod-b");
  EXPECT_EQ(replica.lost, 0);
}

TEST_F(ElectionTest, ReleaseOfWhatWasNeverClaimedAsksNothing) {
  server_.hold("pod-b", "0");
  Replica replica(*this, "pod-a");
  executor_.settle();
  const auto before = replica.api.transport.requests().size();
  replica.election.release();
  replica.election.release();
  EXPECT_EQ(replica.api.transport.requests().size(), before);
}

TEST_F(ElectionTest, StopEndsTheWait) {
  server_.hold("pod-b", "0");
  Replica replica(*this, "pod-a");
  std::stop_source stop;
  bool result = true;
  const auto waiting = executor_.spawn("waiting", [&](const std::stop_token&) {
    result = replica.election.wait_until_leading(stop.get_token());
  });
  executor_.settle();
  stop.request_stop();
  waiting->join();
  EXPECT_FALSE(result);
}

TEST_F(ElectionTest, SaysOnceWhyTheLeaseCannotBeHad) {
  ApiClient api(executor_, [](const SentRequest&) {
    return refusal(403, "Forbidden", "leases.coordination.k8s.io is forbidden");
  });
  Election election(options_of("pod-a"), api.client, executor_, log_.log());
  executor_.advance(1min);
  EXPECT_FALSE(election.leading());
  const std::string text = log_.text();
  const auto first = text.find("cannot get or renew the lease");
  ASSERT_NE(first, std::string::npos);
  EXPECT_THAT(text, HasSubstr("leases"));
  EXPECT_EQ(text.find("cannot get or renew the lease", first + 1), std::string::npos);
}

}  // namespace
}  // namespace quay_rotator::runtime
