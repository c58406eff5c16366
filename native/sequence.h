// A whole sequence, forward and backward: how the work is divided among threads, and the memory it needs.
//
// Examples of a batch are independent: they are divided among threads, which need no synchronisation within a sequence. Where the weights
// outgrow the L2 cache, or there are too few examples, units are divided, and threads synchronise after every step. Runs, each with
// weights of its own, are independent too.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include "drive_sequence.h"
#include "job.h"
#include "memory.h"
#include "work_pool.h"

constexpr long PREFETCHED = 4096;  // numbers after the last panel, which prefetching may touch

struct Partition {
  long groups;  // of examples; zero where units are divided
  long units;   // parts of the units, a few for each thread so that a slow one can be helped

  static Partition of(long runs, long batch, long weights, long team, long bytes) {
    constexpr long L2 = 1 << 21;                        // bytes; a core's L2 cache on the processors of today's servers
    constexpr long MIN_BYTES_TO_SPLIT_UNITS = 1 << 19;  // a step on fewer weights takes less time than to synchronise
    if (team == 1 || runs >= team) return {1, 0};
    if (weights * bytes <= L2 && batch >= 2 * team) return {team, 0};
    if (weights * bytes < MIN_BYTES_TO_SPLIT_UNITS) return {batch < team ? batch : team, 0};
    return {0, 4 * team};
  }
};

template <class Real> struct Arguments {
  long runs;
  Job<Real> sizes;  // of which only the sizes are set
  RunView<const Real> x, d, input, kernel, bias, extra, first_h, first_c, start_h, start_c;
  RunView<const uint8_t> resets, valid;
  DriveArguments<Real> drive;

  // How many weights there are to pack: those of every run, unless all share them.
  long packs() const { return kernel.stride || input.stride || bias.stride ? runs : 1; }

  Job<Real> job(long run) const {
    Job<Real> j = sizes;
    j.d_steps = j.steps;
    j.x = x[run], j.d = d[run], j.input = input[run], j.kernel = kernel[run], j.bias = bias[run], j.extra = extra[run];
    j.first_h = first_h[run], j.first_c = first_c[run], j.start_h = start_h[run], j.start_c = start_c[run];
    j.resets = resets[run], j.valid = valid[run];
    return j;
  }
};

template <class Real> struct Results {
  RunView<Real> hs, cs, gates, last_c;
  DriveResults<Real> drive;
};

// Room for the weights of the forward pass in panels, and for the bias.
template <class Real> void allocate_packed(Job<Real>& j, const Kernels<Real>& kernels, std::vector<AlignedBuffer<Real>>& memory) {
  const long columns = (j.hidden + kernels.lanes - 1) / kernels.lanes * kernels.lanes * kernels.gates;
  memory.emplace_back(columns * (j.hidden + j.features) + PREFETCHED);
  j.packed = memory.back();
  memory.emplace_back(columns);
  j.packed_bias = memory.back();
}

