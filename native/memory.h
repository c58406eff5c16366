// The memory of a call, and views of arrays with runs.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

template <class Real> class AlignedBuffer {  // aligned to a vector; std::bad_alloc where there is none
 public:
  explicit AlignedBuffer(long count) : at_(static_cast<Real*>(std::aligned_alloc(64, (count * sizeof(Real) + 127) / 64 * 64))) {
    if (!at_) throw std::bad_alloc();
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept : at_(other.at_) { other.at_ = nullptr; }
  ~AlignedBuffer() { std::free(at_); }
  operator Real*() const { return at_; }

 private:
  Real* at_;
};

template <class Real> std::vector<AlignedBuffer<Real>> buffers(long count, long size) {
  std::vector<AlignedBuffer<Real>> made;
  for (long i = 0; i < count; ++i) made.emplace_back(size);
  return made;
}

// A hint that a large array, which has just been allocated, may have pages of 2 MiB: to touch it for the first time takes a third less.
inline void use_huge_pages(void* p, size_t bytes) {
#if defined(__linux__)
  constexpr uintptr_t PAGE = 4096;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(p) + PAGE - 1) / PAGE * PAGE, end = (reinterpret_cast<uintptr_t>(p) + bytes) / PAGE * PAGE;
  if (p && bytes >= (4u << 20)) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)p, (void)bytes;
#endif
}

template <class Real> void copy_rows(Real* to, long to_stride, const Real* from, long from_stride, long count, long length) {
  for (long i = 0; i < count; ++i) std::memcpy(to + i * to_stride, from + i * from_stride, length * sizeof(Real));
}

// Where run r begins in an array with or without a leading axis of runs.
template <class Real> struct RunView {
  Real* at;
  long stride;  // zero where all runs share the array
  Real* operator[](long run) const { return at ? at + run * stride : nullptr; }
};
