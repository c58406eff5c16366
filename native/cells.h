// What distinguishes the cells: the element-wise part of a step and its derivative, for one vector of units of one example.
//
// `a` are the recurrent pre-activations, `d` the driven input; an additive cell receives their sum in `a`. `gates` computes the activated
// gates from them; the first KEPT of its values are stored for the backward pass, or recomputed there. `output` computes h, and updates c
// in place. `backward` receives dh and computes da and dd; `dc` is the gradient of c after the step on entry and of c before it on return;
// it returns the gradient of h before the step, without the term through the product.
#pragma once
#include "job.h"
#include "vector.h"

namespace {

struct Lstm {  // gates i, f, g, o
  static constexpr int GATES = 4, KEPT = 4;
  static constexpr bool CELL = true, ADDITIVE = true, EXTRA = false;

  static ALWAYS void gates(const V* a, const V*, V, V* kept) {
    sigmoids(a[0], a[1], kept[0], kept[1]);
    sigmoid_and_tanh(a[3], a[2], kept[3], kept[2]);
  }
  static ALWAYS V output(const V* kept, V, V& c) {
    c = kept[1] * c + kept[0] * kept[2];
    return kept[3] * tanh(c);
  }
  static ALWAYS V backward(V dh, V& dc, const V* kept, V c_before, V, V, V* da, V*, V*) {
    V i = kept[0], f = kept[1], g = kept[2], o = kept[3], squashed = tanh(f * c_before + i * g);
    dc += dh * o * (REAL(1) - squashed * squashed);
    da[0] = dc * g * i * (REAL(1) - i);
    da[1] = dc * c_before * f * (REAL(1) - f);
    da[2] = dc * i * (REAL(1) - g * g);
    da[3] = dh * squashed * o * (REAL(1) - o);
    dc *= f;
    return V{};
  }
};

struct Gru {  // gates r, z, n; n = tanh(d_n + r a_n)
  static constexpr int GATES = 3, KEPT = 4;
  static constexpr bool CELL = false, ADDITIVE = false, EXTRA = false;

  static ALWAYS void gates(const V* a, const V* d, V, V* kept) {
    sigmoids(a[0] + d[0], a[1] + d[1], kept[0], kept[1]);
    kept[2] = tanh(d[2] + kept[0] * a[2]), kept[3] = a[2];
  }
  static ALWAYS V output(const V* kept, V h_before, V&) { return (REAL(1) - kept[1]) * kept[2] + kept[1] * h_before; }
  static ALWAYS V backward(V dh, V&, const V* kept, V, V h_before, V, V* da, V* dd, V*) {
    V r = kept[0], z = kept[1], n = kept[2], dn = dh * (REAL(1) - z) * (REAL(1) - n * n);
    da[0] = dd[0] = dn * kept[3] * r * (REAL(1) - r);
    da[1] = dd[1] = dh * (h_before - n) * z * (REAL(1) - z);
    da[2] = dn * r, dd[2] = dn;
    return dh * z;
  }
};

// h = f(a + d), with a derivative that is a function of h.
template <int KIND> struct Elman {
  static constexpr int GATES = 1, KEPT = 0;
  static constexpr bool CELL = false, ADDITIVE = true, EXTRA = KIND == MODRELU;

  static ALWAYS void gates(const V* a, const V*, V extra, V* kept) {
    V z = a[0], zero = {};
    if (KIND == TANH) z = tanh(z);
    if (KIND == SIGMOID) z = sigmoid(z);
    if (KIND == RELU) z = z < zero ? zero : z;
    if (KIND == MODRELU) {  // sign(z) relu(|z| + bias); the sign of NaN is NaN
      V size = (z < zero ? -z : z) + extra;
      size = size < zero ? zero : size;
      z = z > zero ? size : z < zero ? -size : z == zero ? zero : z;
    }
    kept[0] = z;
  }
  static ALWAYS V output(const V* kept, V, V&) { return kept[0]; }
  static ALWAYS V backward(V dh, V&, const V*, V, V, V h, V* da, V*, V* dextra) {
    V zero = {}, one = splat(1);
    if (KIND == TANH) dh *= one - h * h;
    if (KIND == SIGMOID) dh *= h * (one - h);
    if (KIND == RELU) dh = h > zero ? dh : zero;
    if (KIND == MODRELU) {
      dh = h != zero ? dh : zero;
      *dextra += h < zero ? -dh : dh;
    }
    da[0] = dh;
    return V{};
  }
};

}  // namespace