template <class Real, class Pool>
void forward(const Kernels<Real>& kernels, WorkPool<Pool> workers, const Arguments<Real>& arguments, const Results<Real>& to) {
  const long runs = arguments.runs, batch = arguments.sizes.batch, hidden = arguments.sizes.hidden, steps = arguments.sizes.steps;
  const long width = padded(hidden), weights = (hidden + arguments.sizes.features) * kernels.gates * hidden;
  const long panels = kernels.forward_panels(hidden);
  const long packs = arguments.packs();
  const Partition partition = Partition::of(runs, batch, weights, workers.size(), sizeof(Real));
  std::vector<AlignedBuffer<Real>> memory;
  std::vector<Job<Real>> jobs;
  std::vector<DriveRun<Real>> drives;
  for (long run = 0; run < runs; ++run) {
    Job<Real> j = arguments.job(run);
    j.hs = to.hs[run], j.cs = to.cs[run], j.gates = to.gates[run];
    drives.emplace_back(arguments.drive, j, kernels.gates, run);
    if (DriveRun<Real>& drive = drives.back()) {
      j.features = 0;
      drive.give_d(j, partition.groups ? std::min(steps, arguments.drive.block) : steps, memory);
      drive.keep(to.drive.states[run], memory);
      drive.begin();
    }
    use_huge_pages(j.hs, steps * batch * hidden * sizeof(Real));
    use_huge_pages(j.cs, steps * batch * width * sizeof(Real));
    use_huge_pages(j.gates, steps * batch * width * kernels.kept * sizeof(Real));
    if (run < packs) {
      allocate_packed(j, kernels, memory);
    } else {
      j.packed = jobs[0].packed, j.packed_bias = jobs[0].packed_bias;
    }
    memory.emplace_back(kernels.cell ? batch * width : 0);
    j.c = memory.back();
    if (kernels.cell) {
      std::memset(j.c, 0, batch * width * sizeof(Real));
      copy_rows(j.c, width, j.first_c, hidden, batch, hidden);
    }
    jobs.push_back(j);
  }
  workers.run(1, packs * panels, [&](long, long item) { kernels.pack_forward(jobs[item / panels], item % panels); });
  if (const long groups = partition.groups) {
    const auto scratch = buffers<Real>(runs * groups, kernels.forward_scratch(batch));
    workers.run(1, runs * groups, [&](long, long item) {
      const Job<Real>& j = jobs[item / groups];
      const long r0 = batch * (item % groups) / groups, r1 = batch * (item % groups + 1) / groups;
      const DriveRun<Real>& drive = drives[item / groups];
      for (long t = 0; t < steps; ++t) {
        if (drive.begins(t)) drive.forward(t / arguments.drive.block, r0, r1, 0, drive.columns());
        kernels.forward(j, t, r0, r1, 0, panels, scratch[item]);
      }
    });
  } else {
    const long items = std::min(panels, partition.units);
    const auto scratch = buffers<Real>(items, kernels.forward_scratch(batch));
    for (long run = 0; run < runs; ++run) {
      const Job<Real>& j = jobs[run];
      const DriveRun<Real>& drive = drives[run];
      workers.run(1, drive ? partition.units : 0, [&](long, long i) {
        const long c0 = column(i, partition.units, drive.columns()), c1 = column(i + 1, partition.units, drive.columns());
        for (long block = 0; block < drive.blocks(); ++block) drive.forward(block, 0, batch, c0, c1);
      });
      workers.run(steps, items, [&](long t, long i) {
        kernels.forward(j, t, 0, batch, panels * i / items, panels * (i + 1) / items, scratch[i]);
      });
    }
  }
  if (kernels.cell) {
    for (long run = 0; run < runs; ++run) copy_rows(to.last_c[run], hidden, jobs[run].c, width, batch, hidden);
  }
  for (long run = 0; arguments.drive.kernels && run < runs; ++run) drives[run].finish(to.drive, run);
}

template <class Real> struct Cotangents {
  RunView<const Real> hs, last_c;
  DriveCotangents<Real> drive;
};

template <class Real> struct Gradients {
  RunView<Real> input, kernel, bias, extra;  // the first three together, or null
  RunView<Real> first_h, first_c, start_h, start_c;
  RunView<Real> d;  // of every step, or null: of what is projected, also where a drive follows
  DriveGradients<Real> drive;
};

