// I5 no leak. No token, nor its base64, is in anything but a Secret's data.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "simulation/promises/checker.h"

namespace quay_rotator::simulation {

class NoLeak final : public Checker {
 public:
  NoLeak(const Knowledge& known, Journal& journal);

  void on_request(const Message& message, const Address& address,
                  const base::Executor& caller) override;
  // `text` is public: a metric, a message.
  void check(std::string_view where, std::string_view text);
  // … and so are all keys and texts in it.
  void check_all(std::string_view where, const nlohmann::json& value);

 private:
  std::vector<std::string> leaks_;  // texts that must not be seen
};

}  // namespace quay_rotator::simulation
