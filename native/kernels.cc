// The forward and the backward pass of every cell, for the REAL and the instruction set that this file is compiled for.
//
// The recurrence: z_t = a_t + d_t, a_t = h_{t-1} @ kernel + bias, d_t = x_t @ input (or given). The product of a tile of examples and
// units goes to scratch memory, from where the element-wise part takes it: both are fused as far as the cache is concerned.
#include "cells.h"
#include "drive.h"
#include "product.h"

namespace {

typedef Job<REAL> J;

constexpr long K_BLOCK = 512;        // rows of a panel at once: COLUMNS vectors of them, at most 128 KiB, stay in the L2 cache
constexpr long SUM_BLOCK = 128;      // rows, examples x steps, of one product of the weights' gradients: their da, 32 KiB, stays in the L1 cache
constexpr long PREFETCH_BYTES = 1 << 20;        // bytes of weights from which on the next panel is fetched ahead

long vectors(long hidden) { return (hidden + W - 1) / W; }

// Units are shared out in panels of whole vectors; panel p begins at this one.
long first(long panel, long panels, long hidden) { return vectors(hidden) * panel / panels; }

bool is_valid(const J& j, long t, long row) { return !j.valid || j.valid[t * j.batch + row]; }
bool is_reset(const J& j, long t, long row) { return j.resets && j.resets[t * j.batch + row]; }

bool any_valid(const J& j, long t, long r0, long r1) {
  if (!j.valid) return true;
  for (long row = r0; row < r1; ++row) {
    if (j.valid[t * j.batch + row]) return true;
  }
  return false;
}

// The hidden state that an example enters a step with.
const REAL* entering_h(const J& j, long t, long row) {
  if (is_reset(j, t, row)) return j.start_h + row * j.hidden;
  return t ? j.hs + ((t - 1) * j.batch + row) * j.hidden : j.first_h + row * j.hidden;
}

Rows rows_of_h(const J& j, long t, long r0, long r1) {
  Rows rows{};
  for (long row = r0; row < r1; ++row) rows.at[row - r0] = entering_h(j, t, row);
  return rows;
}

Rows rows_with_stride(const REAL* p, long stride, long count) {
  Rows rows{};
  for (long i = 0; i < count; ++i) rows.at[i] = p + i * stride;
  return rows;
}

// Calls f(r0, r1, i) for tiles of nearly equal height.
long tiles_of(long r0, long r1) { return (r1 - r0 + ROWS - 1) / ROWS; }
template <class F> ALWAYS void tiles(long r0, long r1, F f) {
  const long count = tiles_of(r0, r1);
  for (long i = 0; i < count; ++i) f(r0 + (r1 - r0) * i / count, r0 + (r1 - r0) * (i + 1) / count, i);
}

template <class Cell> struct Pass {
  static constexpr int G = Cell::GATES, KEPT = Cell::KEPT;
  static constexpr int PER_PANEL = G == 1 ? COLUMNS : 1;  // vectors of units of a forward panel
  static constexpr int MADE = KEPT > 0 ? KEPT : 1;        // values that `Cell::gates` makes

  static long forward_panels(long hidden) { return (vectors(hidden) + PER_PANEL - 1) / PER_PANEL; }
  static long backward_panels(long hidden) { return (vectors(hidden) + COLUMNS - 1) / COLUMNS; }
  static long gradient_panels(long hidden) { return (G * hidden + COLUMNS * W - 1) / (COLUMNS * W); }
  static long forward_scratch(long) { return 2 * ROWS * COLUMNS * W; }
  static long backward_scratch(long rows) { return (rows + 2 * ROWS) * COLUMNS * W + COLUMNS * ROWS * MADE * W; }
  static long gradient_scratch() { return 2 * SUM_BLOCK * COLUMNS * W; }
  static long gradient_sums(long hidden, long features) { return gradient_panels(hidden) * (hidden + features + 1) * COLUMNS * W; }

  // ---- forward ----

  // Panel p: [kernel; input] (H + F, vectors of units, G, W).
  static void pack_forward(const J& j, long panel) {
    const long H = j.hidden, K = H + j.features, panels = forward_panels(H);
    const long v0 = first(panel, panels, H), v1 = first(panel + 1, panels, H);
    REAL* p = j.packed + v0 * G * W * K;
    for (long k = 0; k < K; ++k) {
      const REAL* from = k < H ? j.kernel + k * G * H : j.input + (k - H) * G * H;
      for (long v = v0; v < v1; ++v) {
        for (int g = 0; g < G; ++g, p += W) store(p, load(from + g * H + v * W, H - v * W));
      }
    }
    for (long v = v0; v < v1; ++v) {
      for (int g = 0; g < G; ++g) {
        store(j.packed_bias + (v * G + g) * W, j.bias ? load(j.bias + g * H + v * W, H - v * W) : V{});
      }
    }
  }

  // The products of a tile: za, and for a cell that is not additive zd (M, columns, W).
  static ALWAYS void pre_activations(const J& j, long t, long r0, long r1, long v0, long v1, long tile, long tiles, REAL* za, REAL* zd) {
    const long H = j.hidden, F = j.features, M = r1 - r0, N = (v1 - v0) * G;
    const REAL* panel = j.packed + v0 * G * W * (H + F);
    for (long m = 0; m < M; ++m) {
      for (long n = 0; n < N; ++n) store(za + (m * N + n) * W, load(j.packed_bias + (v0 * G + n) * W));
    }
    product(M, N, tile, tiles, za, rows_of_h(j, t, r0, r1), H, panel);
    if (!F) return;
    REAL* to = za;
    if (!Cell::ADDITIVE) {
      to = zd;
      for (long i = 0; i < M * N; ++i) store(zd + i * W, V{});
    }
    product(M, N, tile, tiles, to, rows_with_stride(j.x + (t * j.batch + r0) * F, F, M), F, panel + H * N * W);
  }

  // The gates of one example and one vector of units, from the products of its tile.
  static ALWAYS void gates(const J& j, long t, long row, long v, const REAL* za, const REAL* zd, V* kept) {
    const long H = j.hidden, left = H - v * W;
    V a[G], d[G];
    UNROLL for (int g = 0; g < G; ++g) {
      a[g] = load(za + g * W);
      if (!Cell::ADDITIVE) d[g] = j.features ? load(zd + g * W) : V{};
      if (j.d) {
        V given = load(j.d + (t % j.d_steps * j.batch + row) * G * H + g * H + v * W, left);
        if (Cell::ADDITIVE) a[g] += given;
        else d[g] += given;
      }
    }
    Cell::gates(a, d, Cell::EXTRA ? load(j.extra + v * W, left) : V{}, kept);
  }

  static ALWAYS REAL* kept_at(const J& j, long t, long row, long v) {
    const long u = v * W;
    return j.gates + (((t * j.batch + row) * (padded(j.hidden) / PAD) + u / PAD) * KEPT) * PAD + u % PAD;
  }

  static ALWAYS V entering_c(const J& j, long t, long row, long v, const REAL* before) {
    return is_reset(j, t, row) ? load(j.start_c + row * j.hidden + v * W, j.hidden - v * W) : load(before);
  }

  static void forward(const J& j, long t, long r0, long r1, long p0, long p1, REAL* scratch) {
    const long H = j.hidden, Hp = padded(H), panels = forward_panels(H);
    const bool far = (H + j.features) * G * H * long(sizeof(REAL)) > PREFETCH_BYTES;
    REAL *za = scratch, *zd = scratch + ROWS * COLUMNS * W;
    for (long p = p0; p < p1; ++p) {
      const long v0 = first(p, panels, H), v1 = first(p + 1, panels, H), N = (v1 - v0) * G;
      tiles(r0, r1, [&](long a, long b, long i) __attribute__((always_inline)) {
        if (any_valid(j, t, a, b)) pre_activations(j, t, a, b, v0, v1, i, far ? tiles_of(r0, r1) : 0, za, zd);
        for (long row = a; row < b; ++row) {
          for (long v = v0; v < v1; ++v) {
            const long at = t * j.batch + row, left = H - v * W, z = ((row - a) * N + (v - v0) * G) * W;
            V c = {}, h = {};
            if (Cell::CELL) c = entering_c(j, t, row, v, j.c + row * Hp + v * W);
            if (is_valid(j, t, row)) {
              V kept[MADE];
              gates(j, t, row, v, za + z, zd + z, kept);
              if (!Cell::CELL && !Cell::ADDITIVE) h = load(entering_h(j, t, row) + v * W, left);
              h = Cell::output(kept, h, c);
              if (KEPT && j.gates) {
                REAL* to = kept_at(j, t, row, v);
                UNROLL for (int i = 0; i < KEPT; ++i) store(to + i * PAD, kept[i]);
              }
            } else {
              h = load(entering_h(j, t, row) + v * W, left);
            }
            store(j.hs + at * H + v * W, h, left);
            if (Cell::CELL) store(j.c + row * Hp + v * W, c);
            if (Cell::CELL && j.cs) store(j.cs + at * Hp + v * W, c);
          }
        }
      });
    }
  }

  // ---- backward ----

  // Panel p: the kernel's transpose (G * H, vectors of units, W).
  static void pack_backward(const J& j, long panel) {
    const long H = j.hidden, K = G * H, panels = backward_panels(H);
    const long v0 = first(panel, panels, H), N = first(panel + 1, panels, H) - v0;
    REAL* p = j.packed_transpose + v0 * K * W;
    for (long v = 0; v < N; ++v) {
      for (long k0 = 0; k0 < K; k0 += 64) {  // in blocks, so that what is written stays in the cache
        for (long lane = 0; lane < W; ++lane) {
          const long unit = (v0 + v) * W + lane, k1 = min_(K, k0 + 64);
          for (long k = k0; k < k1; ++k) p[(k * N + v) * W + lane] = unit < H ? j.kernel[unit * K + k] : 0;
        }
      }
    }
  }

  static ALWAYS REAL* da_at(const J& j, long t, long row) { return j.da + (t % j.da_steps * j.batch + row) * G * j.hidden; }
  static ALWAYS REAL* dd_at(const J& j, long t, long row) { return j.dd + (t % j.dd_steps * j.batch + row) * G * j.hidden; }

  static void backward(const J& j, long t, long r0, long r1, long p0, long p1, REAL* scratch, REAL* dextra) {
    const long H = j.hidden, K = G * H, panels = backward_panels(H);
    const bool far = G * H * H * long(sizeof(REAL)) > PREFETCH_BYTES;
    REAL* const recomputed = scratch + (r1 - r0 + 2 * ROWS) * COLUMNS * W;
    for (long p = p0; p < p1; ++p) {
      const long v0 = first(p, panels, H), v1 = first(p + 1, panels, H), N = v1 - v0;
      for (long k0 = 0; k0 < K; k0 += K_BLOCK) {
        const long k1 = min_(K, k0 + K_BLOCK);
        tiles(r0, r1, [&](long a, long b, long i) __attribute__((always_inline)) {
          REAL* z = scratch + (a - r0) * COLUMNS * W;
          if (!k0) {
            for (long i = 0; i < (b - a) * N; ++i) store(z + i * W, V{});
          }
          if (t + 1 < j.steps && any_valid(j, t + 1, a, b)) {
            product(b - a, N, i, far ? tiles_of(r0, r1) : 0, z, rows_with_stride(da_at(j, t + 1, a) + k0, K, b - a), k1 - k0,
                    j.packed_transpose + (v0 * K + k0 * N) * W);
          }
          if (k1 < K) return;
          if (KEPT && !j.gates && t >= 0 && any_valid(j, t, a, b)) recompute_gates(j, t, a, b, v0, v1, scratch, r1 - r0, recomputed);
          for (long row = a; row < b; ++row) {
            for (long v = v0; v < v1; ++v) {
              const REAL* made = recomputed + ((v - v0) * ROWS + row - a) * MADE * W;
              backward_elementwise(j, t, row, v, load(z + ((row - a) * N + v - v0) * W), made, dextra);
            }
          }
        });
      }
    }
  }

  // The gates of a tile, computed again: (COLUMNS, ROWS, MADE, W).
  static void recompute_gates(const J& j, long t, long r0, long r1, long v0, long v1, REAL* scratch, long rows, REAL* recomputed) {
    REAL *za = scratch + rows * COLUMNS * W, *zd = za + ROWS * COLUMNS * W;
    for (long v = v0; v < v1; ++v) {
      pre_activations(j, t, r0, r1, v, v + 1, 0, 0, za, zd);
      for (long row = r0; row < r1; ++row) {
        const long z = (row - r0) * G * W;
        V kept[MADE];
        gates(j, t, row, v, za + z, zd + z, kept);
        UNROLL for (int i = 0; i < MADE; ++i) store(recomputed + (((v - v0) * ROWS + row - r0) * MADE + i) * W, kept[i]);
      }
    }
  }

  // One example and one vector of units; dh is the gradient through the product of step t + 1.
  static ALWAYS void backward_elementwise(const J& j, long t, long row, long v, V dh, const REAL* made, REAL* dextra) {
    const long H = j.hidden, Hp = padded(H), u = v * W, left = H - u, at = t * j.batch + row;
    REAL *carry_h = j.carry_h + row * Hp + u, *carry_c = Cell::CELL ? j.carry_c + row * Hp + u : nullptr;
    V dc = {};
    if (Cell::CELL) dc = load(carry_c);
    dh += load(carry_h);
    if (t + 1 < j.steps && is_reset(j, t + 1, row)) {
      REAL* start = j.dstart_h + row * H + u;
      store(start, load(start, left) + dh, left);
      dh = V{};
      if (Cell::CELL) {
        start = j.dstart_c + row * H + u;
        store(start, load(start, left) + dc, left);
        dc = V{};
      }
    }
    if (t < 0) {
      store(j.dfirst_h + row * H + u, dh, left);
      if (Cell::CELL) store(j.dfirst_c + row * H + u, dc, left);
      return;
    }
    dh += load(j.dhs + at * H + u, left);
    V da[G], dd[G];
    if (is_valid(j, t, row)) {
      V kept[MADE], c_before = {}, h_before = {}, h = {}, d_extra = {};
      if (KEPT) {
        const REAL* from = j.gates ? kept_at(j, t, row, v) : made;
        const long stride = j.gates ? PAD : W;
        UNROLL for (int i = 0; i < KEPT; ++i) kept[i] = load(from + i * stride);
      } else {
        h = load(j.hs + at * H + u, left);
      }
      if (Cell::CELL) {
        c_before = is_reset(j, t, row) ? load(j.start_c + row * H + u, left)
                   : t ? load(j.cs + (at - j.batch) * Hp + u) : load(j.first_c + row * H + u, left);
      }
      if (!Cell::ADDITIVE) h_before = load(entering_h(j, t, row) + u, left);
      V direct = Cell::backward(dh, dc, kept, c_before, h_before, h, da, dd, &d_extra);
      store(carry_h, direct);
      if (Cell::EXTRA) store(dextra + u, load(dextra + u) + d_extra);
    } else {
      UNROLL for (int g = 0; g < G; ++g) da[g] = dd[g] = V{};
      store(carry_h, dh);
    }
    if (Cell::CELL) store(carry_c, dc);
    REAL *to_a = da_at(j, t, row) + u, *to_d = Cell::ADDITIVE ? nullptr : dd_at(j, t, row) + u;
    UNROLL for (int g = 0; g < G; ++g) {
      store(to_a + g * H, da[g], left);
      if (!Cell::ADDITIVE) store(to_d + g * H, dd[g], left);
    }
  }

  // ---- gradients of the weights: sums over steps and examples of [h_{t-1}, 1]^T da_t and x_t^T du_t ----

  static void weight_gradient(const J& j, long panel, long t0, long t1, long r0, long r1, REAL* sums, REAL* scratch) {
    const long H = j.hidden, F = j.input_features, columns = G * H, column = panel * COLUMNS * W;
    REAL *dkernel = sums + panel * (H + F + 1) * COLUMNS * W, *dinput = dkernel + H * COLUMNS * W, *dbias = dinput + F * COLUMNS * W;
    const bool apart = F && j.du != j.da;
    REAL *da = scratch, *dd = apart ? scratch + SUM_BLOCK * COLUMNS * W : da;
    const REAL *h[SUM_BLOCK], *x[SUM_BLOCK];
    long count = 0;
    V total[COLUMNS] = {};
    auto flush = [&] {
      tiles(0, H, [&](long a, long b, long) { transposed(b - a, dkernel + a * COLUMNS * W, h, a, count, da); });
      tiles(0, F, [&](long a, long b, long) { transposed(b - a, dinput + a * COLUMNS * W, x, a, count, dd); });
      UNROLL for (int n = 0; n < COLUMNS; ++n) store(dbias + n * W, load(dbias + n * W) + total[n]), total[n] = V{};
      count = 0;
    };
    for (long t = t0; t < t1; ++t) {
      for (long row = r0; row < r1; ++row) {
        if (!is_valid(j, t, row)) continue;
        h[count] = entering_h(j, t, row);
        x[count] = j.x + (t * j.batch + row) * F;
        const REAL *from_a = da_at(j, t, row) + column, *from_d = apart ? j.du + (t % j.du_steps * j.batch + row) * columns + column : nullptr;
        UNROLL for (int n = 0; n < COLUMNS; ++n) {
          const long left = columns - column - n * W;
          V v = load(from_a + n * W, left);
          store(da + (count * COLUMNS + n) * W, v);
          total[n] += v;
          if (apart) store(dd + (count * COLUMNS + n) * W, load(from_d + n * W, left));
        }
        if (++count == SUM_BLOCK) flush();
      }
    }
    if (count) flush();
  }

  static void reduce_weight_gradient(const J& j, long panel, REAL* const* sums, long count, REAL* dkernel, REAL* dinput, REAL* dbias) {
    const long H = j.hidden, F = j.input_features, columns = G * H;
    for (long m = 0; m <= H + F; ++m) {
      REAL* row = m < H ? dkernel + m * columns : m < H + F ? dinput + (m - H) * columns : dbias;
      for (int n = 0; n < COLUMNS; ++n) {
        const long u = (panel * COLUMNS + n) * W, left = columns - u;
        if (left <= 0) break;
        V sum = {};
        for (long i = 0; i < count; ++i) sum += load(sums[i] + ((panel * (H + F + 1) + m) * COLUMNS + n) * W);
        store(row + u, sum, left);
      }
    }
  }

  static constexpr Kernels<REAL> table() {
    return {G, KEPT, Cell::CELL, Cell::ADDITIVE, Cell::EXTRA, W, DRIVE_TABLES, forward_panels, backward_panels, gradient_panels, forward_scratch,
            backward_scratch, gradient_scratch, gradient_sums, pack_forward, pack_backward, forward, backward, weight_gradient, reduce_weight_gradient};
  }
};

// A constant, so that nothing runs when the library is loaded: this processor may not have these instructions.
constexpr Kernels<REAL> TABLES[CELLS] = {
    Pass<Lstm>::table(), Pass<Gru>::table(), Pass<Elman<TANH>>::table(), Pass<Elman<SIGMOID>>::table(), Pass<Elman<RELU>>::table(),
    Pass<Elman<IDENTITY>>::table(), Pass<Elman<MODRELU>>::table()};

}  // namespace

// KERNELS is the name that the build gives to this compilation, such as kernels_f32_v3.
extern const Kernels<REAL>* const KERNELS;
const Kernels<REAL>* const KERNELS = TABLES;
