#include "http/transport.h"

#include <gtest/gtest.h>

namespace quay_rotator::http {
namespace {

Response with_header(std::string name, std::string value) {
  Response response;
  response.headers = {{"Other", "1"}, {std::move(name), std::move(value)}};
  return response;
}

TEST(Transport, MethodsHaveTheirWireNames) {
  EXPECT_EQ(method_name(Method::get), "GET");
  EXPECT_EQ(method_name(Method::post), "POST");
  EXPECT_EQ(method_name(Method::put), "PUT");
  EXPECT_EQ(method_name(Method::patch), "PATCH");
  EXPECT_EQ(method_name(Method::del), "DELETE");
}

TEST(Transport, HeadersAreFoundInAnyCase) {
  const Response response = with_header("WWW-Authenticate", "Bearer");
  EXPECT_EQ(response.header("www-authenticate"), "Bearer");
  EXPECT_EQ(response.header("www-authenticat"), std::nullopt);
}

TEST(Transport, RetryAfterIsSecondsOrNothing) {
  using std::chrono::seconds;
  EXPECT_EQ(with_header("retry-after", "120").retry_after(), seconds(120));
  EXPECT_EQ(with_header("Retry-After", "0").retry_after(), seconds(0));
  for (const char* value :
       {"", "-1", "1.5", "12 ", "soon", "99999999999", "Wed, 21 Oct 2015 07:28:00 GMT"}) {
    EXPECT_EQ(with_header("Retry-After", value).retry_after(), std::nullopt) << value;
  }
  EXPECT_EQ(Response{}.retry_after(), std::nullopt);
}

}  // namespace
}  // namespace quay_rotator::http
