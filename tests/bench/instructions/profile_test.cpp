#include "bench/instructions/profile.h"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quay_rotator::bench {
namespace {

using testing::ElementsAre;
using testing::Pair;

// parse (100 of its own) is called by kube for 300 and by quay for 100, and calls malloc for 300.
constexpr const char* dump = R"(version: 1
events: Ir

ob=/bin/program
fl=???
fn=quay_rotator::kube::parse(std::string_view)
0 50
cfn=nlohmann::json_abi_v3_11_2::parse<char>(int)
calls=3 0
0 300
fn=quay_rotator::quay::read()
0 10
cfn=nlohmann::json_abi_v3_11_2::parse<char>(int)
calls=1 0
0 100

fn=nlohmann::json_abi_v3_11_2::parse<char>(int)
0 100
cob=/lib/libc.so.6
cfn=malloc
calls=4 0
0 300

ob=/lib/libc.so.6
fn=malloc
0 300
totals: 460
)";

Profile profile() {
  std::istringstream lines(dump);
  return Profile::read(lines);
}

TEST(Profile, TellsSelfFromInclusive) {
  const auto functions = profile().functions();
  EXPECT_EQ(profile().total(), 460U);
  EXPECT_EQ(functions.at("quay_rotator::kube::parse").self, 50U);
  EXPECT_EQ(functions.at("quay_rotator::kube::parse").inclusive, 350U);
  EXPECT_EQ(functions.at("nlohmann::parse").inclusive, 400U);
  EXPECT_EQ(functions.at("malloc").self, 300U);
}

TEST(Profile, SharesOutWhatLibrariesCost) {
  EXPECT_THAT(profile().by_folder(), ElementsAre(Pair("kube", 350U), Pair("quay", 110U)));
}

TEST(Profile, KnowsKindsOfCode) {
  EXPECT_THAT(profile().by_kind(),
              ElementsAre(Pair("JSON", 100U), Pair("memory", 300U), Pair("operator", 60U)));
}

TEST(Profile, RefusesWhatIsNoDump) {
  std::istringstream lines("# callgrind format\n");
  EXPECT_THROW(Profile::read(lines), std::runtime_error);
}

TEST(ShortName, LeavesOutArgumentsAndResult) {
  EXPECT_EQ(
      short_name("quay_rotator::kube::(anonymous namespace)::ObjectBuilder::key(std::string&) "
                 "[clone .part.0]"),
      "quay_rotator::kube::{anonymous}::ObjectBuilder::key");
  EXPECT_EQ(short_name("bool nlohmann::json_abi_v3_11_2::parser<int, (a)1>::parse<x>(y&)'2"),
            "nlohmann::parser::parse");
  EXPECT_EQ(short_name("operator new(unsigned long)"), "operator new");
  EXPECT_EQ(short_name("a::f(int)::{lambda(b)#1}::operator()(b) const"),
            "a::f::{lambda#1}::operator{}");
  EXPECT_EQ(short_name("std::less<void>::operator()<a>(b) const"), "std::less::operator{}");
}

TEST(FolderOf, IsTheOperatorsOnly) {
  EXPECT_EQ(folder_of("quay_rotator::kube::Client::list"), "kube");
  EXPECT_EQ(folder_of("quay_rotator::simulation::Process::now"), "");
  EXPECT_EQ(folder_of("std::map"), "");
}

}  // namespace
}  // namespace quay_rotator::bench
