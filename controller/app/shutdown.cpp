#include "app/shutdown.h"

#include <utility>

namespace quay_rotator::app {

Shutdown::Shutdown(base::Executor& executor, ShutdownLimits limits, std::function<void()> abandon,
                   std::function<void()> end)
    : thread_(executor.spawn(
          "shutdown", [&executor, limits, began = executor.now(), abandon = std::move(abandon),
                       end = std::move(end)](const std::stop_token& disarmed) {
            if (!executor.sleep_until(began + limits.grace, disarmed)) return;
            abandon();
            if (executor.sleep_until(began + limits.limit, disarmed)) end();
          })) {}

}  // namespace quay_rotator::app