// `results` are those of the forward pass; `input_features` are those of x, zero if there is none.
template <class Real, class Pool>
void backward(const Kernels<Real>& kernels, WorkPool<Pool> workers, const Arguments<Real>& arguments, long input_features,
              const Results<Real>& results, const Cotangents<Real>& given, const Gradients<Real>& to) {
  constexpr long UPDATE_ROWS = 256;  // examples x steps after which they are added to the weights' gradients, while da is in the cache
  const long runs = arguments.runs, batch = arguments.sizes.batch, hidden = arguments.sizes.hidden, steps = arguments.sizes.steps;
  const long width = padded(hidden), columns = kernels.gates * hidden, weights = columns * hidden;
  const long vectors = (hidden + kernels.lanes - 1) / kernels.lanes;
  const long panels = kernels.backward_panels(hidden), forward_panels = kernels.forward_panels(hidden);
  const long gradient_panels = kernels.gradient_panels(hidden);
  const Partition partition = Partition::of(runs, batch, weights, workers.size(), sizeof(Real));
  const long groups = partition.groups, parts = std::max(1L, groups);
  const bool driven = arguments.drive.kernels, projected_by_drive = driven && arguments.input.at;
  const long every = driven ? arguments.drive.block : std::max(1L, UPDATE_ROWS * parts / std::max(1L, batch));
  const long ring = groups ? std::min(steps, every + 1) : steps;
  const bool recomputed = kernels.kept && !results.gates.at, wants_weights = to.kernel.at;
  const long packs = arguments.packs();
  std::vector<AlignedBuffer<Real>> memory;
  auto zeros = [&](long count) {
    memory.emplace_back(count);
    std::memset(memory.back(), 0, count * sizeof(Real));
    return static_cast<Real*>(memory.back());
  };
  std::vector<Job<Real>> jobs;
  std::vector<DriveRun<Real>> drives;
  std::vector<std::vector<Real*>> sums(runs), extras(runs), drive_sums(runs);
  for (long run = 0; run < runs; ++run) {
    Job<Real> j = arguments.job(run);
    j.hs = results.hs[run], j.cs = results.cs[run], j.gates = results.gates[run];
    j.dhs = given.hs[run], j.input_features = projected_by_drive ? 0 : input_features;
    auto give = [&](Real*& to_array, long& to_steps, bool whole) {  // all steps of the result, or a few of them
      if (!whole) memory.emplace_back(ring * batch * columns);
      to_array = whole ? to.d[run] : memory.back();
      to_steps = whole ? steps : ring;
    };
    give(j.da, j.da_steps, to.d.at && kernels.additive && !driven);
    if (kernels.additive) {
      j.dd = j.da, j.dd_steps = j.da_steps;
    } else {
      give(j.dd, j.dd_steps, to.d.at);
    }
    Real* du = j.dd;
    j.du_steps = j.dd_steps;
    if (driven && kernels.additive) {
      du = nullptr;
      if (to.d.at || (wants_weights && !projected_by_drive)) give(du, j.du_steps, to.d.at);
    }
    j.du = du;
    drives.emplace_back(arguments.drive, j, kernels.gates, run);
    if (DriveRun<Real>& drive = drives.back()) {
      j.features = 0;
      if (recomputed) drive.give_d(j, groups ? std::min(steps, every) : steps, memory);
      drive.keep(results.drive.states[run], memory);
      drive.give_gradients(j.dd, j.dd_steps, du, j.du_steps);
      drive.begin_backward(given.drive, run, memory);
    }
    if (run < packs) {
      memory.emplace_back(vectors * kernels.lanes * columns + PREFETCHED);
      j.packed_transpose = memory.back();
      if (recomputed) allocate_packed(j, kernels, memory);
    } else {
      j.packed_transpose = jobs[0].packed_transpose, j.packed = jobs[0].packed, j.packed_bias = jobs[0].packed_bias;
    }
    j.carry_h = zeros(batch * width);
    j.carry_c = zeros(kernels.cell ? batch * width : 0);
    if (kernels.cell) copy_rows(j.carry_c, width, given.last_c[run], hidden, batch, hidden);
    j.dfirst_h = to.first_h[run], j.dfirst_c = to.first_c[run], j.dstart_h = to.start_h[run], j.dstart_c = to.start_c[run];
    if (j.dstart_h) std::memset(j.dstart_h, 0, batch * hidden * sizeof(Real));
    if (j.dstart_c) std::memset(j.dstart_c, 0, batch * hidden * sizeof(Real));
    for (long i = 0; i < parts; ++i) {
      sums[run].push_back(zeros(wants_weights ? kernels.gradient_sums(hidden, input_features) : 0));
      extras[run].push_back(zeros(width));
      drive_sums[run].push_back(wants_weights && driven ? zeros(drives[run].sums()) : nullptr);
    }
    jobs.push_back(j);
  }
  workers.run(1, packs * panels, [&](long, long item) { kernels.pack_backward(jobs[item / panels], item % panels); });
  if (recomputed) {
    workers.run(1, packs * forward_panels,
             [&](long, long item) { kernels.pack_forward(jobs[item / forward_panels], item % forward_panels); });
  }
  if (groups) {
    const long rows = (batch + groups - 1) / groups;
    const auto all_scratch = buffers<Real>(runs * groups, std::max(kernels.backward_scratch(rows), kernels.gradient_scratch()));
    workers.run(1, runs * groups, [&](long, long item) {
      const long run = item / groups, group = item % groups;
      const Job<Real>& j = jobs[run];
      const long r0 = batch * group / groups, r1 = batch * (group + 1) / groups;
      Real* const scratch = all_scratch[item];
      const DriveRun<Real>& drive = drives[run];
      for (long t = steps - 1, end = steps; t >= -1; --t) {
        if (recomputed && t >= 0 && drive.ends(t)) drive.recompute(t / every, r0, r1, 0, columns);
        kernels.backward(j, t, r0, r1, 0, panels, scratch, extras[run][group]);
        if (t < 0 || !(driven ? drive.begins(t) : end - t == every || t == 0)) continue;
        if (driven) drive.backward(t / every, r0, r1, 0, columns, drive_sums[run][group]);
        if (wants_weights) {
          for (long p = 0; p < gradient_panels; ++p) kernels.weight_gradient(j, p, t, end, r0, r1, sums[run][group], scratch);
        }
        end = t;
      }
    });
  } else {
    const long items = std::min(panels, partition.units);
    const auto scratch = buffers<Real>(items, kernels.backward_scratch(batch));
    const auto gradient_scratch = buffers<Real>(wants_weights ? gradient_panels : 0, kernels.gradient_scratch());
    for (long run = 0; run < runs; ++run) {
      const Job<Real>& j = jobs[run];
      const DriveRun<Real>& drive = drives[run];
      auto over_columns = [&](auto work) {
        workers.run(1, driven ? partition.units : 0, [&](long, long i) {
          work(column(i, partition.units, columns), column(i + 1, partition.units, columns));
        });
      };
      over_columns([&](long c0, long c1) {
        for (long block = 0; recomputed && block < drive.blocks(); ++block) drive.recompute(block, 0, batch, c0, c1);
      });
      workers.run(steps + 1, items, [&](long phase, long i) {
        kernels.backward(j, steps - 1 - phase, 0, batch, panels * i / items, panels * (i + 1) / items, scratch[i], extras[run][0]);
      });
      over_columns([&](long c0, long c1) {
        for (long block = drive.blocks() - 1; block >= 0; --block) drive.backward(block, 0, batch, c0, c1, drive_sums[run][0]);
      });
      if (!wants_weights) continue;
      workers.run(1, gradient_panels, [&](long, long p) {
        kernels.weight_gradient(j, p, 0, steps, 0, batch, sums[run][0], gradient_scratch[p]);
      });
    }
  }
  for (long run = 0; driven && run < runs; ++run) {
    drives[run].finish_backward(to.drive, to.input[run], drive_sums[run], wants_weights, run);
  }
  if (!wants_weights) return;
  workers.run(1, runs * gradient_panels, [&](long, long item) {
    const long run = item / gradient_panels;
    kernels.reduce_weight_gradient(jobs[run], item % gradient_panels, sums[run].data(), parts, to.kernel[run], to.input[run], to.bias[run]);
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
