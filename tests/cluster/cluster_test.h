// What most cluster tests start from: a namespace with a QuayConnection and a robot of its own.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cluster/cluster.h"
#include "cluster/operator_process.h"

namespace quay_rotator::cluster {

struct RotationOptions {
  std::string name = "puller";
  std::string interval = "1h";
  std::vector<std::string> secrets{"quay-pull"};
  std::string robot{};         // short name; empty: the test's own
  json more = json::object();  // merged into spec
};

class ClusterTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  [[nodiscard]] const std::string& ns() const { return namespace_; }
  [[nodiscard]] const std::string& robot() const { return robot_; }  // short name, in acme
  [[nodiscard]] kube::ObjectKey key(const std::string& name) const { return {namespace_, name}; }

  // Applies YAML or JSON in the test's namespace; fails the test when it is refused.
  void apply(const json& object);
  void apply_connection(const json& more = json::object());
  void apply_rotation(const RotationOptions& options = {});
  void annotate_rotate_now(const std::string& value, const std::string& name = "puller");

  // Waits until the beginning of its life is over: the last request of that.
  std::optional<json> wait_until_initialized(const std::string& name = "puller");
  // Waits until that request is served and nothing is under way.
  std::optional<json> wait_until_served(const std::string& request,
                                        const std::string& name = "puller");
  std::optional<json> wait_until_ready(const std::string& name = "puller");
  // Waits for Ready=False with that reason; the resource.
  std::optional<json> wait_until_failing(const std::string& reason,
                                         const std::string& name = "puller");
  // Waits until `count` regenerations have succeeded and are settled.
  std::optional<json> wait_until_rotated(int count, const std::string& name = "puller");
  json rotation(const std::string& name = "puller");
  static json condition(const json& object, const std::string& type);
  // The event with that reason on the resource; waits for it.
  void expect_event(const std::string& reason, const std::string& name = "puller");

  // What Quay holds, what a Secret holds.
  std::string quay_token(const std::string& full_name = "");
  std::string secret_token(const std::string& secret = "quay-pull");
  std::string secret_uid(const std::string& secret = "quay-pull");
  // Waits until the Secret holds what Quay holds.
  void expect_secret_current(const std::string& secret = "quay-pull",
                             const std::string& full_name = "");
  int regenerations(const std::string& full_name = "");
  // The robot's requests, by endpoint and committed, from the simulator's journal.
  json journal(const std::string& query = "");
  // Adds a fault for the robot's regenerate calls, unless it matches something else; quay-sim's
  // README lists what there is. The fault.
  json add_fault(json fault);
  // Waits until a request is held by that fault: the stage, before or after the commit.
  std::string held_by(const json& fault);

  // Reads the image's manifest with the real skopeo and the credential in that Secret (as it was
  // read from the API server).
  ProgramResult pull_with(const json& secret);
  void expect_pull(const std::string& secret);

 private:
  std::string namespace_;
  std::string robot_;
};

}  // namespace quay_rotator::cluster
