#include "connection/findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quay_rotator::connection {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const kube::ObjectKey quay{"team", "quay"};
const Trouble gone{"OrganizationNotFound", "check its name", true};
const Trouble away{"Unreachable", "no answer", false};

TEST(Findings, KnowsNothingOfWhatWasNotLookedAt) {
  Findings findings;
  EXPECT_FALSE(findings.of(quay, "acme"));
  EXPECT_THAT(findings.note(quay, {{"acme", {}}}), ElementsAre("acme"));
  EXPECT_TRUE(findings.of(quay, "acme"));
  EXPECT_FALSE(findings.of(quay, "other"));
  EXPECT_FALSE(findings.of({"team-b", "quay"}, "acme"));
}

TEST(Findings, WhatConcernsOneOrganizationIsNotSaidOfAnother) {
  Findings findings;
  findings.note(quay, {{"acme", {}}, {"typo", gone}});
  EXPECT_FALSE(findings.of(quay, "acme")->trouble);
  EXPECT_EQ(findings.of(quay, "typo")->trouble, gone);
}

TEST(Findings, OnlyNewsIsNews) {
  Findings findings;
  EXPECT_THAT(findings.note(quay, {{"acme", gone}}), ElementsAre("acme"));
  EXPECT_THAT(findings.note(quay, {{"acme", gone}}), IsEmpty());
  EXPECT_THAT(findings.note(quay, {{"acme", {}}}), ElementsAre("acme"));
  EXPECT_THAT(findings.note(quay, {{"acme", {}}}), IsEmpty());
}

TEST(Findings, WhatPassesIsToldWhenItHasNotPassed) {
  Findings findings;
  findings.note(quay, {{"acme", {}}});
  EXPECT_THAT(findings.note(quay, {{"acme", away}}), IsEmpty());
  EXPECT_FALSE(findings.of(quay, "acme"));
  EXPECT_THAT(findings.note(quay, {{"acme", away}}), ElementsAre("acme"));
  EXPECT_EQ(findings.of(quay, "acme")->trouble, away);
  EXPECT_THAT(findings.note(quay, {{"acme", {}}}), ElementsAre("acme"));
}

TEST(Findings, AForgottenConnectionIsNotKnown) {
  Findings findings;
  findings.note(quay, {{"acme", gone}});
  findings.forget(quay);
  EXPECT_FALSE(findings.of(quay, "acme"));
}

}  // namespace
}  // namespace quay_rotator::connection
