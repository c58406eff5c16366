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

// z (M, N, W) += rows (M, K) @ panel (K, N, W). AHEAD: prefetch the next panel, which follows in memory.
template <int M, int N, bool AHEAD> void product(REAL* z, const Rows& rows, long K, const REAL* panel) {
  V sum[M][N];
  const REAL* a[M];
  UNROLL for (int m = 0; m < M; ++m) a[m] = rows.at[m];
  UNROLL for (int m = 0; m < M; ++m) {
    UNROLL for (int n = 0; n < N; ++n) sum[m][n] = load(z + (m * N + n) * W);
  }
  const REAL* next = panel + K * N * W;
  for (long k = 0; k < K; ++k, panel += N * W) {
    if (AHEAD) {
      UNROLL for (int n = 0; n < N * BYTES; n += 64) __builtin_prefetch(reinterpret_cast<const char*>(next) + n, 0, 2);
      next += N * W;
    }
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

typedef void Product(REAL*, const Rows&, long, const REAL*);
typedef void Transposed(REAL*, const REAL* const*, long, long, const REAL*);

template <bool AHEAD, int N> Product* product_of(long M) {
  switch (M) {
    case 1: return product<1, N, AHEAD>;
    case 2: return product<2, N, AHEAD>;
    case 3: return product<ROWS < 3 ? ROWS : 3, N, AHEAD>;
    case 4: return product<ROWS < 4 ? ROWS : 4, N, AHEAD>;
    case 5: return product<ROWS < 5 ? ROWS : 5, N, AHEAD>;
    default: return product<ROWS, N, AHEAD>;
  }
}

template <bool AHEAD> Product* product_of(long M, long N) {
  switch (N) {
    case 1: return product_of<AHEAD, 1>(M);
    case 2: return product_of<AHEAD, 2>(M);
    case 3: return product_of<AHEAD, 3>(M);
    default: return product_of<AHEAD, 4>(M);
  }
}

void product(long M, long N, bool ahead, REAL* z, const Rows& rows, long K, const REAL* panel) {
  (ahead ? product_of<true>(M, N) : product_of<false>(M, N))(z, rows, K, panel);
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
