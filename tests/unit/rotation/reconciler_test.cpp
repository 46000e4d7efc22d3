#include "rotation/reconciler.h"

#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "connection/newcomers.h"
#include "connection/session.h"
#include "kube/event_recorder.h"
#include "rotation/wake.h"
#include "support/kube/fake_api_server.h"
#include "support/recording_log.h"
#include "support/virtual_executor.h"

namespace quay_rotator::rotation {
namespace {

using nlohmann::json;
using quay_rotator::testing::Answer;
using quay_rotator::testing::FakeApiServer;
using quay_rotator::testing::FakeResult;
using quay_rotator::testing::SentRequest;
using quay_rotator::testing::VirtualExecutor;
using runtime::Next;
using runtime::Urgency;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const kube::ObjectKey key{"team-a", "puller"};
const std::string cluster = "this-cluster";

class NoQuay : public http::TransportFactory {
 public:
  tl::expected<std::unique_ptr<http::Transport>, http::Error> open(http::Endpoint) override {
    return tl::unexpected(http::Error{http::Error::Kind::invalid_request, "no Quay here", false});
  }
};

// What a look without Quay decides, writes and returns. The API server is real enough to patch
// RobotTokenRotations and to take Events.
class ReconcilerTest : public ::testing::Test {
 protected:
  ReconcilerTest() {
    server_.set_fault([this](const SentRequest& request) { return answer(request); });
    knowledge_.sight.identify(cluster);
  }

  // Adopted three hours ago, with nothing to do for 21 hours more, and without targets to look at.
  static json settled() {
    return json::parse(R"({
      "apiVersion": "quayrotator.dev/v1alpha1", "kind": "RobotTokenRotation",
      "metadata": {"namespace": "team-a", "name": "puller", "uid": "uid-1", "generation": 1,
        "resourceVersion": "1", "creationTimestamp": "2026-03-01T09:00:00Z",
        "annotations": {"quayrotator.dev/cluster": "this-cluster",
                        "quayrotator.dev/initialized-at": "2026-03-01T09:00:00Z"}},
      "spec": {"connectionRef": {"name": "quay"},
               "robot": {"organization": "acme", "name": "puller"},
               "schedule": {"interval": "24h"}, "verify": {"level": "None"},
               "targets": [{"secret": {"name": "quay-pull"}}]}})");
  }
  void store(json object) {
    object["metadata"]["resourceVersion"] = std::to_string(++version_);
    stored_ = std::move(object);
    rotations_.put(api::RobotTokenRotation::from_json(stored_).value());
  }
  void see_everything() {
    knowledge_.sight.see("", Sight::Extent::everything, executor_.wall_now());
  }
  Next look() {
    Next next;
    executor_.run([&] {
      queue_.add(key, Urgency::normal);
      queue_.take({});
      next = reconciler_.reconcile(key, {});
      queue_.done(key);
      queue_.remove(key);
    });
    return next;
  }
  [[nodiscard]] json condition(const std::string& type) const {
    for (const json& each : stored_.value("/status/conditions"_json_pointer, json::array())) {
      if (each.at("type") == type) return each;
    }
    return json::object();
  }

  std::optional<FakeResult> answer(const SentRequest& request) {
    if (request.method == http::Method::post) {
      events_.push_back(json::parse(request.body).at("reason"));
      return ok(json::object());
    }
    if (request.method != http::Method::patch) return std::nullopt;
    ++writes_;
    const json patch = json::parse(request.body);
    if (patch.at("metadata").at("resourceVersion") !=
        stored_.at("metadata").at("resourceVersion")) {
      return quay_rotator::testing::refusal(409, "Conflict", "the object has been modified");
    }
    stored_.merge_patch(patch);
    stored_["metadata"]["resourceVersion"] = std::to_string(++version_);
    return ok(stored_);
  }
  static Answer ok(const json& body) {
    Answer answer;
    answer.headers = {{"Content-Type", "application/json"}};
    answer.body = body.dump();
    return answer;
  }

