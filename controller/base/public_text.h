// The one way by which the words of a server get into a status, an Event, a log line, a metric or
// an error. Words of our own are better wherever they will do.
//
// A server that is sent a secret may say it again, wherever it may say anything. Pure functions.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>

namespace quay_rotator::base {

// Does `text` hold a piece of `secret`, so many characters of it or all: in any case, with anything
// but letters and digits in between, percent-encoded, escaped as in JSON, in hexadecimal, or in
// base64 of either alphabet wherever that begins? A secret of fewer than 8 letters and digits is in
// no text: it is no secret.
inline constexpr std::size_t telling_piece = 16;
inline constexpr std::size_t quoted_piece = 8;  // of what was sent to whoever wrote the text
bool betrays(std::string_view text, std::string_view secret, std::size_t piece = telling_piece);

// `text` on one line of at most 1024 bytes, valid UTF-8 without characters that control, hide or
// turn others around; or `instead` where it betrays one of the secrets.
std::string public_text(std::string_view text, std::initializer_list<std::string_view> secrets,
                        std::string_view instead);

}  // namespace quay_rotator::base
