// What a call of the native kernels works on. All arrays are row-major, as in JAX; those that a call does not have are null.
//
// T steps, B examples of a batch, F features, H hidden units, G gates. Arrays marked "padded" have their last axis padded to a
// multiple of PAD, so that vectors of any width can be stored whole.
#pragma once
#include <cstdint>

constexpr long PAD = 16;

static constexpr long padded(long hidden) { return (hidden + PAD - 1) / PAD * PAD; }

// A drive after the projection; see drive.h.
template <class Real> struct DriveJob {
  long steps, batch, columns, features;           // columns are G*H; features are zero where the input is projected ahead
  const Real *x, *u, *input;                      // (T, B, F); (T, B, G*H), the projected input; (F, G*H): u, or the other two
  const Real *mu, *step_size, *beta, *eps;        // (G*H)
  const Real *first_v, *first_m;                  // (B, G*H), the state before the first step
  const Real *start_v, *start_m;                  // (B, G*H), the state to which resets go back
  const uint8_t *resets, *valid;                  // (T, B)
  Real* driven;                                   // d
  long driven_steps;                              // how many steps of it are kept
  long block;                                     // steps from one stored state to the next, at most DRIVE_STEPS
  Real* states;                                   // (blocks + 1, B, states, G*H), or (B, states, G*H): the state before every block
  long states_stride;                             // from one to the next, zero where only the last is kept

  const Real* ddriven;                            // (steps kept, B, G*H), the gradient with respect to d
  long ddriven_steps;
  Real* du;                                       // (steps kept, B, G*H), or null
  long du_steps;
  Real *dstates, *dstart_states;                  // (B, states, G*H)

  Real* state(long b) const { return states + b * states_stride; }
};

constexpr long DRIVE_STEPS = 32;

template <class Real> struct DriveKernels {
  bool velocity, moments;  // which states there are
  long sums;               // rows of (G*H) with gradients of hyper-parameters: mu, step_size, beta, eps; the input kernel's follow

  // Steps [t0, t1) of examples [r0, r1) and columns [c0, c1), from the state `from`; at most DRIVE_STEPS steps.
  void (*forward)(const DriveJob<Real>&, long t0, long t1, long r0, long r1, long c0, long c1, const Real* from, Real* to);
  void (*backward)(const DriveJob<Real>&, long t0, long t1, long r0, long r1, long c0, long c1, const Real* from, Real* sums);
  int states() const { return velocity + moments; }
};

enum DriveKind : int { ADAM, RMSPROP, MOMENTUM, DRIVES };

template <class Real> struct Job {
  long steps, batch, features, hidden;  // features are zero where the input is not projected at every step

  const Real *x, *d;               // (T, B, F), the input; (steps kept, B, G*H), an input that is projected already, or driven
  long d_steps;                    // how many steps of d are kept, at most T
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
  const Real* du;                  // (steps kept, B, G*H), with respect to x @ input; null where nothing needs it
  long du_steps;

  DriveJob<Real> drive;
};

// The functions of one kind of cell, compiled for one instruction set. `r0` and `r1` are examples, `p0` and `p1` panels.
template <class Real> struct Kernels {
  int gates, kept;                 // G; values kept of every unit and step for the backward pass
  bool cell, additive, extra;      // whether there is a cell state, whether one gradient serves a and d, whether `extra` is used
  int lanes;                       // of a vector
  const DriveKernels<Real>* drives;  // of every DriveKind

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
