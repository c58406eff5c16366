// A drive within a sequence: blocks of steps, each just before the recurrence needs them and, in the backward pass, just after it has
// given their gradients, while both are in the cache. Where threads divide units instead of examples, all steps before or after it.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include "job.h"
#include "memory.h"

template <class Real> struct DriveArguments {
  const DriveKernels<Real>* kernels;  // null where there is no drive, and nothing below
  long block;
  RunView<const Real> mu, step_size, beta, eps, first_v, first_m, start_v, start_m;
};

template <class Real> struct DriveResults {
  RunView<Real> last_v, last_m, states;
};

template <class Real> struct DriveCotangents {
  RunView<const Real> last_v, last_m;
};

template <class Real> struct DriveGradients {
  RunView<Real> mu, step_size, beta, eps, first_v, first_m, start_v, start_m;
};

// The drive of one run of a job, of which nothing is set that belongs to the drive.
template <class Real> class DriveRun {
 public:
  DriveRun(const DriveArguments<Real>& a, const Job<Real>& j, long gates, long run) : kernels_(a.kernels) {
    if (!kernels_) return;
    drive_.steps = j.steps, drive_.batch = j.batch, drive_.columns = gates * j.hidden, drive_.features = j.features;
    drive_.x = j.x, drive_.u = j.d, drive_.input = j.input, drive_.resets = j.resets, drive_.valid = j.valid;
    drive_.mu = a.mu[run], drive_.step_size = a.step_size[run], drive_.beta = a.beta[run], drive_.eps = a.eps[run];
    drive_.first_v = a.first_v[run], drive_.first_m = a.first_m[run], drive_.start_v = a.start_v[run], drive_.start_m = a.start_m[run];
    drive_.block = a.block;
  }

  explicit operator bool() const { return kernels_; }
  long columns() const { return drive_.columns; }
  long blocks() const { return (drive_.steps + drive_.block - 1) / drive_.block; }
  long first_step(long block) const { return block * drive_.block; }
  long end(long block) const { return std::min(drive_.steps, (block + 1) * drive_.block); }
  bool begins(long t) const { return kernels_ && t % drive_.block == 0; }
  bool ends(long t) const { return kernels_ && (t + 1 == drive_.steps || begins(t + 1)); }

  // The job's d is that of the drive, of which `steps` are kept, and nothing is left to project.
  void give_d(Job<Real>& j, long steps, std::vector<AlignedBuffer<Real>>& memory) {
    memory.emplace_back(steps * drive_.batch * drive_.columns);
    j.d = drive_.driven = memory.back();
    j.d_steps = drive_.driven_steps = steps;
  }

  // Where the states are kept: of every block if `states` is given.
  void keep(Real* states, std::vector<AlignedBuffer<Real>>& memory) {
    if (!states) memory.emplace_back(size());
    drive_.states = states ? states : memory.back();
    drive_.states_stride = states ? size() : 0;
  }
  void begin() { copy(drive_.states, drive_.first_v, drive_.first_m); }
  void finish(const DriveResults<Real>& to, long run) const { split(drive_.state(blocks()), to.last_v[run], to.last_m[run]); }

  void forward(long block, long r0, long r1, long c0, long c1) const {
    kernels_->forward(drive_, first_step(block), end(block), r0, r1, c0, c1, drive_.state(block), drive_.state(block + 1));
  }
  // d again, from the states that were kept.
  void recompute(long block, long r0, long r1, long c0, long c1) const {
    kernels_->forward(drive_, first_step(block), end(block), r0, r1, c0, c1, drive_.state(block), nullptr);
  }

  void give_gradients(const Real* dd, long dd_steps, Real* du, long du_steps) {
    drive_.ddriven = dd, drive_.ddriven_steps = dd_steps, drive_.du = du, drive_.du_steps = du_steps;
  }
  void begin_backward(const DriveCotangents<Real>& given, long run, std::vector<AlignedBuffer<Real>>& memory) {
    for (Real** states : {&drive_.dstates, &drive_.dstart_states}) {
      memory.emplace_back(size());
      *states = memory.back();
    }
    copy(drive_.dstates, given.last_v[run], given.last_m[run]);
    std::memset(drive_.dstart_states, 0, size() * sizeof(Real));
  }
  void backward(long block, long r0, long r1, long c0, long c1, Real* sums) const {
    kernels_->backward(drive_, first_step(block), end(block), r0, r1, c0, c1, drive_.state(block), sums);
  }
  long sums() const { return kernels_ ? (kernels_->sums + drive_.features) * drive_.columns : 0; }
  void finish_backward(const DriveGradients<Real>& to, Real* dinput, const std::vector<Real*>& sums, bool wants_weights, long run) const {
    split(drive_.dstates, to.first_v[run], to.first_m[run]);
    split(drive_.dstart_states, to.start_v[run], to.start_m[run]);
    if (!wants_weights) return;
    const long N = drive_.columns;
    Real* const rows[] = {to.mu[run], to.step_size[run], to.beta[run], to.eps[run]};
    for (long i = 0; i < kernels_->sums + drive_.features; ++i) {
      Real* const row = i < kernels_->sums ? rows[i] : dinput + (i - kernels_->sums) * N;
      if (!row) continue;
      std::memcpy(row, sums[0] + i * N, N * sizeof(Real));
      for (size_t part = 1; part < sums.size(); ++part) {
        for (long c = 0; c < N; ++c) row[c] += sums[part][i * N + c];
      }
    }
  }

 private:
  long size() const { return drive_.batch * kernels_->states() * drive_.columns; }

  // Between (B, states, G*H) and v and m.
  void copy(Real* states, const Real* v, const Real* m) const {
    const long N = drive_.columns, stride = kernels_->states() * N;
    if (kernels_->velocity) copy_rows(states, stride, v, N, drive_.batch, N);
    if (kernels_->moments) copy_rows(states + kernels_->velocity * N, stride, m, N, drive_.batch, N);
  }
  void split(const Real* states, Real* v, Real* m) const {
    const long N = drive_.columns, stride = kernels_->states() * N;
    if (v && kernels_->velocity) copy_rows(v, N, states, stride, drive_.batch, N);
    if (m && kernels_->moments) copy_rows(m, N, states + kernels_->velocity * N, stride, drive_.batch, N);
  }

  const DriveKernels<Real>* kernels_;
  DriveJob<Real> drive_{};
};

// Part `i` of `parts` of the columns, which begins at a multiple of any vector.
inline long column(long i, long parts, long columns) { return i == parts ? columns : columns / PAD * i / parts * PAD; }
