// Products in tiles of registers: a few rows times a panel of a few vectors.
//
// A panel holds K rows of N vectors, one after the other. A tile has M <= ROWS rows and N <= COLUMNS vectors: M x N accumulators stay in
// registers while the panel passes. Rows are given by pointers, since a step's rows may come from several places (a reset row from
// the start).
#pragma once
#include "vector.h"

namespace {

struct Rows {
  const REAL* at[ROWS];
};

// z (M, N, W) += rows (M, K) @ panel (K, N, W). LINES: how many cache lines of memory from `ahead` on are prefetched for every k.
template <int M, int N, int LINES> void product(REAL* z, const Rows& rows, long K, const REAL* panel, const char* ahead) {
  V sum[M][N];
  const REAL* a[M];
  UNROLL for (int m = 0; m < M; ++m) a[m] = rows.at[m];
  UNROLL for (int m = 0; m < M; ++m) {
    UNROLL for (int n = 0; n < N; ++n) sum[m][n] = load(z + (m * N + n) * W);
  }
  for (long k = 0; k < K; ++k, panel += N * W) {
    UNROLL for (int i = 0; i < LINES; ++i) __builtin_prefetch(ahead + 64 * i, 0, 2);
    ahead += 64 * LINES;
    V w[N];
    UNROLL for (int n = 0; n < N; ++n) w[n] = load(panel + n * W);
    UNROLL for (int m = 0; m < M; ++m) {
      V s = splat(a[m][k]);
      UNROLL for (int n = 0; n < N; ++n) sum[m][n] += s * w[n];
    }
  }
  UNROLL for (int m = 0; m < M; ++m) {
    UNROLL for (int n = 0; n < N; ++n) store(z + (m * N + n) * W, sum[m][n]);
  }
}

// z (M, COLUMNS, W) += columns [m0, m0 + M) of rows (K, .), transposed, @ panel (K, COLUMNS, W).
template <int M> void transposed(REAL* z, const REAL* const* rows, long m0, long K, const REAL* panel) {
  V sum[M][COLUMNS];
  UNROLL for (int m = 0; m < M; ++m) {
    UNROLL for (int n = 0; n < COLUMNS; ++n) sum[m][n] = V{};
  }
  for (long k = 0; k < K; ++k, panel += COLUMNS * W) {
    const REAL* a = rows[k] + m0;
    V w[COLUMNS];
    UNROLL for (int n = 0; n < COLUMNS; ++n) w[n] = load(panel + n * W);
    UNROLL for (int m = 0; m < M; ++m) {
      V s = splat(a[m]);
      UNROLL for (int n = 0; n < COLUMNS; ++n) sum[m][n] += s * w[n];
    }
  }
  // The sum of these rows is added to what there is at once: partial sums lose less than one long sum.
  UNROLL for (int m = 0; m < M; ++m) {
    UNROLL for (int n = 0; n < COLUMNS; ++n) {
      REAL* to = z + (m * COLUMNS + n) * W;
      store(to, load(to) + sum[m][n]);
    }
  }
}

typedef void Product(REAL*, const Rows&, long, const REAL*, const char*);
typedef void Transposed(REAL*, const REAL* const*, long, long, const REAL*);

template <int LINES, int N> Product* product_of(long M) {
  switch (M) {
    case 1: return product<1, N, LINES>;
    case 2: return product<2, N, LINES>;
    case 3: return product<ROWS < 3 ? ROWS : 3, N, LINES>;
    case 4: return product<ROWS < 4 ? ROWS : 4, N, LINES>;
    case 5: return product<ROWS < 5 ? ROWS : 5, N, LINES>;
    default: return product<ROWS, N, LINES>;
  }
}

template <int LINES> Product* product_of(long M, long N) {
  switch (N) {
    case 1: return product_of<LINES, 1>(M);
    case 2: return product_of<LINES, 2>(M);
    case 3: return product_of<LINES, 3>(M);
    default: return product_of<LINES, 4>(M);
  }
}

// Of tile `i` of `tiles`: each prefetches its share of the next panel, which follows in memory, if there are any tiles to share it.
void product(long M, long N, long i, long tiles, REAL* z, const Rows& rows, long K, const REAL* panel) {
  const long lines = N * BYTES / 64, share = tiles ? (lines + tiles - 1) / tiles : 0;  // for every k
  const char* ahead = reinterpret_cast<const char*>(panel + K * N * W) + i * share * K * 64;
  if (!share || i * share >= lines) return product_of<0>(M, N)(z, rows, K, panel, ahead);
  if (share == 1) return product_of<1>(M, N)(z, rows, K, panel, ahead);
  if (share == 2) return product_of<2>(M, N)(z, rows, K, panel, ahead);
  product_of<4>(M, N)(z, rows, K, panel, ahead);
}

void transposed(long M, REAL* z, const REAL* const* rows, long m0, long K, const REAL* panel) {
  switch (M) {
    case 1: return transposed<1>(z, rows, m0, K, panel);
    case 2: return transposed<2>(z, rows, m0, K, panel);
    case 3: return transposed<ROWS < 3 ? ROWS : 3>(z, rows, m0, K, panel);
    case 4: return transposed<ROWS < 4 ? ROWS : 4>(z, rows, m0, K, panel);
    case 5: return transposed<ROWS < 5 ? ROWS : 5>(z, rows, m0, K, panel);
    default: return transposed<ROWS>(z, rows, m0, K, panel);
  }
}

}  // namespace
