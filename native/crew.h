// Threads of a pool, XLA's own, that share work. Work is claimed and never assigned: a thread that never comes, because the pool is
// busy, is not waited for, so that a call inside the pool cannot block it.
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
template <class Pool> class Crew {
 public:
  typedef std::function<void(long phase, long item)> Work;

  explicit Crew(Pool pool) : pool_(pool), size_(pool.num_threads() > 1 ? pool.num_threads() : 1) {}

  long size() const { return size_; }

  // Calls work(phase, item) once for every item of every phase; a phase begins when all items of the one before are done.
  void run(long phases, long items, Work work) {
    if (!phases || !items) return;
    auto shared = std::make_shared<Shared>(phases, items, std::move(work));
    const long team = size_ < items ? size_ : items;
    for (long i = 1; i < team; ++i) {
      pool_.Schedule([shared, i, team] { join(*shared, i, team); });
    }
    join(*shared, 0, team);
  }

 private:
  struct Shared {
    Shared(long phases, long items, Work work)
        : phases(phases), items(items), work(std::move(work)), claimed(new std::atomic<bool>[phases * items]()),
          done(new std::atomic<long>[phases]()) {}
    const long phases, items;
    const Work work;
    const std::unique_ptr<std::atomic<bool>[]> claimed;
    const std::unique_ptr<std::atomic<long>[]> done;
  };

  // A member begins with its own share, so that the same thread meets the same data in every phase, and then helps the others.
  static void join(Shared& shared, long member, long team) {
    if (shared.done[shared.phases - 1].load(std::memory_order_acquire) == shared.items) return;  // too late; `work` may be gone
    FlushDenormals flush;
    const long first = shared.items * member / team;
    for (long phase = 0; phase < shared.phases; ++phase) {
      for (long i = 0; i < shared.items; ++i) {
        const long item = (first + i) % shared.items;
        auto& claim = shared.claimed[phase * shared.items + item];
        if (claim.load(std::memory_order_relaxed) || claim.exchange(true, std::memory_order_acq_rel)) continue;
        shared.work(phase, item);
        shared.done[phase].fetch_add(1, std::memory_order_acq_rel);
      }
      wait(shared.done[phase], shared.items);
    }
  }

  static void wait(const std::atomic<long>& done, long items) {
    for (long spins = 0; done.load(std::memory_order_acquire) < items; ++spins) {
      if (spins > 2000) {
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