  VirtualExecutor executor_{1};
  quay_rotator::testing::RecordingLog log_;
  quay_rotator::testing::NoCredentials credentials_;
  FakeApiServer server_{executor_};
  kube::Client client_{server_.transport(), credentials_, executor_, log_.log()};
  runtime::Store<api::RobotTokenRotation> rotations_;
  runtime::Store<api::QuayConnection> connections_;
  runtime::Store<api::ManagedSecret> secrets_;
  runtime::Lanes lanes_;
  runtime::WorkQueue queue_{executor_, {seconds(5), minutes(5)}};
  runtime::Metrics metrics_{"test"};
  connection::Findings findings_;
  connection::Newcomers newcomers_{executor_, [](const kube::ObjectKey&) {}};
  NoQuay quay_;
  connection::Sessions sessions_{connections_, client_, quay_, [](auto) { return std::nullopt; },
                                 executor_,    lanes_,  {},    seconds(30)};
  target::AllowedMetadata allowed_;
  Caches caches_{rotations_, connections_, secrets_, findings_, allowed_};
  Knowledge knowledge_{1};
  kube::EventRecorder recorder_{client_, executor_, log_.log(), "test"};
  runtime::StatusWriter<api::RobotTokenRotation> status_{client_, api::rotations, rotations_};
  target::Writer writer_{client_, secrets_, executor_, log_.log()};
  target::Pruner pruner_{client_, secrets_, log_.log()};
  Runner runner_{status_, writer_, executor_, {}};
  Teller teller_{status_, recorder_, knowledge_.memories, executor_, log_.log()};
  Performer performer_{{caches_, knowledge_, queue_, sessions_, newcomers_, runner_, status_,
                        teller_, metrics_, executor_, log_.log()}};
  Reconciler reconciler_{{caches_,
                          knowledge_,
                          performer_,
                          teller_,
                          pruner_,

                          metrics_,
                          executor_,
                          log_.log(),
                          {}}};
  json stored_;
  int version_ = 1;
  int writes_ = 0;
  std::vector<std::string> events_;
};

TEST_F(ReconcilerTest, AKeyWithoutAResourceIsGone) {
  knowledge_.memories.change(key, [](Memory& memory) { memory.note_drift(std::nullopt); });
  EXPECT_EQ(look().when, Next::When::gone);
  EXPECT_TRUE(knowledge_.memories.of(key).empty());
}

TEST_F(ReconcilerTest, BeforeTheCachesAreCompleteItIsPostponed) {
  store(settled());
  EXPECT_EQ(look().when, Next::When::changed);
  EXPECT_THAT(knowledge_.sight.see("", Sight::Extent::everything, {}).postponed,
              ElementsAre(::testing::Pair(key, Urgency::normal)));
  EXPECT_EQ(writes_, 0);
}

TEST_F(ReconcilerTest, ANamespaceThatCannotBeReadIsToldAndThenPostponedInSilence) {
  store(settled());
  knowledge_.sight.cannot_see("", "secrets is forbidden");
  EXPECT_EQ(look().when, Next::When::changed);
  EXPECT_EQ(condition("Ready").value("reason", ""), "NamespaceUnreadable");
  EXPECT_THAT(condition("Ready").value("message", ""), HasSubstr("secrets is forbidden"));
  EXPECT_EQ(look().when, Next::When::changed);
  EXPECT_EQ(writes_, 1);
  EXPECT_EQ(knowledge_.sight.see("", Sight::Extent::everything, {}).postponed.size(), 1U);
}

TEST_F(ReconcilerTest, SuspensionIsToldOnce) {
  see_everything();
  json object = settled();
  object["spec"]["suspend"] = true;
  store(object);
  EXPECT_EQ(look().when, Next::When::changed);
  EXPECT_EQ(condition("Reconciling").value("reason", ""), "Suspended");
  EXPECT_EQ(look().when, Next::When::changed);
  EXPECT_EQ(writes_, 1);
}

TEST_F(ReconcilerTest, ASpecThatCannotBeUsedStallsAndLeavesTheRestAlone) {
  see_everything();
  json object = settled();
  object["spec"]["schedule"]["interval"] = "sometimes";
  store(object);
  EXPECT_EQ(look().when, Next::When::changed);
  EXPECT_EQ(condition("Stalled").value("reason", ""), "InvalidSpec");
  EXPECT_THAT(condition("Ready").value("message", ""), HasSubstr("interval"));
}

TEST_F(ReconcilerTest, AnotherClustersResourceIsLeftAlone) {
  see_everything();
  json object = settled();
  object["metadata"]["annotations"]["quayrotator.dev/cluster"] = "that-cluster";
  store(object);
  EXPECT_EQ(look().when, Next::When::changed);
  EXPECT_EQ(condition("Stalled").value("reason", ""), "OwnedByAnotherCluster");
  EXPECT_THAT(events_, ElementsAre("OwnedByAnotherCluster"));
}

TEST_F(ReconcilerTest, WithoutAConnectionItIsTriedAgainAfterAGrowingPause) {
  see_everything();
  store(settled());
  const Next first = look();
  EXPECT_EQ(first.when, Next::When::at);
  EXPECT_GT(first.time, executor_.now());
  EXPECT_EQ(condition("Ready").value("reason", ""), "ConnectionNotFound");
  EXPECT_EQ(writes_, 1);

  EXPECT_EQ(look().time, first.time) << "something else brought it back too early";
  EXPECT_EQ(writes_, 1);

  executor_.advance(first.time - executor_.now());
  const Next second = look();
  EXPECT_EQ(writes_, 2);
  EXPECT_GT(second.time - executor_.now(), seconds(4));
}

TEST_F(ReconcilerTest, AnEditEndsAPause) {
  see_everything();
  store(settled());
  look();
  json edited = stored_;
  edited["metadata"]["generation"] = 2;
  edited["spec"]["connectionRef"]["name"] = "another";
  store(edited);
  look();
  EXPECT_THAT(condition("Ready").value("message", ""), HasSubstr("another"));
}

TEST_F(ReconcilerTest, ALookThatFailsInsideIsToldOnceForEachPause) {
  see_everything();
  store(settled());
  Next next;
  executor_.run([&] { next = reconciler_.failed(key, "std::bad_alloc"); });
  EXPECT_EQ(next.when, Next::When::at);
  EXPECT_EQ(condition("Ready").value("reason", ""), "InternalError");
  EXPECT_THAT(condition("Ready").value("message", ""), HasSubstr("std::bad_alloc"));
  executor_.run([&] { next = reconciler_.failed(key, "std::bad_alloc"); });
  EXPECT_EQ(next.when, Next::When::failed);
  EXPECT_EQ(writes_, 1);
  EXPECT_EQ(look().when, Next::When::at) << "it waits";
}

TEST_F(ReconcilerTest, WhoeverWasFasterBringsTheKeyBack) {
  see_everything();
  json object = settled();
  object["spec"]["suspend"] = true;
  store(object);
  stored_["metadata"]["resourceVersion"] = "99";
  EXPECT_EQ(look().when, Next::When::changed);
  EXPECT_THAT(events_, IsEmpty());
}

TEST_F(ReconcilerTest, ADeletedResourceRests) {
  see_everything();
  json object = settled();
  object["metadata"]["deletionTimestamp"] = "2026-03-01T11:00:00Z";
  store(object);
  EXPECT_EQ(look().when, Next::When::changed);
  EXPECT_EQ(writes_, 0);
}

}  // namespace
}  // namespace quay_rotator::rotation
