// Vectors of REAL, by the compiler's vector extensions alone; the width is that of the instruction set compiled for.
//
// Everything here is local to a translation unit: a function that the linker could share between instruction sets would
// run instructions that the processor may not have.
#pragma once
#include <cstdint>

#define ALWAYS inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

namespace {

#if defined(__AVX512F__)
constexpr int BYTES = 64, ROWS = 6;  // of a vector; of a tile: 6 x 4 accumulators of 32 registers
#elif defined(__AVX2__)
constexpr int BYTES = 32, ROWS = 3;  // 3 x 4 of 16
#elif defined(__aarch64__)
constexpr int BYTES = 16, ROWS = 6;  // 6 x 4 of 32
#else
constexpr int BYTES = 16, ROWS = 2;
#endif
constexpr int W = BYTES / sizeof(REAL);  // lanes
constexpr int COLUMNS = 4;               // vectors of a tile, at most

typedef REAL V __attribute__((vector_size(BYTES)));
typedef REAL Unaligned __attribute__((vector_size(BYTES), aligned(sizeof(REAL)), may_alias));

ALWAYS V splat(REAL s) { return s - V{}; }
ALWAYS V load(const REAL* p) { return *reinterpret_cast<const Unaligned*>(p); }
ALWAYS void store(REAL* p, V v) { *reinterpret_cast<Unaligned*>(p) = v; }

// The first n lanes, the others zero; n may be more than there are lanes.
__attribute__((noinline)) void copy_some(REAL* to, const REAL* from, long n) {
  for (long i = 0; i < n; ++i) to[i] = from[i];
}
ALWAYS V load(const REAL* p, long n) {
  if (__builtin_expect(n >= W, 1)) return load(p);
  REAL v[W] = {};
  if (n > 0) copy_some(v, p, n);
  return load(v);
}
ALWAYS void store(REAL* p, V x, long n) {
  if (__builtin_expect(n >= W, 1)) return store(p, x);
  REAL v[W];
  store(v, x);
  if (n > 0) copy_some(p, v, n);
}

ALWAYS long min_(long a, long b) { return a < b ? a : b; }

// NaN passes, because no comparison with it is true.
ALWAYS V clamp(V x, REAL bound) {
  x = x < splat(-bound) ? splat(-bound) : x;
  return x > splat(bound) ? splat(bound) : x;
}

// e^x = scale (1 + rest), where x = n log 2 + r, |r| <= log(2) / 2, scale = 2^n and rest = e^r - 1, by its Taylor series.
template <class T> ALWAYS void exponential(V x, V& scale, V& rest, T);

template <> ALWAYS void exponential(V x, V& scale, V& rest, float) {
  typedef int32_t I __attribute__((vector_size(BYTES)));
  constexpr REAL round = 12582912.0f;  // 1.5 * 2^23: around it, floats are integers
  V shifted = x * REAL(1.44269504f) + round;
  V n = shifted - round;
  V r = x - n * REAL(0.693145752f);  // log 2 in two parts, the first with zeros at its end, so that n times it is exact
  r = r - n * REAL(1.42860677e-6f);
  const REAL terms[] = {720, 120, 24, 6, 2, 1};
  rest = splat(REAL(1) / 5040);
  UNROLL for (int i = 0; i < 6; ++i) rest = rest * r + REAL(1) / terms[i];
  rest = rest * r;
  scale = (V)(((I)shifted << 23) + (I)splat(1));
}

template <> ALWAYS void exponential(V x, V& scale, V& rest, double) {
  typedef int64_t I __attribute__((vector_size(BYTES)));
  constexpr REAL round = 6755399441055744.0;  // 1.5 * 2^52: around it, doubles are integers
  V shifted = x * REAL(1.4426950408889634) + round;
  V n = shifted - round;
  V r = x - n * REAL(0.6931471803691238);
  r = r - n * REAL(1.9082149292705877e-10);
  const REAL terms[] = {6227020800, 479001600, 39916800, 3628800, 362880, 40320, 5040, 720, 120, 24, 6, 2, 1};
  rest = splat(REAL(1.0 / 87178291200));
  UNROLL for (int i = 0; i < 13; ++i) rest = rest * r + REAL(1) / terms[i];
  rest = rest * r;
  scale = (V)(((I)shifted << 52) + (I)splat(1));
}

// tanh as a fraction of two numbers.
template <class T> ALWAYS void tanh_fraction(V x, V& above, V& below, T);

// float: a rational function x p(x^2) / q(x^2), of degrees 5 and 3 in x^2, with the least largest relative error on [0, 7.9] (by
// reweighted least squares); 2.7e-7 with rounding. From there on it is 1, which tanh is to within 2.8e-7.
template <> ALWAYS void tanh_fraction(V x, V& above, V& below, float) {
  constexpr REAL bound = 7.9f;
  x = clamp(x, bound);
  V s = x * x;
  V p = s * REAL(2.4105716092774484e-11) + REAL(-1.490647568191943e-08);
  p = p * s + REAL(9.939273258334667e-06);
  p = p * s + REAL(0.0029921072608433824);
  p = p * s + REAL(0.12984919366836054);
  p = p * s + REAL(0.9999999833230606);
  V q = s * REAL(0.00023808820123138354) + REAL(0.024053135753564214);
  q = q * s + REAL(0.46318237315129906);
  below = q * s + REAL(1);
  above = x * p;
  above = x >= splat(bound) ? below : above;
  above = x <= splat(-bound) ? -below : above;
}

// double: tanh x = m / (m + 2) with m = e^(2x) - 1, without cancellation near zero; 1 from 20 on.
template <> ALWAYS void tanh_fraction(V x, V& above, V& below, double) {
  V scale, rest;
  exponential(clamp(x, 20) * REAL(2), scale, rest, double());
  above = scale * rest + (scale - REAL(1));
  below = above + REAL(2);
}

// sigmoid x = 1 / (1 + e^-x): its denominator, with a small relative error for a gate that is closed, too, because what leaks through it
// adds up over many steps. The product of two must be finite.
ALWAYS V sigmoid_denominator(V x) {
  V scale, rest;
  exponential(clamp(-x, sizeof(REAL) == 4 ? REAL(42) : REAL(340)), scale, rest, REAL());
  return REAL(1) + (scale * rest + scale);
}

ALWAYS V tanh(V x) {
  V above, below;
  tanh_fraction(x, above, below, REAL());
  return above / below;
}

ALWAYS V sigmoid(V x) { return REAL(1) / sigmoid_denominator(x); }

// Two of them with one division, which takes longer than all else together.
ALWAYS void sigmoids(V x, V y, V& of_x, V& of_y) {
  V a = sigmoid_denominator(x), b = sigmoid_denominator(y), inverse = REAL(1) / (a * b);
  of_x = inverse * b, of_y = inverse * a;
}

ALWAYS void sigmoid_and_tanh(V x, V y, V& of_x, V& of_y) {
  V a = sigmoid_denominator(x), above, b;
  tanh_fraction(y, above, b, REAL());
  V inverse = REAL(1) / (a * b);
  of_x = inverse * b, of_y = inverse * a * above;
}

}  // namespace
