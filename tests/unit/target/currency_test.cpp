#include "target/currency.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "target/render.h"

namespace quay_rotator::target {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using What = Finding::What;

constexpr std::string_view user = "acme+puller";
constexpr std::string_view token = "FIRSTTOKENMARKED0000000000000000000000000000000000000000000001";

class CurrencyTest : public ::testing::Test {
 protected:
  // What is wrong with it after `change`, a merge patch.
  std::vector<What> after(const json& change) {
    json object =
        json::parse(secret_manifest(desired_, {true, "uid-1", ""},
                                    secret_data(desired_, user, base::SecretString::copy_of(token)))
                        .reveal());
    object["metadata"]["resourceVersion"] = "5";
    object.merge_patch(change);
    cached_ = api::ManagedSecret::from_json(object).value();
    return against(desired_);
  }
  std::vector<What> against(const DesiredSecret& desired, std::string_view of = user,
                            std::string_view with = token) {
    std::vector<What> found;
    for (const auto& each : currency(desired, &cached_, of, base::Fingerprint::of(with))) {
      EXPECT_EQ(each.secret, desired.key);
      found.push_back(each.what);
    }
    return found;
  }

  DesiredSecret desired_{{"team-a", "quay-pull"},
                         {"quay.example.com"},
                         {{"team", "a"}},
                         {{"note", "x"}},
                         {{"team-a", "puller"}, "rotation-uid"},
                         true};
  api::ManagedSecret cached_;
};

TEST_F(CurrencyTest, FindsNothingInWhatIsWritten) {
  EXPECT_THAT(after(json::object()), IsEmpty());
  desired_.owned = false;
  EXPECT_THAT(after(json::object()), IsEmpty());
}

TEST_F(CurrencyTest, SeesEveryEdit) {
  EXPECT_THAT(after({{"type", "kubernetes.io/tls"}}), ElementsAre(What::type));
  EXPECT_THAT(after({{"data", nullptr}}), ElementsAre(What::content));
  EXPECT_THAT(after({{"metadata", {{"labels", {{"team", "b"}}}}}}), ElementsAre(What::label));
  EXPECT_THAT(after({{"metadata", {{"ownerReferences", nullptr}}}}),
              ElementsAre(What::owner_reference));
  const auto annotated = [&](const char* key, const json& value) {
    return after({{"metadata", {{"annotations", {{key, value}}}}}});
  };
  EXPECT_THAT(annotated("note", nullptr), ElementsAre(What::annotation));
  EXPECT_THAT(annotated("quayrotator.dev/rotation", nullptr), ElementsAre(What::owner));
  EXPECT_THAT(annotated("quayrotator.dev/rotation", "team-b/puller"), ElementsAre(What::owner));
  EXPECT_THAT(annotated("quayrotator.dev/rotation-uid", nullptr), ElementsAre(What::owner));
  EXPECT_THAT(annotated("quayrotator.dev/rotation-uid", "former"), ElementsAre(What::owner));
  EXPECT_THAT(after({{"metadata", {{"annotations", nullptr}, {"labels", nullptr}}}, {"data", {}}}),
              ElementsAre(What::owner, What::content, What::label, What::annotation));
}

TEST_F(CurrencyTest, SeesWhatIsDesiredOtherwise) {
  after(json::object());
  EXPECT_THAT(against(desired_, "acme+other"), ElementsAre(What::login));
  EXPECT_THAT(against(desired_, user, "another"), ElementsAre(What::login));
  DesiredSecret other = desired_;
  other.registries.push_back("other.example.com");
  EXPECT_THAT(against(other), ElementsAre(What::login));
  other = desired_;
  other.owned = false;
  EXPECT_THAT(against(other), ElementsAre(What::owner_reference));
  other = desired_;
  other.owner.uid = "another life";
  EXPECT_THAT(against(other), ElementsAre(What::owner, What::owner_reference));
}

TEST_F(CurrencyTest, SaysWhatItFound) {
  const auto missing = currency(desired_, nullptr, user, base::Fingerprint::of(token));
  EXPECT_THAT(missing, ElementsAre(Finding{{"team-a", "quay-pull"}, What::missing, ""}));
  EXPECT_EQ(summary(missing), "Secret quay-pull was missing");
  EXPECT_EQ(summary({}), "");
  const Finding content{{"team-a", "quay-pull"}, What::content, ""};
  const Finding label{{"team-a", "quay-pull"}, What::label, "team"};
  EXPECT_EQ(summary({content, label}), "Secret quay-pull was edited: its content");
  EXPECT_EQ(text(label), "Secret quay-pull was edited: its label team");
  EXPECT_EQ(
      summary({label, {{"team-a", "b"}, What::missing, ""}, {{"team-a", "c"}, What::type, ""}}),
      "Secret quay-pull was edited: its label team (and 2 more were not current)");
}

}  // namespace
}  // namespace quay_rotator::target
