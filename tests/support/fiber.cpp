// The fibers of runner.h.
#include <cxxabi.h>
#include <new>
#include <utility>
#include <vector>

#include <boost/context/fiber.hpp>
#include <boost/context/stack_context.hpp>
#include <sys/mman.h>

#include "support/runner.h"

namespace quay_rotator::testing {

namespace {

namespace context = boost::context;

// The stacks of fibers that ended serve the next ones. A page below each is not accessible: a stack
// that is too small ends the process instead of overwriting something.
class Stacks {
 public:
  static constexpr std::size_t page = 4096;
  static constexpr std::size_t size = 64 * page;

  Stacks() = default;
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;
  ~Stacks() {
    for (void* bottom : all_) munmap(bottom, size);
  }

  void* take() {
    if (free_.empty()) add();
    void* bottom = free_.back();
    free_.pop_back();
    return bottom;
  }
  void give_back(void* bottom) noexcept { free_.push_back(bottom); }  // add() has made room

 private:
  void add() {
    all_.reserve(all_.size() + 1);
    free_.reserve(all_.size() + 1);
    void* bottom = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (bottom == MAP_FAILED) throw std::bad_alloc();
    all_.push_back(bottom);
    free_.push_back(bottom);
    if (mprotect(bottom, page, PROT_NONE) != 0) throw std::bad_alloc();
  }

  std::vector<void*> all_;
  std::vector<void*> free_;
};

// As Boost.Context wants it.
class StackAllocator {
 public:
  explicit StackAllocator(Stacks& stacks) : stacks_(&stacks) {}
  context::stack_context allocate() {
    context::stack_context stack;
    stack.sp = static_cast<char*>(stacks_->take()) + Stacks::size;
    stack.size = Stacks::size;
    return stack;
  }
  void deallocate(context::stack_context& stack) noexcept {
    stacks_->give_back(static_cast<char*>(stack.sp) - stack.size);
  }

 private:
  Stacks* stacks_;
};

// The C++ runtime keeps one per thread, of what is being thrown and caught; a fiber may be left in
// the middle of that (Itanium C++ ABI, 2.2.2).
struct ExceptionState {
  void* caught = nullptr;
  unsigned int uncaught = 0;
};

ExceptionState& exception_state() {
  return *static_cast<ExceptionState*>(static_cast<void*>(abi::__cxa_get_globals()));
}

class FiberRunner final : public Runner {
 public:
  explicit FiberRunner(FiberRunner*& left) : left_(left) {}
  FiberRunner(FiberRunner*& left, Stacks& stacks, std::function<Runner&()> body)
      : left_(left),
        rest_(std::allocator_arg, StackAllocator(stacks),
              [this, run = std::move(body)](context::fiber&& rest_of_left) mutable {
                exception_state() = {};
                left_->rest_ = std::move(rest_of_left);
                auto& next = static_cast<FiberRunner&>(run());
                run = nullptr;  // what it owns ends while it still runs
                left_ = this;
                return std::move(next.rest_);
              }) {}

  void pass_to(Runner& next) override {
    const ExceptionState mine = exception_state();
    left_ = this;
    context::fiber rest_of_left = std::move(static_cast<FiberRunner&>(next).rest_).resume();
    left_->rest_ = std::move(rest_of_left);
    exception_state() = mine;
  }

 private:
  FiberRunner*& left_;   // who has just passed on
  context::fiber rest_;  // what it has yet to run, while it does not
};

class Fibers final : public Runners {
 public:
  Runner& first() override { return first_; }
  std::unique_ptr<Runner> make(std::function<Runner&()> body) override {
    return std::make_unique<FiberRunner>(left_, stacks_, std::move(body));
  }

 private:
  Stacks stacks_;
  FiberRunner* left_ = nullptr;
  FiberRunner first_{left_};
};

}  // namespace

std::unique_ptr<Runners> make_fibers() {
  return std::make_unique<Fibers>();
}

}  // namespace quay_rotator::testing
