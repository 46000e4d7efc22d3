// Mutexes that say what they guard. clang checks it (`make lint`): a member with GUARDED_BY is
// touched under its mutex alone, and a function with REQUIRES is called with it held. The names are
// those of clang's thread safety analysis; other compilers see nothing of them.
#pragma once

#include <mutex>

#ifdef __clang__
#define QUAY_ROTATOR_TSA(attribute) __attribute__((attribute))
#else
#define QUAY_ROTATOR_TSA(attribute)
#endif
#define GUARDED_BY(mutex) QUAY_ROTATOR_TSA(guarded_by(mutex))
#define REQUIRES(...) QUAY_ROTATOR_TSA(requires_capability(__VA_ARGS__))
// For what the analysis cannot follow: say why.
#define UNCHECKED_LOCKING QUAY_ROTATOR_TSA(no_thread_safety_analysis)

namespace quay_rotator::base {

class QUAY_ROTATOR_TSA(capability("mutex")) Mutex {
 public:
  void lock() QUAY_ROTATOR_TSA(acquire_capability()) { mutex_.lock(); }
  void unlock() QUAY_ROTATOR_TSA(release_capability()) { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

// Holds a mutex while it lives, but for a pause. What a condition variable waits with.
class QUAY_ROTATOR_TSA(scoped_lockable) Lock {
 public:
  explicit Lock(Mutex& mutex) QUAY_ROTATOR_TSA(acquire_capability(mutex)) : mutex_(mutex) {
    mutex_.lock();
  }
  ~Lock() QUAY_ROTATOR_TSA(release_capability()) {
    if (held_) mutex_.unlock();
  }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  void unlock() QUAY_ROTATOR_TSA(release_capability()) {
    mutex_.unlock();
    held_ = false;
  }
  void lock() QUAY_ROTATOR_TSA(acquire_capability()) {
    mutex_.lock();
    held_ = true;
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

}  // namespace quay_rotator::base
