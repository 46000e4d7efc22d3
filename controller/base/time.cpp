#include "base/time.h"

#include <array>
#include <cmath>
#include <cstdint>

namespace quay_rotator::base {
namespace {

using std::chrono::days;
using std::chrono::floor;
using std::chrono::hh_mm_ss;
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::sys_days;
using std::chrono::year_month_day;

void append_digits(std::string& out, std::int64_t number, std::size_t width) {
  const std::string digits = std::to_string(number);
  if (digits.size() < width) out.append(width - digits.size(), '0');
  out += digits;
}

std::string format_without_zone(WallTime time) {
  const sys_days day = floor<days>(time);
  const year_month_day date{day};
  const hh_mm_ss clock{floor<seconds>(time - day)};
  std::string out;
  append_digits(out, static_cast<int>(date.year()), 4);
  out += '-';
  append_digits(out, static_cast<unsigned>(date.month()), 2);
  out += '-';
  append_digits(out, static_cast<unsigned>(date.day()), 2);
  out += 'T';
  append_digits(out, clock.hours().count(), 2);
  out += ':';
  append_digits(out, clock.minutes().count(), 2);
  out += ':';
  append_digits(out, clock.seconds().count(), 2);
  return out;
}

// Reads fixed-width numbers and literals from the front; remembers the first failure.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  int digits(std::size_t count) {
    int value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (rest_.empty() || rest_[0] < '0' || rest_[0] > '9') {
        failed_ = true;
        return 0;
      }
      value = value * 10 + (rest_[0] - '0');
      rest_.remove_prefix(1);
    }
    return value;
  }
  // Skips one of the characters; the one that was there, or 0 and a failure.
  char one_of(std::string_view characters) {
    if (rest_.empty() || characters.find(rest_[0]) == std::string_view::npos) {
      failed_ = true;
      return 0;
    }
    const char found = rest_[0];
    rest_.remove_prefix(1);
    return found;
  }
  // ".5" as microseconds; 0 when there is no fraction. Digits behind the sixth are dropped.
  microseconds fraction() {
    if (rest_.empty() || rest_[0] != '.') return microseconds{0};
    rest_.remove_prefix(1);
    std::int64_t value = 0;
    std::int64_t scale = 1'000'000;
    std::size_t count = 0;
    for (; !rest_.empty() && rest_[0] >= '0' && rest_[0] <= '9'; rest_.remove_prefix(1), ++count) {
      scale /= 10;
      value += (rest_[0] - '0') * scale;
    }
    if (count == 0) failed_ = true;
    return microseconds{value};
  }
  [[nodiscard]] bool succeeded() const { return !failed_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool failed_ = false;
};

// Enough to recognize what was written, never pages of it.
std::string quoted(std::string_view text) {
  constexpr std::size_t most = 64;
  std::string out = "\"";
  for (const char c : text.substr(0, most)) out += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
  return out + (text.size() > most ? "…\"" : "\"");
}

