#include "kube/credentials.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "support/virtual_executor.h"

namespace quay_rotator::kube {
namespace {

using namespace std::chrono_literals;

std::string token_of(Credentials& credentials) {
  const auto token = credentials.bearer_token();
  return token ? std::string(token->reveal()) : token.error().message;
}

TEST(FixedCredentials, StayTheSame) {
  const auto credentials = make_fixed_credentials(base::SecretString(std::string("a")));
  EXPECT_EQ(token_of(*credentials), "a");
  credentials->invalidate();
  EXPECT_EQ(token_of(*credentials), "a");
  EXPECT_EQ(token_of(*make_fixed_credentials({})), "");
}

class FileCredentialsTest : public ::testing::Test {
 protected:
  testing::TemporaryFolder folder_;
  testing::VirtualExecutor executor_{1};
  std::string file_ = folder_.write("token", " first\n");
  std::unique_ptr<Credentials> credentials_ = make_file_credentials(file_, executor_);
};

TEST_F(FileCredentialsTest, ReadAgainAfterAMinute) {
  EXPECT_EQ(token_of(*credentials_), "first");
  (void)folder_.write("token", "second");
  executor_.advance(59s);
  EXPECT_EQ(token_of(*credentials_), "first");
  executor_.advance(1s);
  EXPECT_EQ(token_of(*credentials_), "second");
}

TEST_F(FileCredentialsTest, ReadAgainAfterARefusal) {
  EXPECT_EQ(token_of(*credentials_), "first");
  (void)folder_.write("token", "second");
  credentials_->invalidate();
  EXPECT_EQ(token_of(*credentials_), "second");
}

TEST_F(FileCredentialsTest, KeepTheTokenWhileTheFileIsAwayUntilItIsRefused) {
  EXPECT_EQ(token_of(*credentials_), "first");
  std::filesystem::remove(file_);
  executor_.advance(5min);
  EXPECT_EQ(token_of(*credentials_), "first");
  credentials_->invalidate();
  EXPECT_EQ(token_of(*credentials_), "cannot read " + file_ + ": No such file or directory");
  (void)folder_.write("token", "second");
  EXPECT_EQ(token_of(*credentials_), "second");
}

TEST_F(FileCredentialsTest, RefuseAnEmptyFile) {
  (void)folder_.write("token", " \n");
  EXPECT_EQ(token_of(*credentials_), "the token file " + file_ + " is empty");
}

TEST(ReadFile, NamesWhatIsWrong) {
  const testing::TemporaryFolder folder;
  const auto message = [](const std::string& path) {
    const auto text = read_file(path);
    return text ? "read" : text.error().message;
  };
  EXPECT_EQ(message(folder.path("")), "cannot read " + folder.path("") + ": Is a directory");
  EXPECT_EQ(message("/dev/zero"), "cannot read /dev/zero: File too large");
  const std::string large(100'000, 'x');
  EXPECT_EQ(read_file(folder.write("large", large))->reveal(), large);
}

}  // namespace
}  // namespace quay_rotator::kube
