// The drives, forward and backward: element-wise recurrences in time, of every example and column (unit of a gate) by itself.
//
//   v_t = mu v_{t-1} + s u_t,  m_t = beta m_{t-1} + (1 - beta) u_t^2,  d_t = v_t / sqrt(m_t + eps)
//
// Adam has both states, RMSProp has m alone (mu is zero), Momentum v alone (d_t = v_t). u_t is given, or x_t @ input of a few features.
// With g = dL/dd_t, r = (m_t + eps)^(-1/2), and dv, dm the gradients of v_t and m_t:
//
//   dv += g r,  dm -= g v_t r^3 / 2,  du_t = s dv + 2 (1 - beta) u_t dm,  dv <- mu dv,  dm <- beta dm.
#pragma once
#include "job.h"
#include "vector.h"

namespace {

// x^(-1/2). float: a first guess from the exponent, good to 3.5 %, then one step of third order and one of second, which together take
// a fifth of the time of a root and a division.
template <class T> ALWAYS V inverse_root(V x, T);

template <> ALWAYS V inverse_root(V x, float) {
  typedef int32_t I __attribute__((vector_size(BYTES)));
  I guess = 0x5f3759df - ((I)x >> 1);
  V y = (V)guess, zero = {};
  V rest = REAL(1) - (x * y) * y;
  y += y * rest * (rest * REAL(0.375) + REAL(0.5));
  rest = REAL(1) - (x * y) * y;
  y += y * rest * REAL(0.5);
  const REAL infinity = REAL(__builtin_inf());
  y = x == splat(infinity) ? zero : y;
  return x > zero ? y : x == zero ? splat(infinity) : splat(REAL(__builtin_nan("")));
}

template <> ALWAYS V inverse_root(V x, double) {
  REAL lanes[W];
  store(lanes, x);
  for (int i = 0; i < W; ++i) lanes[i] = REAL(1) / REAL(__builtin_sqrt(lanes[i]));
  return load(lanes);
}

template <bool VELOCITY, bool MOMENTS> struct DrivePass {
  typedef DriveJob<REAL> J;
  static constexpr int STATES = VELOCITY + MOMENTS, MOMENT = VELOCITY;  // states of a column; which of them m is
  static constexpr int SUMS = 4;                                        // hyper-parameters, whose gradients come before the input's

  struct Coefficients {
    V mu, step, beta, eps;
    Coefficients(const J& j, long c, long left) {
      mu = VELOCITY ? load(j.mu + c, left) : V{};
      step = load(j.step_size + c, left);
      beta = MOMENTS ? load(j.beta + c, left) : V{};
      eps = MOMENTS ? load(j.eps + c, left) : V{};
    }
  };

  static ALWAYS V projected(const J& j, long t, long row, long c, long left) {
    const long at = t * j.batch + row;
    if (j.u) return load(j.u + at * j.columns + c, left);
    V u = {};
    for (long f = 0; f < j.features; ++f) u += j.x[at * j.features + f] * load(j.input + f * j.columns + c, left);
    return u;
  }

  // The state that a step is entered with.
  static ALWAYS void enter(const J& j, long t, long row, long c, long left, V& v, V& m) {
    if (!j.resets || !j.resets[t * j.batch + row]) return;
    if (VELOCITY) v = load(j.start_v + row * j.columns + c, left);
    if (MOMENTS) m = load(j.start_m + row * j.columns + c, left);
  }

  static ALWAYS V velocity(const Coefficients& k, V u, V before) { return VELOCITY ? k.mu * before + k.step * u : k.step * u; }

  static ALWAYS void advance(const Coefficients& k, V u, V& v, V& m) {
    v = velocity(k, u, v);
    if (MOMENTS) m = k.beta * m + (REAL(1) - k.beta) * u * u;
  }

  // Steps [t0, t1) of examples [r0, r1) and columns [c0, c1), from a state (B, STATES, G * H), to d and, unless null, a state.
  static void forward(const J& j, long t0, long t1, long r0, long r1, long c0, long c1, const REAL* from, REAL* to) {
    const long N = j.columns;
    for (long row = r0; row < r1; ++row) {
      for (long c = c0; c < c1; c += W) {
        const long left = c1 - c, at = row * STATES * N + c;
        const Coefficients k(j, c, left);
        V v = VELOCITY ? load(from + at, left) : V{}, m = MOMENTS ? load(from + at + MOMENT * N, left) : V{};
        for (long t = t0; t < t1; ++t) {
          enter(j, t, row, c, left, v, m);
          if (j.valid && !j.valid[t * j.batch + row]) continue;
          advance(k, projected(j, t, row, c, left), v, m);
          const V d = MOMENTS ? v * inverse_root(m + k.eps, REAL()) : v;
          store(j.driven + (t % j.driven_steps * j.batch + row) * N + c, d, left);
        }
        if (!to) continue;
        if (VELOCITY) store(to + at, v, left);
        if (MOMENTS) store(to + at + MOMENT * N, m, left);
      }
    }
  }

  static ALWAYS void add(REAL* to, V value, long left) { store(to, load(to, left) + value, left); }

  // The same steps backward, from dL/dd to du, where it is kept, and `j.dstates`. `sums`, unless null, is added to.
  static void backward(const J& j, long t0, long t1, long r0, long r1, long c0, long c1, const REAL* from, REAL* sums) {
    const long N = j.columns, B = j.batch, F = j.features;
    V v_before[DRIVE_STEPS], m_before[DRIVE_STEPS], us[DRIVE_STEPS], roots[DRIVE_STEPS];  // in the L1 cache
    for (long row = r0; row < r1; ++row) {
      for (long c = c0; c < c1; c += W) {
        const long left = c1 - c, at = row * STATES * N + c;
        const Coefficients k(j, c, left);
        V v = VELOCITY ? load(from + at, left) : V{}, m = MOMENTS ? load(from + at + MOMENT * N, left) : V{};
        for (long t = t0; t < t1; ++t) {
          enter(j, t, row, c, left, v, m);
          if (j.valid && !j.valid[t * B + row]) continue;
          const long i = t - t0;
          v_before[i] = v, m_before[i] = m, us[i] = projected(j, t, row, c, left);
          advance(k, us[i], v, m);
          if (MOMENTS) roots[i] = inverse_root(m + k.eps, REAL());
        }
        REAL* const carry = j.dstates + at;
        V dv = VELOCITY ? load(carry, left) : V{}, dm = MOMENTS ? load(carry + MOMENT * N, left) : V{};
        V dmu = {}, dstep = {}, dbeta = {}, deps = {};
        for (long t = t1 - 1; t >= t0; --t) {
          const long i = t - t0;
          V du = {};
          if (!j.valid || j.valid[t * B + row]) {
            const V g = load(j.ddriven + (t % j.ddriven_steps * B + row) * N + c, left), u = us[i];
            if (MOMENTS) {
              const V now = velocity(k, u, v_before[i]);
              const V r = roots[i], half = REAL(0.5) * ((g * r) * (now * r) * r);  // finite where r^3 alone is not
              dv += g * r, dm -= half, deps -= half;
              dbeta += (m_before[i] - u * u) * dm;
            } else {
              dv += g;
            }
            du = k.step * dv;
            if (MOMENTS) du += REAL(2) * (REAL(1) - k.beta) * u * dm;
            dstep += u * dv, dmu += v_before[i] * dv;
            dv = VELOCITY ? k.mu * dv : V{}, dm = k.beta * dm;
          }
          us[i] = du;
          if (j.du) store(j.du + (t % j.du_steps * B + row) * N + c, du, left);
          if (j.resets && j.resets[t * B + row]) {
            if (VELOCITY) add(j.dstart_states + at, dv, left);
            if (MOMENTS) add(j.dstart_states + at + MOMENT * N, dm, left);
            dv = dm = V{};
          }
        }
        if (VELOCITY) store(carry, dv, left);
        if (MOMENTS) store(carry + MOMENT * N, dm, left);
        if (!sums) continue;
        if (VELOCITY) add(sums + c, dmu, left);
        add(sums + N + c, dstep, left);
        if (MOMENTS) add(sums + 2 * N + c, dbeta, left), add(sums + 3 * N + c, deps, left);
        for (long f = 0; f < F; ++f) {
          V sum = {};
          for (long t = t0; t < t1; ++t) {
            if (!j.valid || j.valid[t * B + row]) sum += j.x[(t * B + row) * F + f] * us[t - t0];
          }
          add(sums + (SUMS + f) * N + c, sum, left);
        }
      }
    }
  }

  static constexpr DriveKernels<REAL> table() { return {VELOCITY, MOMENTS, SUMS, forward, backward}; }
};

constexpr DriveKernels<REAL> DRIVE_TABLES[DRIVES] = {DrivePass<true, true>::table(), DrivePass<false, true>::table(),
                                                     DrivePass<true, false>::table()};

}  // namespace
