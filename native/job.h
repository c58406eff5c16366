// What a call of the native kernels works on. All arrays are row-major, as in JAX; those that a call does not have are null.
//
// T steps, B examples of a batch, F features, H hidden units, G gates. Arrays marked "padded" have their last axis padded to a
// multiple of PAD, so that vectors of any width can be stored whole.
#pragma once
#include <cstdint>

constexpr long PAD = 16;

static constexpr long padded(long hidden) { return (hidden + PAD - 1) / PAD * PAD; }

template <class Real> struct Job {
  long steps, batch, features, hidden;  // features are zero where the input is not projected at every step

  const Real *x, *d;               // (T, B, F), the input; (T, B, G*H), an input that is projected already
  const Real *input, *kernel;      // (F, G*H), (H, G*H)
  const Real *bias, *extra;        // (G*H), (H): the bias of modReLU
  const Real *first_h, *first_c;   // (B, H), the state before the first step
  const Real *start_h, *start_c;   // (B, H), the state to which resets go back
  const uint8_t *resets, *valid;   // (T, B)

  Real* hs;                        // (T, B, H), the hidden state after every step
  Real* cs;                        // (T, B, H) padded, the cell state after every step
  Real* gates;                     // (T, B, padded H / PAD, kept values, PAD): what `Cell::KEPT` counts
  Real* c;                         // (B, H) padded, the cell state, updated in place
  Real *packed, *packed_bias;      // the weights in panels, see `pack_forward`

  const Real* dhs;                 // (T, B, H), the gradient with respect to hs
  Real *da, *dd;                   // (steps kept, B, G*H), with respect to the recurrent product and to d; one array if additive
  long da_steps, dd_steps;         // how many steps of them are kept, at most T
  Real *carry_h, *carry_c;         // (B, H) padded: what the gradient of a state gets without the term through the product
  Real *packed_transpose;          // the kernel's transpose in panels, see `pack_backward`
  Real *dfirst_h, *dfirst_c;       // (B, H)
  Real *dstart_h, *dstart_c;       // (B, H)

  long input_features;             // of x, also where it is projected ahead: the input kernel's gradient is made of it
};

// The functions of one kind of cell, compiled for one instruction set. `r0` and `r1` are examples, `p0` and `p1` panels.
template <class Real> struct Kernels {
  int gates, kept;                 // G; values kept of every unit and step for the backward pass
  bool cell, additive, extra;      // whether there is a cell state, whether one gradient serves a and d, whether `extra` is used
  int lanes;                       // of a vector

  long (*forward_panels)(long hidden);
  long (*backward_panels)(long hidden);
  long (*gradient_panels)(long hidden);

  long (*forward_scratch)(long rows);   // how many numbers of scratch memory a call needs
  long (*backward_scratch)(long rows);
  long (*gradient_scratch)();
  long (*gradient_sums)(long hidden, long features);

  void (*pack_forward)(const Job<Real>&, long panel);
  void (*pack_backward)(const Job<Real>&, long panel);
  // One step; panels [p0, p1) of units.
  void (*forward)(const Job<Real>&, long t, long r0, long r1, long p0, long p1, Real* scratch);
  // One step, or, where t is -1, the gradient of the first state. `dextra` (H padded) is added to.
  void (*backward)(const Job<Real>&, long t, long r0, long r1, long p0, long p1, Real* scratch, Real* dextra);
  // A panel's share of the weights' gradients over steps [t0, t1), added to `sums`.
  void (*weight_gradient)(const Job<Real>&, long panel, long t0, long t1, long r0, long r1, Real* sums, Real* scratch);
  // A panel of the gradients from `count` sums.
  void (*reduce_weight_gradient)(const Job<Real>&, long panel, Real* const* sums, long count, Real* dkernel, Real* dinput, Real* dbias);
};

enum CellKind : int { LSTM, GRU, TANH, SIGMOID, RELU, IDENTITY, MODRELU, CELLS };
