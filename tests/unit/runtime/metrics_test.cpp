#include "runtime/metrics.h"

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quay_rotator::runtime {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

double value_of(const std::string& text, const std::string& series) {
  const auto place = text.find("\n" + series + " ");
  if (place == std::string::npos) return -1;
  return std::strtod(text.c_str() + place + series.size() + 2, nullptr);
}

TEST(MetricsTest, CountsByLabels) {
  Metrics metrics("1.2.3");
  metrics.rotation("success", "interval");
  metrics.rotation("success", "interval");
  metrics.rotation("failure", "requested");
  metrics.quay_request("regenerate", "ok");
  metrics.kube_request("patch", "secrets", 200);
  metrics.leader(true);
  metrics.queue_depth(7);
  metrics.internal_error();
  const std::string text = metrics.text();
  const auto series = [&](const std::string& name) { return value_of(text, name); };
  EXPECT_EQ(series(R"(quay_rotator_rotations_total{reason="interval",result="success"})"), 2);
  EXPECT_EQ(series(R"(quay_rotator_rotations_total{reason="requested",result="failure"})"), 1);
  EXPECT_EQ(series(R"(quay_rotator_quay_requests_total{call="regenerate",outcome="ok"})"), 1);
  EXPECT_EQ(
      series(R"(quay_rotator_kube_requests_total{code="200",resource="secrets",verb="patch"})"), 1);
  EXPECT_EQ(series("quay_rotator_leader"), 1);
  EXPECT_EQ(series("quay_rotator_internal_errors_total"), 1);
  EXPECT_EQ(series("quay_rotator_workqueue_depth"), 7);
  EXPECT_EQ(series(R"(quay_rotator_build_info{version="1.2.3"})"), 1);
}

TEST(MetricsTest, SortsDurationsIntoBucketsOfSeconds) {
  Metrics metrics("1");
  metrics.outage(4ms);
  metrics.outage(90s);
  metrics.queue_wait(2s);
  metrics.queue_work(20ms);
  const std::string text = metrics.text();
  EXPECT_EQ(value_of(text, R"(quay_rotator_outage_seconds_bucket{le="0.005"})"), 1);
  EXPECT_EQ(value_of(text, R"(quay_rotator_outage_seconds_bucket{le="60"})"), 1);
  EXPECT_EQ(value_of(text, R"(quay_rotator_outage_seconds_bucket{le="300"})"), 2);
  EXPECT_NEAR(value_of(text, "quay_rotator_outage_seconds_sum"), 90.004, 1e-9);
  EXPECT_EQ(value_of(text, R"(quay_rotator_workqueue_wait_seconds_bucket{le="5"})"), 1);
  EXPECT_EQ(value_of(text, R"(quay_rotator_workqueue_work_seconds_bucket{le="0.05"})"), 1);
}

TEST(MetricsTest, SumsUpLanesByWhetherTheyAnswer) {
  Metrics metrics("1");
  EXPECT_THAT(metrics.text(), Not(HasSubstr("quay_rotator_lane")));
  metrics.set_lane_source([] {
    return std::vector<Metrics::LaneSample>{{"answering", 7, 1, 20ms}, {"failing", 2, 30, 90s}};
  });
  metrics.unreadable_namespaces(3);
  const std::string text = metrics.text();
  EXPECT_EQ(value_of(text, R"(quay_rotator_lanes{health="answering"})"), 7);
  EXPECT_EQ(value_of(text, R"(quay_rotator_lane_waiting{health="failing"})"), 30);
  EXPECT_EQ(value_of(text, R"(quay_rotator_lane_oldest_wait_seconds{health="failing"})"), 90);
  EXPECT_EQ(value_of(text, "quay_rotator_unreadable_namespaces"), 3);
}

TEST(MetricsTest, SamplesResourcesWhenScraped) {
  Metrics metrics("1");
  EXPECT_THAT(metrics.text(), Not(HasSubstr("quay_rotator_token_age_seconds")));
  std::vector<Metrics::RotationSample> samples{
      {{"team-a", "puller"}, 1000, 5000, true, true, false},
      {{"team-a", "new"}, 0, 0, false, false, true}};
  metrics.set_rotation_source([&] { return samples; }, [] { return 1600.0; });
  const std::string puller = R"({namespace="team-a",name="puller"})";
  const std::string fresh = R"({namespace="team-a",name="new"})";
  const std::string text = metrics.text();
  EXPECT_EQ(value_of(text, "quay_rotator_token_age_seconds" + puller), 600);
  EXPECT_EQ(value_of(text, "quay_rotator_next_rotation_timestamp_seconds" + puller), 5000);
  EXPECT_EQ(value_of(text, "quay_rotator_rotation_ready" + puller), 1);
  EXPECT_EQ(value_of(text, "quay_rotator_rotation_ready" + fresh), 0);
  EXPECT_EQ(value_of(text, "quay_rotator_unreadable_resources"), 1);
  EXPECT_THAT(text, Not(HasSubstr("quay_rotator_token_age_seconds" + fresh)));
  EXPECT_THAT(text, Not(HasSubstr("quay_rotator_next_rotation_timestamp_seconds" + fresh)));
  samples[1].token_known_since = 1700;  // by a clock that was ahead
  EXPECT_EQ(value_of(metrics.text(), "quay_rotator_token_age_seconds" + fresh), 0);
  samples.clear();
  EXPECT_THAT(metrics.text(), Not(HasSubstr("puller"))) << "what is gone leaves nothing behind";
}

TEST(MetricsTest, TellsOfTheProcess) {
  const Metrics metrics("1");
  const std::string text = metrics.text();
  EXPECT_GT(value_of(text, "process_resident_memory_bytes"), 1e6);
  EXPECT_GE(value_of(text, "process_virtual_memory_bytes"),
            value_of(text, "process_resident_memory_bytes"));
  EXPECT_GE(value_of(text, "process_cpu_seconds_total"), 0);
  EXPECT_GE(value_of(text, "process_open_fds"), 3);
  EXPECT_GT(value_of(text, "process_max_fds"), value_of(text, "process_open_fds"));
  EXPECT_GE(value_of(text, "process_threads"), 1);
  // After 2020, and not in the future.
  EXPECT_GT(value_of(text, "process_start_time_seconds"), 1577836800);
  EXPECT_LE(
      value_of(text, "process_start_time_seconds"),
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count() +
          1);
}

TEST(MetricsTest, CountsLogLinesThatNobodyRead) {
  Metrics metrics("1");
  EXPECT_THAT(metrics.text(), Not(HasSubstr("log_lines_dropped")));
  metrics.set_log_source([] { return 7U; });
  EXPECT_EQ(value_of(metrics.text(), "quay_rotator_log_lines_dropped_total"), 7);
}

TEST(MetricsTest, ThreadsMayCountWhileOthersScrape) {
  Metrics metrics("1");
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&metrics, thread] {
        for (int round = 0; round < 100; ++round) {
          metrics.kube_request("get", "secrets", 200 + round % 3);
          metrics.outage(1ms);
          if (thread == 0 && round % 20 == 0) static_cast<void>(metrics.text());
        }
      });
    }
  }
  EXPECT_EQ(value_of(metrics.text(), "quay_rotator_outage_seconds_count"), 400);
}

}  // namespace
}  // namespace quay_rotator::runtime
