#include "kube/client.h"

#include <deque>
#include <memory>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "api/group.h"
#include "support/fake_transport.h"
#include "support/recording_log.h"
#include "support/virtual_executor.h"

namespace quay_rotator::kube {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::Answer;
using ::testing::ElementsAre;
using testing::FakeResult;
using ::testing::HasSubstr;
using testing::SentRequest;
using ::testing::SizeIs;

class CountingCredentials final : public Credentials {
 public:
  base::Expected<base::SecretString> bearer_token() override {
    if (!failure.empty()) return tl::unexpected(base::Error{failure});
    return base::SecretString("token-" + std::to_string(generation));
  }
  void invalidate() override { ++generation; }

  int generation = 1;
  std::string failure;
};

std::string status_body(int code, const std::string& reason, const std::string& message,
                        json details = json::object()) {
  return json{{"kind", "Status"},   {"apiVersion", "v1"}, {"status", "Failure"},
              {"message", message}, {"reason", reason},   {"details", std::move(details)},
              {"code", code}}
      .dump();
}

const auto no_item = [](const json&) {};

class ClientTest : public ::testing::Test {
 protected:
  // Answers in this order; the last one again and again.
  void answer(std::vector<FakeResult> answers) {
    answers_.assign(std::make_move_iterator(answers.begin()),
                    std::make_move_iterator(answers.end()));
  }
  static FakeResult fail(http::Error::Kind kind, bool maybe_sent) {
    return tl::unexpected(http::Error{kind, "no answer from https://api", maybe_sent});
  }
  Error error_of_get() {
    auto result = client_.get(secrets, key_, {});
    return result ? Error{} : result.error();
  }
  [[nodiscard]] std::string last_line() const { return transport_.requests().back().line(); }