struct Unit {
  std::string_view name;
  std::int64_t nanoseconds;
};
// In the order of trying: "ms" before "m".
constexpr std::array<Unit, 8> units{{{"ns", 1},
                                     {"us", 1'000},
                                     {"µs", 1'000},  // U+00B5
                                     {"μs", 1'000},  // U+03BC
                                     {"ms", 1'000'000},
                                     {"s", 1'000'000'000},
                                     {"m", 60'000'000'000},
                                     {"h", 3'600'000'000'000}}};

const Unit* take_unit(std::string_view& text) {
  for (const Unit& unit : units) {
    if (text.starts_with(unit.name)) {
      text.remove_prefix(unit.name.size());
      return &unit;
    }
  }
  return nullptr;
}

bool is_digit(std::string_view text) {
  return !text.empty() && text[0] >= '0' && text[0] <= '9';
}

}  // namespace

std::string format_time(WallTime time) {
  return format_without_zone(time) + 'Z';
}

std::string format_micro_time(WallTime time) {
  std::string out = format_without_zone(time) + '.';
  append_digits(out, (time - floor<seconds>(time)).count(), 6);
  return out + 'Z';
}

Expected<WallTime> parse_time(std::string_view text) {
  Scanner scan(text);
  const std::chrono::year year{scan.digits(4)};
  scan.one_of("-");
  const std::chrono::month month{static_cast<unsigned>(scan.digits(2))};
  scan.one_of("-");
  const std::chrono::day day{static_cast<unsigned>(scan.digits(2))};
  scan.one_of("Tt");
  const int hour = scan.digits(2);
  scan.one_of(":");
  const int minute = scan.digits(2);
  scan.one_of(":");
  const int second = scan.digits(2);
  const microseconds fraction = scan.fraction();
  const char zone = scan.one_of("Zz+-");
  int offset_hours = 0;
  int offset_minutes = 0;
  if (zone == '+' || zone == '-') {
    offset_hours = scan.digits(2);
    scan.one_of(":");
    offset_minutes = scan.digits(2);
  }
  const year_month_day date{year, month, day};
  if (!scan.succeeded() || !date.ok() || hour > 23 || minute > 59 || second > 59 ||
      offset_hours > 23 || offset_minutes > 59) {
    return tl::unexpected(
        Error{"expected an RFC 3339 time like 2026-03-01T12:00:00Z, got " + quoted(text)});
  }
  const minutes offset = hours{offset_hours} + minutes{offset_minutes};
  const WallTime time = sys_days{date} + hours{hour} + minutes{minute} + seconds{second} +
                        fraction - (zone == '-' ? -offset : offset);
  // Its offset may take a time out of the years that can be written.
  constexpr WallTime first = sys_days{std::chrono::year{0} / 1 / 1};
  constexpr WallTime end = sys_days{std::chrono::year{10'000} / 1 / 1};
  if (time < first || time >= end) {
    return tl::unexpected(
        Error{"expected a time in the years 0000 to 9999 of UTC, got " + quoted(text)});
  }
  return time;
}

Expected<Duration> parse_duration(std::string_view text) {
  const auto error = [text](std::string_view why) {
    return tl::unexpected(Error{"expected a duration like 720h, 1h30m, 10s or 250ms, got " +
                                quoted(text) + std::string(why)});
  };
  if (text.empty()) return error("");
  if (text[0] == '-') return error(", which is negative");
  std::int64_t total = 0;
  for (std::string_view rest = text; !rest.empty();) {
    std::int64_t whole = 0;
    double fraction = 0;
    bool any = false;
    bool overflow = false;
    for (; is_digit(rest); rest.remove_prefix(1), any = true) {
      overflow = overflow || __builtin_mul_overflow(whole, 10, &whole) ||
                 __builtin_add_overflow(whole, rest[0] - '0', &whole);
    }
    if (!rest.empty() && rest[0] == '.') {
      rest.remove_prefix(1);
      for (double scale = 0.1; is_digit(rest); rest.remove_prefix(1), scale /= 10, any = true) {
        fraction += scale * (rest[0] - '0');
      }
    }
    if (!any) return error("");
    const Unit* unit = take_unit(rest);
    if (unit == nullptr) return error(", where a unit (h, m, s, ms, us, ns) is missing");
    // Rounded, so that 0.3 s is not a nanosecond short.
    const std::int64_t part = std::llround(fraction * static_cast<double>(unit->nanoseconds));
    if (overflow || __builtin_mul_overflow(whole, unit->nanoseconds, &whole) ||
        __builtin_add_overflow(whole, part, &whole) ||
        __builtin_add_overflow(total, whole, &total)) {
      return error(", which is more than 292 years");
    }
  }
  return Duration{total};
}

std::string format_duration(Duration duration) {
  if (duration == Duration::zero()) return "0s";
  // Unsigned, so that the most negative duration has a magnitude too.
  const bool negative = duration < Duration::zero();
  std::uint64_t rest = static_cast<std::uint64_t>(duration.count());
  if (negative) rest = 0 - rest;

  std::string out = negative ? "-" : "";
  const auto append_fraction = [&out](std::uint64_t value, std::uint64_t unit,
                                      std::string_view name) {
    out += std::to_string(value / unit);
    if (std::uint64_t fraction = value % unit; fraction != 0) {
      out += '.';
      for (std::uint64_t scale = unit / 10; fraction != 0; fraction %= scale, scale /= 10) {
        out += static_cast<char>('0' + fraction / scale);
        if (scale == 1) break;
      }
    }
    out += name;
  };
  if (rest < 1'000) {
    append_fraction(rest, 1, "ns");
  } else if (rest < 1'000'000) {
    append_fraction(rest, 1'000, "µs");
  } else if (rest < 1'000'000'000) {
    append_fraction(rest, 1'000'000, "ms");
  } else {
    constexpr std::uint64_t hour = 3'600'000'000'000;
    constexpr std::uint64_t minute = 60'000'000'000;
    if (rest >= hour) out += std::to_string(rest / hour) + "h";
    rest %= hour;
    if (rest >= minute) out += std::to_string(rest / minute) + "m";
    rest %= minute;
    if (rest != 0) append_fraction(rest, 1'000'000'000, "s");
  }
  return out;
}

}  // namespace quay_rotator::base
