// Runs work on the threads of a pool, XLA's own. Workers claim items atomically, so a task that the busy pool never schedules cannot
// block the call.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>

// Denormal numbers count as zero while this exists, as in XLA; the processor's state is restored afterwards.
class FlushDenormals {
 public:
#if defined(__x86_64__)
  FlushDenormals() : before_(__builtin_ia32_stmxcsr()) { __builtin_ia32_ldmxcsr(before_ | 0x8040); }
  ~FlushDenormals() { __builtin_ia32_ldmxcsr(before_); }

 private:
  unsigned before_;
#elif defined(__aarch64__)
  FlushDenormals() {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" : : "r"(before_ | (uint64_t{1} << 24)));
  }
  ~FlushDenormals() { asm volatile("msr fpcr, %0" : : "r"(before_)); }

 private:
  uint64_t before_;
#endif
};

// Pool: as `xla::ffi::ThreadPool`, with `num_threads()` and `Schedule(function)`.
template <class Pool> class WorkPool {
 public:
  typedef std::function<void(long phase, long item)> Work;

  explicit WorkPool(Pool pool) : pool_(pool), size_(pool.num_threads() > 1 ? pool.num_threads() : 1) {}

  long size() const { return size_; }

  // Calls function(phase, item), which must not throw, once for every item of every phase; a phase begins when all items of the one before are done.
  void run(long phases, long items, Work function) {
    if (!phases || !items) return;
    auto shared = std::make_shared<Shared>(phases, items, std::move(function));
    const long num_workers = size_ < items ? size_ : items;
    for (long i = 1; i < num_workers; ++i) {
      try {
        pool_.Schedule([shared, i, num_workers] { work(*shared, i, num_workers); });
      } catch (...) {
        break;  // those who are there do all of it
      }
    }
    work(*shared, 0, num_workers);
  }

 private:
  struct Shared {
    Shared(long phases, long items, Work function)
        : phases(phases), items(items), function(std::move(function)), claimed(new std::atomic<bool>[phases * items]()),
          done(new std::atomic<long>[phases]()) {}
    const long phases, items;
    const Work function;
    const std::unique_ptr<std::atomic<bool>[]> claimed;
    const std::unique_ptr<std::atomic<long>[]> done;
  };

  // A worker begins with its own share, so that it processes the same data in every phase (cache locality), and then helps the others.
  static void work(Shared& shared, long worker, long num_workers) {
    if (shared.done[shared.phases - 1].load(std::memory_order_acquire) == shared.items) return;  // too late: what `function` refers to may be gone
    FlushDenormals flush;
    const long first = shared.items * worker / num_workers;
    for (long phase = 0; phase < shared.phases; ++phase) {
      for (long i = 0; i < shared.items; ++i) {
        const long item = (first + i) % shared.items;
        auto& claim = shared.claimed[phase * shared.items + item];
        if (claim.load(std::memory_order_relaxed) || claim.exchange(true, std::memory_order_acq_rel)) continue;
        shared.function(phase, item);
        shared.done[phase].fetch_add(1, std::memory_order_acq_rel);
      }
      wait(shared.done[phase], shared.items);
    }
  }

  static void wait(const std::atomic<long>& done, long items) {
    for (long spins = 0; done.load(std::memory_order_acquire) < items; ++spins) {
      if (spins > 2000) {  // some microseconds: longer than threads differ unless one was interrupted
        std::this_thread::yield();
        continue;
      }
#if defined(__x86_64__)
      __builtin_ia32_pause();
#elif defined(__aarch64__)
      asm volatile("yield");
#endif
    }
  }

  Pool pool_;
  const long size_;
};
