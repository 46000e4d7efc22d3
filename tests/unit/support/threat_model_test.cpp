// docs/threat-model.md names tests: they must exist, and no attack may be without one.
#include <cctype>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

namespace {

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// "Suite.Name" of every test in the sources; the suite of one in Go is its folder.
std::set<std::string> existing_tests() {
  const std::regex macro(R"(TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\))");
  const std::regex function(R"(\nfunc Test(\w+)\()");
  std::set<std::string> tests;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(SOURCE_ROOT "/tests")) {
    const bool go = entry.path().string().ends_with("_test.go");
    if (!go && !entry.path().string().ends_with("_test.cpp")) continue;
    const std::string text = text_of(entry.path());
    if (go) {
      std::string suite = entry.path().parent_path().filename();
      suite.front() = static_cast<char>(std::toupper(suite.front()));
      for (std::sregex_iterator at(text.begin(), text.end(), function), end; at != end; ++at) {
        tests.insert(suite + "." + (*at)[1].str());
      }
      continue;
    }
    for (std::sregex_iterator at(text.begin(), text.end(), macro), end; at != end; ++at) {
      tests.insert((*at)[1].str() + "." + (*at)[2].str());
    }
  }
  return tests;
}

TEST(ThreatModel, EveryAttackIsTriedByATestThatExists) {
  const std::set<std::string> existing = existing_tests();
  ASSERT_TRUE(existing.contains("ThreatModel.EveryAttackIsTriedByATestThatExists"));
  const std::regex name("`([A-Z][A-Za-z]*\\.[A-Z][A-Za-z0-9]*)`");
  std::istringstream page(text_of(SOURCE_ROOT "/docs/threat-model.md"));
  bool attacks = false;
  int rows = 0;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("| wants |") || line.starts_with("| does |")) attacks = true;
    if (line.empty()) attacks = false;
    if (!attacks || line.find("| tried by |") != std::string::npos || line.starts_with("|---")) {
      continue;
    }
    ++rows;
    std::sregex_iterator at(line.begin(), line.end(), name);
    EXPECT_NE(at, std::sregex_iterator()) << "no test tries: " << line;
    for (; at != std::sregex_iterator(); ++at) {
      EXPECT_TRUE(existing.contains((*at)[1].str())) << (*at)[1].str() << " does not exist";
    }
  }
  EXPECT_GT(rows, 20);
}

}  // namespace
