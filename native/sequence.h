// A whole sequence, forward and backward: how the work is shared among threads, and the memory it needs.
//
// Examples of a batch are independent, so threads share examples and never meet within a sequence. Where the weights outgrow the
// L2 cache, or where there are too few examples, they share units instead and meet once a step. Runs, which have weights of their own, are
// independent too.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "crew.h"
#include "job.h"

template <class Real> class Memory {  // aligned to a vector; std::bad_alloc where there is none
 public:
  explicit Memory(long count) : at_(static_cast<Real*>(std::aligned_alloc(64, (count * sizeof(Real) + 127) / 64 * 64))) {
    if (!at_) throw std::bad_alloc();
  }
  Memory(Memory&& other) noexcept : at_(other.at_) { other.at_ = nullptr; }
  ~Memory() { std::free(at_); }
  operator Real*() const { return at_; }

 private:
  Real* at_;
};

template <class Real> void copy_rows(Real* to, long to_apart, const Real* from, long from_apart, long count, long length) {
  for (long i = 0; i < count; ++i) std::memcpy(to + i * to_apart, from + i * from_apart, length * sizeof(Real));
}

struct Sharing {
  long groups;  // of examples; zero where threads share units
  long units;   // parts of the units, where these are shared

  static Sharing of(long runs, long batch, long weights, long team, long bytes) {
    constexpr long L2 = 1 << 21, WORTH_MEETING = 1 << 19;  // bytes of weights
    if (team == 1 || runs >= team) return {1, 0};
    if (weights * bytes <= L2 && batch >= 2 * team) return {team, 0};
    if (weights * bytes < WORTH_MEETING) return {batch < team ? batch : team, 0};
    return {0, 4 * team};
  }
};

// Where run r begins in an array with or without a leading axis of runs.
template <class Real> struct OfRun {
  Real* at;
  long apart;  // zero where all runs share the array
  Real* operator[](long run) const { return at ? at + run * apart : nullptr; }
};

template <class Real> struct Arguments {
  long runs;
  Job<Real> sizes;  // of which only the sizes are set
  OfRun<const Real> x, d, input, kernel, bias, extra, first_h, first_c, start_h, start_c;
  OfRun<const uint8_t> resets, valid;

  Job<Real> job(long run) const {
    Job<Real> j = sizes;
    j.x = x[run], j.d = d[run], j.input = input[run], j.kernel = kernel[run], j.bias = bias[run], j.extra = extra[run];
    j.first_h = first_h[run], j.first_c = first_c[run], j.start_h = start_h[run], j.start_c = start_c[run];
    j.resets = resets[run], j.valid = valid[run];
    return j;
  }
};

template <class Real> struct Results {
  OfRun<Real> hs, cs, gates, last_c;
};