  testing::VirtualExecutor executor_{1};
  testing::RecordingLog log_;
  CountingCredentials credentials_;
  std::deque<FakeResult> answers_{Answer{.body = R"({"kind": "X", "metadata": {}})"}};
  testing::FakeTransport transport_{executor_, [this](const SentRequest&) {
                                      FakeResult next = answers_.front();
                                      if (answers_.size() > 1) answers_.pop_front();
                                      return next;
                                    }};
  std::vector<std::string> observed_;
  Client client_{transport_,
                 credentials_,
                 executor_,
                 log_.log(),
                 {.deadline = 15s,
                  .observer = [this](std::string_view verb, std::string_view resource, int status) {
                    observed_.push_back(std::string(verb) + ' ' + std::string(resource) + ' ' +
                                        std::to_string(status));
                  }}};
  const ObjectKey key_{"team-a", "quay-pull"};
};

TEST_F(ClientTest, GetsByGroupNamespaceAndName) {
  EXPECT_TRUE(client_.get(secrets, key_, {}));
  EXPECT_EQ(last_line(), "GET /api/v1/namespaces/team-a/secrets/quay-pull");
  EXPECT_TRUE(client_.get(api::rotations, key_, {}));
  EXPECT_EQ(last_line(),
            "GET /apis/quayrotator.dev/v1alpha1/namespaces/team-a/robottokenrotations/quay-pull");
  EXPECT_TRUE(client_.get(namespaces, {"", "team-a"}, {}));
  EXPECT_EQ(last_line(), "GET /api/v1/namespaces/team-a");
  const SentRequest sent = transport_.requests().back();
  EXPECT_EQ(sent.authorization, "Bearer token-1");
  EXPECT_EQ(sent.header("Accept"), "application/json");
  EXPECT_EQ(sent.deadline, 15s);
  EXPECT_EQ(observed_.back(), "get namespaces 200");
}

TEST_F(ClientTest, NamesCannotChangeThePath) {
  EXPECT_TRUE(client_.get(secrets, {"a/../b", "c?d#e"}, {}));
  EXPECT_EQ(last_line(), "GET /api/v1/namespaces/a%2F..%2Fb/secrets/c%3Fd%23e");
}

TEST_F(ClientTest, ListsPages) {
  answer({Answer{.body = R"({"metadata": {"resourceVersion": "1"}, "items": []})"}});
  ListOptions options;
  options.label_selector = "app in (a,b)";
  options.resource_version = "12";
  EXPECT_TRUE(client_.list(secrets, "", options, {}, no_item));
  EXPECT_EQ(
      last_line(),
      "GET /api/v1/secrets?labelSelector=app%20in%20%28a%2Cb%29&limit=500&resourceVersion=12");
  options = {};
  options.limit = 0;
  options.field_selector = "type=x";
  options.continue_token = "t+/=";
  options.resource_version = "12";
  EXPECT_TRUE(client_.list(secrets, "team-a", options, {}, no_item));
  EXPECT_EQ(last_line(),
            "GET /api/v1/namespaces/team-a/secrets?fieldSelector=type%3Dx&continue=t%2B%2F%3D");
  EXPECT_EQ(observed_.back(), "list secrets 200");
}

TEST_F(ClientTest, DropsManagedFields) {
  answer({Answer{.body = R"({"metadata": {"name": "a", "managedFields": [1]}})"}});
  EXPECT_EQ(client_.get(secrets, key_, {}).value().dump(), R"({"metadata":{"name":"a"}})");
}

TEST_F(ClientTest, CreatesAndReplaces) {
  const json object{{"metadata", {{"name", "quay-pull"}}}};
  EXPECT_TRUE(client_.create(secrets, "team-a", object, {}));
  EXPECT_EQ(last_line(), "POST /api/v1/namespaces/team-a/secrets");
  EXPECT_EQ(transport_.requests().back().content_type, "application/json");
  EXPECT_EQ(transport_.requests().back().body, object.dump());
  EXPECT_TRUE(client_.replace(leases, {"ns", "lock"}, object, {}));
  EXPECT_EQ(last_line(), "PUT /apis/coordination.k8s.io/v1/namespaces/ns/leases/lock");
  EXPECT_EQ(transport_.requests().back().body, object.dump());
  EXPECT_THAT(observed_, ElementsAre("create secrets 200", "update leases 200"));
}

TEST_F(ClientTest, AppliesOnTheServer) {
  const auto manifest = base::SecretString(std::string(R"({"data":{}})"));
  EXPECT_TRUE(client_.apply(secrets, key_, manifest, {.field_manager = "quay-rotator"}, {}));
  EXPECT_EQ(last_line(),
            "PATCH /api/v1/namespaces/team-a/secrets/quay-pull?fieldManager=quay-rotator");
  EXPECT_EQ(transport_.requests().back().content_type, "application/apply-patch+yaml");
  EXPECT_EQ(transport_.requests().back().body, R"({"data":{}})");
  EXPECT_TRUE(client_.apply(secrets, key_, manifest,
                            {.field_manager = "m", .force = true, .dry_run = true}, {}));
  EXPECT_THAT(last_line(), HasSubstr("?fieldManager=m&force=true&dryRun=All"));
}

TEST_F(ClientTest, AnApplyIsSentBeforeWhatWaitsItsTurn) {
  answer({Answer{.body = R"({"kind": "X", "metadata": {}})", .delay = 100ms}});
  executor_.run([&] {
    std::vector<std::unique_ptr<base::Thread>> burst;
    for (int each = 0; each < 6; ++each) {
      burst.push_back(executor_.spawn("burst", [&](const std::stop_token& stop) {
        EXPECT_TRUE(client_.merge_patch(secrets, key_, "", json::object(), "m", stop));
      }));
    }
    executor_.sleep_for(50ms, {});
    EXPECT_THAT(transport_.requests(), SizeIs(4));
    const auto manifest = base::SecretString::copy_of("{}");
    EXPECT_TRUE(client_.apply(secrets, key_, manifest, {}, {}));
    for (const auto& thread : burst) thread->join();
  });
  EXPECT_THAT(transport_.requests(), SizeIs(7));
  EXPECT_EQ(transport_.requests()[4].content_type, "application/apply-patch+yaml");
}

TEST_F(ClientTest, PatchesASubresource) {
  EXPECT_TRUE(
      client_.merge_patch(api::rotations, key_, "status", {{"status", {{"a", 1}}}}, "m", {}));
  EXPECT_EQ(last_line(),
            "PATCH /apis/quayrotator.dev/v1alpha1/namespaces/team-a/robottokenrotations/quay-pull/"
            "status?fieldManager=m");
  EXPECT_EQ(transport_.requests().back().content_type, "application/merge-patch+json");
  EXPECT_EQ(transport_.requests().back().body, R"({"status":{"a":1}})");
  EXPECT_EQ(observed_.back(), "patch robottokenrotations/status 200");
}

TEST_F(ClientTest, RemovesWithPreconditions) {
  EXPECT_TRUE(client_.remove(secrets, key_, {.uid = "u", .resource_version = "7"}, {}));
  EXPECT_EQ(last_line(), "DELETE /api/v1/namespaces/team-a/secrets/quay-pull");
  EXPECT_EQ(json::parse(transport_.requests().back().body),
            json::parse(R"({"apiVersion": "v1", "kind": "DeleteOptions",
                            "preconditions": {"uid": "u", "resourceVersion": "7"}})"));
  answer({Answer{.status = 404,
                 .body = status_body(404, "NotFound", "gone", {{"name", "quay-pull"}})}});
  EXPECT_TRUE(client_.remove(secrets, key_, {}, {}));
  EXPECT_FALSE(json::parse(transport_.requests().back().body).contains("preconditions"));
  answer({Answer{.status = 409, .body = status_body(409, "Conflict", "the UID differs")}});
  EXPECT_EQ(client_.remove(secrets, key_, {.uid = "u", .resource_version = ""}, {}).error().kind,
            Error::Kind::conflict);
}

TEST_F(ClientTest, WatchesLineByLine) {
  answer({Answer{.source = testing::pieces({"{\"a\":1}\n{\"b\"", ":2}\n", "{\"c\":3}\n"})}});
  WatchOptions options;
  options.label_selector = "l=1";
  options.resource_version = "42";
  options.timeout = 300s;
  std::vector<std::string> lines;
  const auto take = [&](std::string_view line) {
    lines.emplace_back(line);
    return lines.size() < 3;
  };
  EXPECT_TRUE(client_.watch(secrets, "team-a", options, {}, take));
  EXPECT_THAT(lines, ElementsAre(R"({"a":1})", R"({"b":2})", R"({"c":3})"));
  EXPECT_EQ(last_line(),
            "GET /api/v1/namespaces/team-a/secrets?watch=true&allowWatchBookmarks=true&"
            "labelSelector=l%3D1&resourceVersion=42&timeoutSeconds=300");
  EXPECT_EQ(observed_.back(), "watch secrets 200");
}

TEST_F(ClientTest, WatchEndsEarlyWhenTheReaderHasEnough) {
  int asked = 0;
  answer({Answer{.source = [&](const std::stop_token&)
                     -> tl::expected<std::optional<std::string>, http::Error> {
    ++asked;
    return "x\n";
  }}});
  EXPECT_TRUE(client_.watch(secrets, "", {}, {}, [](std::string_view) { return false; }));
  EXPECT_EQ(asked, 1);
}

TEST_F(ClientTest, WatchReportsWhatRefusedItAndWhatBrokeIt) {
  const auto ignore = [](std::string_view) { return true; };
  answer({Answer{.status = 410, .body = status_body(410, "Expired", "too old resource version")}});
  EXPECT_EQ(client_.watch(secrets, "", {}, {}, ignore).error().kind, Error::Kind::expired);
  answer({Answer{.status = 429, .headers = {{"Retry-After", "2"}}}});
  const Error busy = client_.watch(secrets, "", {}, {}, ignore).error();
  EXPECT_EQ(busy.kind, Error::Kind::too_many_requests);
  EXPECT_EQ(busy.retry_after, 2s);
  EXPECT_EQ(transport_.requests().size(), 2U);  // the reflector repeats, not the client
  answer({Answer{.source = [](const std::stop_token&)
                     -> tl::expected<std::optional<std::string>, http::Error> {
    return tl::unexpected(http::Error{http::Error::Kind::connection_lost, "reset", true});
  }}});
  const Error lost = client_.watch(secrets, "", {}, {}, ignore).error();
  EXPECT_EQ(lost.kind, Error::Kind::unreachable);
  EXPECT_EQ(lost.message, "watch secrets: reset");
  answer({Answer{.body = std::string(9U << 20U, 'x')}});
  const Error endless = client_.watch(secrets, "", {}, {}, ignore).error();
  EXPECT_EQ(endless.kind, Error::Kind::malformed);
  EXPECT_EQ(endless.message, "watch secrets: an event is larger than 8 MiB");
}

TEST_F(ClientTest, SaysWhatTheServerSaid) {
  struct Case {
    int status;
    std::string body;
    Error::Kind kind;
    std::string message;
  };
  const json named{{"name", "quay-pull"}};
  for (const Case& c : std::initializer_list<Case>{
           {401, status_body(401, "Unauthorized", "Unauthorized"), Error::Kind::unauthorized,
            "the API server refused our credentials (401 Unauthorized)"},
           {403,
            status_body(403, "Forbidden",
                        "secrets \"quay-pull\" is forbidden: User \"u\" cannot "
                        "get resource \"secrets\""),
            Error::Kind::forbidden, "forbidden: User \"u\" cannot get resource \"secrets\""},
           {404, status_body(404, "NotFound", "secrets \"quay-pull\" not found", named),
            Error::Kind::not_found, "secrets \"quay-pull\" not found"},
           {404, "404 page not found\n", Error::Kind::not_found,
            "the API server does not know secrets of v1"},
           {409, status_body(409, "Conflict", "the object has been modified", named),
            Error::Kind::conflict, "the object has been modified"},
           {409, status_body(409, "AlreadyExists", "secrets \"quay-pull\" already exists", named),
            Error::Kind::already_exists, "secrets \"quay-pull\" already exists"},
           {410, status_body(410, "Expired", "too old"), Error::Kind::expired, "too old"},
           {422,
            status_body(422, "Invalid",
                        "Secret \"quay-pull\" is invalid: type: field is immutable"),
            Error::Kind::invalid, "invalid: type: field is immutable"},
           {400, status_body(400, "BadRequest", "bad: x is invalid: y"), Error::Kind::invalid,
            "bad: x is invalid: y"},
           {413, "", Error::Kind::invalid, "HTTP status 413, not from a Kubernetes API server"},
           {500, status_body(500, "InternalError", "etcdserver: timed out"), Error::Kind::server,
            "etcdserver: timed out"},
           {502, "<html>s3cr3t</html>", Error::Kind::server,
            "HTTP status 502, not from a Kubernetes API server"},
           {302, "", Error::Kind::malformed, "HTTP status 302, not from a Kubernetes API server"},
           {503, R"({"kind": "Status"})", Error::Kind::server, "HTTP status 503 without a message"},
       }) {
    answer({Answer{.status = c.status, .body = c.body}});
    const Error error = error_of_get();
    EXPECT_EQ(error.kind, c.kind) << c.status;
    EXPECT_EQ(error.status, c.status);
    EXPECT_EQ(error.message, "get secrets team-a/quay-pull: " + c.message);
  }
}

TEST_F(ClientTest, ListsItemByItem) {
  answer({Answer{.source = testing::pieces(
                     {R"({"items":[{"a":1,"metadata":{"managedFields":[{}])", R"(}},{"a")",
                      R"(:2}])", R"(,"metadata":{"resourceVersion":"7","continue":"more"}})"})}});
  std::string items;
  const auto page = client_.list(secrets, "team-a", {}, {},
                                 [&](const nlohmann::json& item) { items += item.dump(); });
  ASSERT_TRUE(page);
  EXPECT_EQ(page->resource_version, "7");
  EXPECT_EQ(page->continue_token, "more");
  EXPECT_EQ(items, R"({"a":1,"metadata":{}}{"a":2})");
  EXPECT_EQ(last_line(), "GET /api/v1/namespaces/team-a/secrets?limit=500");
}

TEST_F(ClientTest, AListThatIsNoneIsMalformed) {
  const std::string meta = R"("metadata":{"resourceVersion":"7"}})";
  for (const std::string& body :
       {std::string("[]"), std::string("{}"), "{\"items\":{}," + meta, "{\"items\":[1]," + meta,
        "{\"items\":[{]}]," + meta, std::string("{\"items\":[{}]")}) {
    SCOPED_TRACE(body);
    answer({Answer{.body = body}});
    const auto page = client_.list(secrets, "", {}, {}, no_item);
    ASSERT_FALSE(page);
    EXPECT_EQ(page.error().kind, Error::Kind::malformed);
  }
  answer({Answer{.body = "{\"items\":null," + meta}});
  EXPECT_TRUE(client_.list(secrets, "", {}, {}, no_item));
}

TEST_F(ClientTest, SaysThatTheCrdsAreMissing) {
  answer({Answer{.status = 404, .body = "404 page not found\n"}});
  EXPECT_EQ(client_.list(api::rotations, "", {}, {}, no_item).error().message,
            "list robottokenrotations: the API server does not know robottokenrotations of "
            "quayrotator.dev/v1alpha1; install the CRDs of quay-rotator: kubectl apply -f crds/");
}

TEST_F(ClientTest, KeepsReasonAndCauses) {
  answer({Answer{.status = 409,
                 .body = status_body(409, "Conflict", "Apply failed with 1 conflict",
                                     json::parse(R"({"causes": [{"reason": "FieldManagerConflict",
                                       "message": "conflict with \"kubectl\"",
                                       "field": ".data.x"}, 7]})"))}});
  const Error error = error_of_get();
  EXPECT_EQ(error.reason, "Conflict");
  ASSERT_EQ(error.causes.size(), 2U);
  EXPECT_EQ(error.causes[0].reason, "FieldManagerConflict");
  EXPECT_EQ(error.causes[0].message, "conflict with \"kubectl\"");
  EXPECT_EQ(error.causes[0].field, ".data.x");
}

TEST_F(ClientTest, KeepsLittleOfMuch) {
  json causes = json::array();
  for (int i = 0; i < 20; ++i) causes.push_back({{"message", std::string(1500, 'm')}});
  std::string long_message = "a";  // so that the limit is within an "é"
  for (int i = 0; i < 5'000; ++i) long_message += "é";
  answer({Answer{.status = 400,
                 .body = status_body(400, std::string(5000, 'r'), long_message,
                                     {{"causes", std::move(causes)}})}});
  const Error error = error_of_get();
  EXPECT_THAT(error.message, ::testing::EndsWith("éé…"));
  EXPECT_LT(error.message.size(), 1200U);
  EXPECT_LT(error.reason.size(), 1200U);
  ASSERT_EQ(error.causes.size(), 16U);
  EXPECT_LT(error.causes[0].message.size(), 1200U);
}

// A webhook may answer with any amount; the transport gives the beginning.
TEST_F(ClientTest, SaysThatAMessageIsTooLong) {
  answer(
      {Answer{.status = 403, .body = status_body(403, "Forbidden", std::string(5'000'000, 'm'))}});
  const Error error = error_of_get();
  EXPECT_EQ(error.kind, Error::Kind::forbidden);
  EXPECT_EQ(error.message,
            "get secrets team-a/quay-pull: HTTP status 403 with a message of more than 64 KiB");
}

TEST_F(ClientTest, WaitsNoLongerThanHalfAMinuteBecauseOfANumber) {
  for (const char* seconds : {"31", "3600", "4294967295"}) {
    answer({Answer{.status = 503, .headers = {{"Retry-After", seconds}}}});
    EXPECT_EQ(error_of_get().retry_after, 30s);
  }
}

TEST_F(ClientTest, SaysHowAWriteFailed) {
  using Kind = http::Error::Kind;
  struct Case {
    FakeResult answer;
    Error::Kind kind;
  };
  for (const Case& c : std::initializer_list<Case>{
           {fail(Kind::timeout, true), Error::Kind::unreachable},
           {fail(Kind::connection_lost, true), Error::Kind::unreachable},
           {fail(Kind::unreachable, false), Error::Kind::unreachable},
           {fail(Kind::name_not_found, false), Error::Kind::unreachable},
           {fail(Kind::tls, false), Error::Kind::unreachable},
           {fail(Kind::too_large, true), Error::Kind::malformed},
           {fail(Kind::malformed, true), Error::Kind::malformed},
           {fail(Kind::cancelled, true), Error::Kind::cancelled},
           {fail(Kind::invalid_request, false), Error::Kind::credentials},
           {Answer{.status = 200, .body = "<html>"}, Error::Kind::malformed},
           {Answer{.status = 200, .body = "[]"}, Error::Kind::malformed},
           {Answer{.status = 500}, Error::Kind::server},
           {Answer{.status = 403}, Error::Kind::forbidden},
       }) {
    answer({c.answer});
    const auto result = client_.merge_patch(secrets, key_, "", json::object(), "m", {});
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().kind, c.kind);
  }
}

TEST_F(ClientTest, AsksOnceMoreWithFreshCredentialsAfter401) {
  answer({Answer{.status = 401}, Answer{.body = "{}"}});
  EXPECT_TRUE(client_.create(secrets, "team-a", json::object(), {}));
  ASSERT_EQ(transport_.requests().size(), 2U);
  EXPECT_EQ(transport_.requests()[0].authorization, "Bearer token-1");
  EXPECT_EQ(transport_.requests()[1].authorization, "Bearer token-2");
  EXPECT_EQ(transport_.requests()[1].body, "{}");
  answer({Answer{.status = 401}});
  EXPECT_EQ(error_of_get().kind, Error::Kind::unauthorized);
  EXPECT_EQ(transport_.requests().size(), 4U);
  EXPECT_THAT(observed_, ElementsAre("create secrets 401", "create secrets 200", "get secrets 401",
                                     "get secrets 401"));
}

TEST_F(ClientTest, SendsNothingWithoutCredentials) {
  credentials_.failure = "cannot read /token: No such file or directory";
  const Error error = error_of_get();
  EXPECT_EQ(error.kind, Error::Kind::credentials);
  EXPECT_EQ(error.message,
            "get secrets team-a/quay-pull: cannot read /token: No such file or directory");
  EXPECT_TRUE(transport_.requests().empty());
}

TEST_F(ClientTest, RepeatsWhatIsIdempotentWhenTheServerSaysWhen) {
  const auto start = executor_.now();
  answer({Answer{.status = 429, .headers = {{"retry-after", "4"}}},
          Answer{.status = 503, .headers = {{"Retry-After", "0"}}}, Answer{.body = "{}"}});
  EXPECT_TRUE(client_.get(secrets, key_, {}));
  EXPECT_EQ(transport_.requests().size(), 3U);
  const auto waited = executor_.now() - start;
  EXPECT_GE(waited, 5s);  // 4 s, and 1 s where the server said 0
  EXPECT_LE(waited, 6250ms);
  EXPECT_EQ(transport_.requests()[2].deadline, 15s - waited);
}

TEST_F(ClientTest, RepeatsAWriteOnlyWhenThatIsSafe) {
  const Answer busy{.status = 429, .headers = {{"Retry-After", "1"}}};
  const Answer ok{.body = "{}"};
  const auto requests_of = [&](auto call) {
    answer({busy, ok});
    const std::size_t before = transport_.requests().size();
    call();
    return transport_.requests().size() - before;
  };
  const json versioned{{"metadata", {{"resourceVersion", "1"}}}};
  EXPECT_EQ(requests_of([&] {
              EXPECT_TRUE(client_.apply(secrets, key_, base::SecretString(std::string("{}")),
                                        {.field_manager = "m"}, {}));
            }),
            2U);
  EXPECT_EQ(
      requests_of([&] { EXPECT_TRUE(client_.merge_patch(secrets, key_, "", versioned, "m", {})); }),
      2U);
  EXPECT_EQ(requests_of([&] {
              EXPECT_FALSE(client_.merge_patch(secrets, key_, "", json::object(), "m", {}));
            }),
            1U);
  EXPECT_EQ(requests_of([&] { EXPECT_FALSE(client_.create(secrets, "a", versioned, {})); }), 1U);
  EXPECT_EQ(requests_of([&] { EXPECT_FALSE(client_.replace(secrets, key_, versioned, {})); }), 1U);
  EXPECT_EQ(requests_of([&] { EXPECT_FALSE(client_.remove(secrets, key_, {}, {})); }), 1U);
}

TEST_F(ClientTest, DoesNotRepeatWithoutRetryAfterOrBeyondTheDeadline) {
  answer({Answer{.status = 503}});
  EXPECT_EQ(error_of_get().kind, Error::Kind::server);
  EXPECT_EQ(transport_.requests().size(), 1U);
  answer({Answer{.status = 429, .headers = {{"Retry-After", "15"}}}});
  const auto start = executor_.now();
  const Error error = error_of_get();
  EXPECT_EQ(error.kind, Error::Kind::too_many_requests);
  EXPECT_EQ(error.retry_after, 15s);
  EXPECT_EQ(transport_.requests().size(), 2U);
  EXPECT_EQ(executor_.now(), start);
  answer(
      {Answer{.status = 429,
              .body = status_body(429, "TooManyRequests", "wait", {{"retryAfterSeconds", 20}})}});
  EXPECT_EQ(error_of_get().retry_after, 20s);
}

TEST_F(ClientTest, GivesUpRepeatingAtTheDeadline) {
  answer({Answer{.status = 429, .headers = {{"Retry-After", "1"}}}});
  const auto start = executor_.now();
  EXPECT_EQ(error_of_get().kind, Error::Kind::too_many_requests);
  EXPECT_LE(executor_.now() - start, 15s);
  EXPECT_GE(transport_.requests().size(), 12U);
  EXPECT_LE(transport_.requests().size(), 15U);
}

TEST_F(ClientTest, StopsWaitingWhenAskedTo) {
  answer({Answer{.status = 429, .headers = {{"Retry-After", "10"}}}});
  std::optional<Error::Kind> kind;
  executor_.run([&] {
    const auto thread = executor_.spawn("get", [&](const std::stop_token& stop) {
      kind = client_.get(secrets, key_, stop).error().kind;
    });
    executor_.settle();
  });
  EXPECT_EQ(kind, Error::Kind::cancelled);
  EXPECT_EQ(transport_.requests().size(), 1U);
}

// What is in somebody else's Secret nobody here reads; what is in a spec somebody means.
TEST_F(ClientTest, ListsAndWatchesSecretsShortened) {
  const json object{{"metadata", {{"name", "a"}, {"resourceVersion", "1"}}},
                    {"data", {{"junk", std::string(1'000'000, 'j')}}},
                    {"type", "Opaque"}};
  const json list{{"metadata", {{"resourceVersion", "1"}}}, {"items", {object}}};
  const json event{{"type", "ADDED"}, {"object", object}};
  const auto longest = [&](const Resource& resource) {
    std::size_t listed = 0;
    std::size_t watched = 0;
    answer({Answer{.body = list.dump()}});
    EXPECT_TRUE(client_.list(resource, "", {}, {}, [&](const json& item) {
      EXPECT_EQ(item.at("metadata"), object.at("metadata"));
      EXPECT_EQ(item.at("type"), "Opaque");
      listed = item.dump().size();
    }));
    answer({Answer{.body = event.dump() + "\n"}});
    EXPECT_TRUE(client_.watch(resource, "", {}, {}, [&](std::string_view line) {
      watched = line.size();
      return true;
    }));
    return std::pair(listed, watched);
  };
  EXPECT_LT(longest(secrets).first, 70'000U);
  EXPECT_LT(longest(secrets).second, 70'000U);
  EXPECT_GT(longest(api::rotations).first, 1'000'000U);
  EXPECT_GT(longest(api::rotations).second, 1'000'000U);
}

TEST_F(ClientTest, LogsNoWarningThatQuotesASecret) {
  const std::string token = "A1B2C3D4E5F6G7H8I9J0K1L2M3N4O5P6";
  answer({Answer{.body = "{}",
                 .headers = {{"Warning", "299 - \"seen " + token.substr(5, 20) + "\""},
                             {"Warning", "299 - \"line\x1b[1m\""}}}});
  const auto manifest = base::SecretString::copy_of("{}");
  EXPECT_TRUE(
      client_.apply(secrets, key_, manifest, {.field_manager = "f", .secrets = {token}}, {}));
  EXPECT_THAT(log_.lines(), ElementsAre("warning warning from the API server warning=line[1m"));
}

TEST_F(ClientTest, LogsEachWarningOfTheServerOnce) {
  answer({Answer{.body = "{}",
                 .headers = {{"Warning", R"(299 - "unknown field \"spec.x\"")"},
                             {"warning", R"(299 - "b" "Sat, 01 Mar 2026 12:00:00 GMT", 299 - "c")"},
                             {"Warnings", R"(299 - "not this")"}}}});
  EXPECT_TRUE(client_.get(secrets, key_, {}));
  EXPECT_TRUE(client_.get(secrets, key_, {}));
  EXPECT_THAT(log_.lines(),
              ElementsAre("warning warning from the API server warning=unknown field \"spec.x\"",
                          "warning warning from the API server warning=b",
                          "warning warning from the API server warning=c"));
}

TEST(Explain, NamesTheRuleThatIsMissing) {
  const auto explained = [](std::string message) {
    Error error;
    error.kind = Error::Kind::forbidden;
    error.message = std::move(message);
    return explain(error);
  };
  const std::string user = R"(forbidden: User "system:serviceaccount:a:b" cannot )";
  const std::string needs = "; its Role or ClusterRole needs the verb ";
  std::string message = "patch secrets team-a/quay-pull: " + user +
                        R"(patch resource "secrets" in API group "" in the namespace "team-a")";
  EXPECT_EQ(explained(message), message + needs + "patch on secrets");
  message = "x: " + user +
            R"(list resource "robottokenrotations/status" in API group "quayrotator.dev" at the )"
            "cluster scope";
  EXPECT_EQ(explained(message),
            message + needs + "list on robottokenrotations/status of quayrotator.dev");
  message = "create secrets a/b: forbidden: exceeded quota: q, requested: secrets=1";
  EXPECT_EQ(explained(message), message);
  Error other;
  other.kind = Error::Kind::server;
  other.message = "a cannot get path \"x\"";
  EXPECT_EQ(explain(other), other.message);
}

}  // namespace
}  // namespace quay_rotator::kube
