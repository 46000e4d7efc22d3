#include "support/recording_log.h"

#include <array>
#include <sstream>
#include <utility>
#include <variant>

namespace quay_rotator::testing {

void RecordingLog::write(base::LogLevel level, std::string_view message,
                         const std::vector<base::LogField>& fields) {
  constexpr std::array<std::string_view, 4> levels{"debug", "info", "warning", "error"};
  std::ostringstream line;
  line << std::boolalpha << levels.at(static_cast<std::size_t>(level)) << ' ' << message;
  for (const base::LogField& field : fields) {
    line << ' ' << field.key << '=';
    std::visit([&line](const auto& value) { line << value; }, field.value);
  }
  const std::lock_guard lock(mutex_);
  lines_.push_back(std::move(line).str());
}

std::vector<std::string> RecordingLog::lines() const {
  const std::lock_guard lock(mutex_);
  return lines_;
}

std::string RecordingLog::text() const {
  std::string text;
  for (const std::string& line : lines()) text += line + '\n';
  return text;
}

}  // namespace quay_rotator::testing