template <class Real, class Pool>
void forward(const Kernels<Real>& kernels, Crew<Pool> crew, const Arguments<Real>& arguments, const Results<Real>& to) {
  const long runs = arguments.runs, batch = arguments.sizes.batch, hidden = arguments.sizes.hidden, steps = arguments.sizes.steps;
  const long width = padded(hidden), weights = (hidden + arguments.sizes.features) * kernels.gates * hidden;
  const long vectors = (hidden + kernels.lanes - 1) / kernels.lanes, panels = kernels.forward_panels(hidden);
  const long packed = vectors * kernels.lanes * kernels.gates * (hidden + arguments.sizes.features);
  std::vector<Memory<Real>> memory;
  std::vector<Job<Real>> jobs;
  for (long run = 0; run < runs; ++run) {
    Job<Real> j = arguments.job(run);
    j.hs = to.hs[run], j.cs = to.cs[run], j.gates = to.gates[run];
    memory.emplace_back(packed + 4096);  // what is fetched ahead of the last panel lies behind it
    j.packed = memory.back();
    memory.emplace_back(vectors * kernels.lanes * kernels.gates);
    j.packed_bias = memory.back();
    memory.emplace_back(kernels.cell ? batch * width : 0);
    j.c = memory.back();
    if (kernels.cell) {
      std::memset(j.c, 0, batch * width * sizeof(Real));
      copy_rows(j.c, width, j.first_c, hidden, batch, hidden);
    }
    jobs.push_back(j);
  }
  crew.run(1, runs * panels, [&](long, long item) { kernels.pack_forward(jobs[item / panels], item % panels); });
  const Sharing sharing = Sharing::of(runs, batch, weights, crew.size(), sizeof(Real));
  if (const long groups = sharing.groups) {
    crew.run(1, runs * groups, [&](long, long item) {
      const Job<Real>& j = jobs[item / groups];
      const long r0 = batch * (item % groups) / groups, r1 = batch * (item % groups + 1) / groups;
      Memory<Real> scratch(kernels.forward_scratch(r1 - r0));
      for (long t = 0; t < steps; ++t) kernels.forward(j, t, r0, r1, 0, panels, scratch);
    });
  } else {
    const long items = std::min(panels, sharing.units);
    for (const Job<Real>& j : jobs) {
      std::vector<Memory<Real>> scratch;
      for (long i = 0; i < items; ++i) scratch.emplace_back(kernels.forward_scratch(batch));
      crew.run(steps, items, [&](long t, long i) {
        kernels.forward(j, t, 0, batch, panels * i / items, panels * (i + 1) / items, scratch[i]);
      });
    }
  }
  if (kernels.cell) {
    for (long run = 0; run < runs; ++run) copy_rows(to.last_c[run], hidden, jobs[run].c, width, batch, hidden);
  }
}

template <class Real> struct Cotangents {
  OfRun<const Real> hs, last_c;
};

template <class Real> struct Gradients {
  OfRun<Real> input, kernel, bias, extra, first_h, first_c, start_h, start_c;
  OfRun<Real> d;  // of every step, or null
};

