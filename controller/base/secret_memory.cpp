#include "base/secret_memory.h"

#include <array>
#include <bit>
#include <new>

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include "base/mutex.h"

namespace quay_rotator::base {
namespace {

constexpr std::size_t smallest = 32;
constexpr std::size_t largest = 64U << 10U;  // beyond it a block has pages of its own
constexpr std::size_t sizes = std::bit_width(largest / smallest);
constexpr std::size_t chunk_size = 256U << 10U;
constexpr std::size_t page_size = 4096;
// What is larger is lists of many tokens: it would use up what may be locked, for milliseconds.
constexpr std::size_t largest_locked = 1U << 20U;

char* map_pages(std::size_t size) {
  void* pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  madvise(pages, size, MADV_DONTDUMP);
  if (size <= largest_locked) mlock2(pages, size, MLOCK_ONFAULT);
  return static_cast<char*>(pages);
}

// Free blocks of each size hang together by their first bytes.
class Arena {
 public:
  char* take(std::size_t size) {
    const Lock lock(mutex_);
    Free*& list = free_[index(size)];
    char* block = reinterpret_cast<char*>(list);
    if (block != nullptr) {
      ASAN_UNPOISON_MEMORY_REGION(block, size);
      list = list->next;
    } else {
      if (left_ < size) {
        // The rest of the old chunk is given up: less than one block of this size.
        chunk_ = map_pages(chunk_size);
        left_ = chunk_size;
      }
      block = chunk_;
      chunk_ += size;
      left_ -= size;
    }
    return block;
  }

  void give_back(char* block, std::size_t size) noexcept {
    const Lock lock(mutex_);
    Free*& list = free_[index(size)];
    list = new (block) Free{list};
    ASAN_POISON_MEMORY_REGION(block + sizeof(Free), size - sizeof(Free));
  }

 private:
  struct Free {
    Free* next;
  };
  static std::size_t index(std::size_t size) { return std::bit_width(size / smallest); }

  Mutex mutex_;
  std::array<Free*, sizes + 1> free_ GUARDED_BY(mutex_){};
  char* chunk_ GUARDED_BY(mutex_) = nullptr;
  std::size_t left_ GUARDED_BY(mutex_) = 0;
};

// Never destroyed: secrets live until the process ends.
Arena& arena() {
  static auto* const arena = new Arena;
  return *arena;
}

}  // namespace

std::size_t secret_capacity(std::size_t size) {
  if (size > largest) return (size + page_size - 1) / page_size * page_size;
  return size < smallest ? smallest : std::bit_ceil(size);
}

char* allocate_secret(std::size_t size) {
  const std::size_t capacity = secret_capacity(size);
  return capacity > largest ? map_pages(capacity) : arena().take(capacity);
}

void release_secret(char* block, std::size_t capacity) noexcept {
  if (capacity > largest) {
    munmap(block, capacity);
  } else {
    arena().give_back(block, capacity);
  }
}

}  // namespace quay_rotator::base