// `results` are those of the forward pass; `input_x` and `input_features` say of which input the input kernel's gradient is made.
template <class Real, class Pool>
void backward(const Kernels<Real>& kernels, Crew<Pool> crew, const Arguments<Real>& arguments, OfRun<const Real> input_x,
              long input_features, const Results<Real>& results, const Cotangents<Real>& given, const Gradients<Real>& to) {
  constexpr long EVERY = 256;  // examples x steps behind which the weights' gradients are brought up to date, while da is in the cache
  const long runs = arguments.runs, batch = arguments.sizes.batch, hidden = arguments.sizes.hidden, steps = arguments.sizes.steps;
  const long width = padded(hidden), columns = kernels.gates * hidden, weights = columns * hidden;
  const long vectors = (hidden + kernels.lanes - 1) / kernels.lanes;
  const long panels = kernels.backward_panels(hidden), forward_panels = kernels.forward_panels(hidden);
  const long gradient_panels = kernels.gradient_panels(hidden);
  const Sharing sharing = Sharing::of(runs, batch, weights, crew.size(), sizeof(Real));
  const long groups = sharing.groups, parts = std::max(1L, groups);
  const long every = std::max(1L, EVERY * parts / std::max(1L, batch));
  const long ring = groups ? std::min(steps, every + 1) : steps;
  const bool again = kernels.kept && !results.gates.at;
  std::vector<Memory<Real>> memory;
  auto zeros = [&](long count) {
    memory.emplace_back(count);
    std::memset(memory.back(), 0, count * sizeof(Real));
    return static_cast<Real*>(memory.back());
  };
  std::vector<Job<Real>> jobs;
  std::vector<std::vector<Real*>> sums(runs), extras(runs);
  for (long run = 0; run < runs; ++run) {
    Job<Real> j = arguments.job(run);
    j.hs = results.hs[run], j.cs = results.cs[run], j.gates = results.gates[run];
    j.dhs = given.hs[run], j.input_x = input_x[run], j.input_features = input_features;
    j.da_steps = j.dd_steps = ring;
    if (to.d.at && kernels.additive) {
      j.da = to.d[run], j.da_steps = steps;
    } else {
      memory.emplace_back(ring * batch * columns);
      j.da = memory.back();
    }
    if (kernels.additive) {
      j.dd = j.da, j.dd_steps = j.da_steps;
    } else if (to.d.at) {
      j.dd = to.d[run], j.dd_steps = steps;
    } else {
      memory.emplace_back(ring * batch * columns);
      j.dd = memory.back();
    }
    memory.emplace_back(vectors * kernels.lanes * columns + 4096);
    j.packed_transpose = memory.back();
    if (again) {
      memory.emplace_back(vectors * kernels.lanes * kernels.gates * (hidden + j.features) + 4096);
      j.packed = memory.back();
      memory.emplace_back(vectors * kernels.lanes * kernels.gates);
      j.packed_bias = memory.back();
    }
    j.carry_h = zeros(batch * width);
    j.carry_c = zeros(kernels.cell ? batch * width : 0);
    if (kernels.cell) copy_rows(j.carry_c, width, given.last_c[run], hidden, batch, hidden);
    j.dfirst_h = to.first_h[run], j.dfirst_c = to.first_c[run], j.dstart_h = to.start_h[run], j.dstart_c = to.start_c[run];
    if (j.dstart_h) std::memset(j.dstart_h, 0, batch * hidden * sizeof(Real));
    if (j.dstart_c) std::memset(j.dstart_c, 0, batch * hidden * sizeof(Real));
    for (long i = 0; i < parts; ++i) {
      sums[run].push_back(zeros(kernels.gradient_sums(hidden, input_features)));
      extras[run].push_back(zeros(width));
    }
    jobs.push_back(j);
  }
  crew.run(1, runs * panels, [&](long, long item) { kernels.pack_backward(jobs[item / panels], item % panels); });
  if (again) {
    crew.run(1, runs * forward_panels,
             [&](long, long item) { kernels.pack_forward(jobs[item / forward_panels], item % forward_panels); });
  }
  if (groups) {
    crew.run(1, runs * groups, [&](long, long item) {
      const long run = item / groups, group = item % groups;
      const Job<Real>& j = jobs[run];
      const long r0 = batch * group / groups, r1 = batch * (group + 1) / groups;
      Memory<Real> scratch(std::max(kernels.backward_scratch(r1 - r0), kernels.gradient_scratch()));
      for (long t = steps - 1, end = steps; t >= -1; --t) {
        kernels.backward(j, t, r0, r1, 0, panels, scratch, extras[run][group]);
        if (t >= 0 && (end - t == every || t == 0)) {
          for (long p = 0; p < gradient_panels; ++p) kernels.gradient(j, p, t, end, r0, r1, sums[run][group], scratch);
          end = t;
        }
      }
    });
  } else {
    const long items = std::min(panels, sharing.units);
    for (long run = 0; run < runs; ++run) {
      const Job<Real>& j = jobs[run];
      std::vector<Memory<Real>> scratch;
      for (long i = 0; i < items; ++i) scratch.emplace_back(kernels.backward_scratch(batch));
      crew.run(steps + 1, items, [&](long phase, long i) {
        kernels.backward(j, steps - 1 - phase, 0, batch, panels * i / items, panels * (i + 1) / items, scratch[i], extras[run][0]);
      });
      crew.run(1, gradient_panels, [&](long, long p) {
        Memory<Real> scratch(kernels.gradient_scratch());
        kernels.gradient(j, p, 0, steps, 0, batch, sums[run][0], scratch);
      });
    }
  }
  crew.run(1, runs * gradient_panels, [&](long, long item) {
    const long run = item / gradient_panels;
    kernels.gather(jobs[run], item % gradient_panels, sums[run].data(), parts, to.kernel[run], to.input[run], to.bias[run]);
  });
  if (kernels.extra) {
    for (long run = 0; run < runs; ++run) {
      std::memset(to.extra[run], 0, hidden * sizeof(Real));
      for (Real* part : extras[run]) {
        for (long i = 0; i < hidden; ++i) to.extra[run][i] += part[i];
      }
    }
  }
}
