// The two XLA calls, checked: a wrong shape or dtype is an error of the call, never a crash.
#include <atomic>
#include <cstdint>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "job.h"
#include "sequence.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

#define DECLARE(target) \
  extern const Kernels<float>* const kernels_f32_##target; \
  extern const Kernels<double>* const kernels_f64_##target;
DECLARE(base)
#if defined(__x86_64__)
DECLARE(v3)
DECLARE(v4)
#endif

namespace {

// The instruction sets of this library, the best first, and whether the processor has them.
enum Target : int { BASE, V3, V4 };

bool has(Target target) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                  __builtin_cpu_supports("bmi2");
  if (target == V3) return v3;
  if (target == V4) {
    return v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
#endif
  return target == BASE;
}

std::atomic<int> chosen{has(V4) ? V4 : has(V3) ? V3 : BASE};

template <class Real> const Kernels<Real>* kernels();
#if defined(__x86_64__)
template <> const Kernels<float>* kernels<float>() {
  return chosen == V4 ? kernels_f32_v4 : chosen == V3 ? kernels_f32_v3 : kernels_f32_base;
}
template <> const Kernels<double>* kernels<double>() {
  return chosen == V4 ? kernels_f64_v4 : chosen == V3 ? kernels_f64_v3 : kernels_f64_base;
}
#else
template <> const Kernels<float>* kernels<float>() { return kernels_f32_base; }
template <> const Kernels<double>* kernels<double>() { return kernels_f64_base; }
#endif

template <class Real> constexpr ffi::DataType dtype_of = sizeof(Real) == 4 ? ffi::F32 : ffi::F64;

// The arrays of one call. Each has a leading axis of runs, of length one where all runs share it; or no elements, where it is left out.
class Operands {
 public:
  Operands(ffi::RemainingArgs arguments, ffi::RemainingRets results) : arguments_(arguments), results_(results) {}

  // The next argument, of this shape.
  template <class T> RunView<const T> next(const char* name, ffi::DataType dtype, const std::vector<int64_t>& shape, bool optional = true) {
    auto buffer = arguments_.get<ffi::AnyBuffer>(argument_++);
    if (buffer.has_error()) return refuse<const T>(name, "is missing");
    return checked<const T>(name, *buffer, dtype, shape, optional, true);
  }
  template <class T> RunView<T> next_result(const char* name, ffi::DataType dtype, const std::vector<int64_t>& shape, bool optional = true) {
    auto buffer = results_.get<ffi::AnyBuffer>(result_++);
    if (buffer.has_error()) return refuse<T>(name, "is missing");
    return checked<T>(name, **buffer, dtype, shape, optional, false);
  }

  // The shape of an argument or a result, empty if there is none.
  std::vector<int64_t> shape_of_argument(size_t i) const {
    auto buffer = arguments_.get<ffi::AnyBuffer>(i);
    return buffer.has_error() ? std::vector<int64_t>() : std::vector<int64_t>(buffer->dimensions().begin(), buffer->dimensions().end());
  }
  ffi::DataType dtype_of_argument(size_t i) const {
    auto buffer = arguments_.get<ffi::AnyBuffer>(i);
    return buffer.has_error() ? ffi::DataType::INVALID : buffer->element_type();
  }

  void runs(int64_t runs) { runs_ = runs; }
  const std::string& error() const { return error_; }
  void refuse(const std::string& why) {
    if (error_.empty()) error_ = why;
  }

 private:
  template <class T> RunView<T> refuse(const char* name, const char* why) {
    refuse(std::string(name) + " " + why);
    return {nullptr, 0};
  }
  template <class T>
  RunView<T> checked(const char* name, ffi::AnyBuffer buffer, ffi::DataType dtype, const std::vector<int64_t>& shape, bool optional,
                   bool may_be_shared) {
    auto dims = buffer.dimensions();
    int64_t count = 1;
    for (int64_t n : shape) count *= n;
    if (optional && dims.size() == 1 && dims[0] == 0) return {nullptr, 0};
    if (buffer.element_type() != dtype) return refuse<T>(name, "has the wrong dtype");
    if (dims.size() != shape.size() + 1) return refuse<T>(name, "has the wrong shape");
    if (dims[0] != runs_ && !(may_be_shared && dims[0] == 1)) return refuse<T>(name, "has the wrong number of runs");
    for (size_t i = 0; i < shape.size(); ++i) {
      if (dims[i + 1] != shape[i]) return refuse<T>(name, "has the wrong shape");
    }
    return {static_cast<T*>(buffer.untyped_data()), dims[0] == runs_ ? count : 0};
  }

  ffi::RemainingArgs arguments_;
  ffi::RemainingRets results_;
  size_t argument_ = 0, result_ = 0;
  int64_t runs_ = 1;
  std::string error_;
};

struct Shapes {
  int64_t steps, batch, features, hidden, gates;
  bool velocity, moments;  // what a drive has
  int64_t stored;          // how many of its states are kept
};

// The arguments that both passes have, in this order.
template <class Real>
Arguments<Real> arguments_of(Operands& operands, const Kernels<Real>& kernels, const DriveKernels<Real>* drive, int64_t block, Shapes& s) {
  constexpr ffi::DataType real = dtype_of<Real>;
  const std::vector<int64_t> kernel = operands.shape_of_argument(3), first = operands.shape_of_argument(6);
  const std::vector<int64_t> x = operands.shape_of_argument(0), d = operands.shape_of_argument(1);
  Arguments<Real> a{};
  if (kernel.size() != 3 || first.size() != 3 || (x.size() != 4 && d.size() != 4)) {
    operands.refuse("kernel, first_h and x or d must have the axes (runs, H, G H), (runs, B, H) and (runs, T, B, F or G H)");
    return a;
  }
  s.hidden = kernel[1], s.batch = first[1], s.gates = kernels.gates, s.features = x.size() == 4 ? x[3] : 0;
  s.steps = x.size() == 4 ? x[1] : d[1];
  if (drive) s.velocity = drive->velocity, s.moments = drive->moments, s.stored = (s.steps + block - 1) / block + 1;
  const int64_t G = s.gates * s.hidden;
  if (s.hidden < 1 || s.batch < 1 || s.steps < 1) operands.refuse("hidden features, batch and time must not be empty");
  const std::vector<int64_t> state{s.batch, s.hidden}, mask{s.steps, s.batch};
  a.x = operands.next<Real>("x", real, {s.steps, s.batch, s.features});
  a.d = operands.next<Real>("d", real, {s.steps, s.batch, G});
  a.input = operands.next<Real>("input", real, {s.features, G});
  a.kernel = operands.next<Real>("kernel", real, {s.hidden, G}, false);
  a.bias = operands.next<Real>("bias", real, {G});
  a.extra = operands.next<Real>("extra", real, {s.hidden}, !kernels.extra);
  a.first_h = operands.next<Real>("first_h", real, state, false);
  a.first_c = operands.next<Real>("first_c", real, state, !kernels.cell);
  a.resets = operands.next<uint8_t>("resets", ffi::PRED, mask);
  a.valid = operands.next<uint8_t>("valid", ffi::PRED, mask);
  a.start_h = operands.next<Real>("start_h", real, state, !a.resets.at);
  a.start_c = operands.next<Real>("start_c", real, state, !(a.resets.at && kernels.cell));
  const std::vector<int64_t> gates{G}, state_of_drive{s.batch, G};
  a.drive.mu = operands.next<Real>("mu", real, gates, !s.velocity);
  a.drive.step_size = operands.next<Real>("step_size", real, gates, !drive);
  a.drive.beta = operands.next<Real>("beta", real, gates, !s.moments);
  a.drive.eps = operands.next<Real>("eps", real, gates, !s.moments);
  a.drive.first_v = operands.next<Real>("first_v", real, state_of_drive, !s.velocity);
  a.drive.first_m = operands.next<Real>("first_m", real, state_of_drive, !s.moments);
  a.drive.start_v = operands.next<Real>("start_v", real, state_of_drive, !(a.resets.at && s.velocity));
  a.drive.start_m = operands.next<Real>("start_m", real, state_of_drive, !(a.resets.at && s.moments));
  a.drive.kernels = drive, a.drive.block = block;
  a.sizes.steps = s.steps, a.sizes.batch = s.batch, a.sizes.hidden = s.hidden;
  a.sizes.features = a.input.at ? s.features : 0;  // otherwise d is x projected already
  if (!a.input.at && !a.d.at) operands.refuse("input or d must be given");
  if (a.input.at && !a.x.at) operands.refuse("x must be given with input");
  return a;
}

template <class Real> std::string run_forward(const Kernels<Real>& kernels, const DriveKernels<Real>* drive, int64_t block, ffi::ThreadPool pool,
                                                Operands& operands, int64_t runs) {
  constexpr ffi::DataType real = dtype_of<Real>;
  Shapes s{};
  Arguments<Real> a = arguments_of(operands, kernels, drive, block, s);
  if (!operands.error().empty()) return operands.error();
  a.runs = runs;
  const int64_t G = s.gates * s.hidden;
  Results<Real> to{};
  to.hs = operands.next_result<Real>("hs", real, {s.steps, s.batch, s.hidden}, false);
  to.last_c = operands.next_result<Real>("last_c", real, {s.batch, s.hidden}, !kernels.cell);
  to.drive.last_v = operands.next_result<Real>("last_v", real, {s.batch, G}, !s.velocity);
  to.drive.last_m = operands.next_result<Real>("last_m", real, {s.batch, G}, !s.moments);
  to.cs = operands.next_result<Real>("cs", real, {s.steps, s.batch, padded(s.hidden)});
  to.gates = operands.next_result<Real>("gates", real, {s.steps, s.batch, padded(s.hidden) / PAD, kernels.kept, PAD});
  to.drive.states = operands.next_result<Real>("drives", real, {s.stored, s.batch, s.velocity + s.moments, G});
  if (!operands.error().empty()) return operands.error();
  forward(kernels, WorkPool(pool), a, to);
  return "";
}

template <class Real> std::string run_backward(const Kernels<Real>& kernels, const DriveKernels<Real>* drive, int64_t block, ffi::ThreadPool pool,
                                                Operands& operands, int64_t runs) {
  constexpr ffi::DataType real = dtype_of<Real>;
  Shapes s{};
  Arguments<Real> a = arguments_of(operands, kernels, drive, block, s);
  if (!operands.error().empty()) return operands.error();
  a.runs = runs;
  const int64_t G = s.gates * s.hidden;
  const std::vector<int64_t> state{s.batch, s.hidden};
  auto hs = operands.next<Real>("hs", real, {s.steps, s.batch, s.hidden}, false);
  auto cs = operands.next<Real>("cs", real, {s.steps, s.batch, padded(s.hidden)}, !kernels.cell);
  auto gates = operands.next<Real>("gates", real, {s.steps, s.batch, padded(s.hidden) / PAD, kernels.kept, PAD});
  auto drives = operands.next<Real>("drives", real, {s.stored, s.batch, s.velocity + s.moments, G}, !drive);
  Results<Real> results{{const_cast<Real*>(hs.at), hs.stride}, {const_cast<Real*>(cs.at), cs.stride},
                        {const_cast<Real*>(gates.at), gates.stride}, {nullptr, 0},
                        {{nullptr, 0}, {nullptr, 0}, {const_cast<Real*>(drives.at), drives.stride}}};
  Cotangents<Real> given{};
  given.hs = operands.next<Real>("dhs", real, {s.steps, s.batch, s.hidden}, false);
  given.last_c = operands.next<Real>("dlast_c", real, state, !kernels.cell);
  given.drive.last_v = operands.next<Real>("dlast_v", real, {s.batch, G}, !s.velocity);
  given.drive.last_m = operands.next<Real>("dlast_m", real, {s.batch, G}, !s.moments);
  Gradients<Real> to{};
  to.kernel = operands.next_result<Real>("dkernel", real, {s.hidden, G});
  to.input = operands.next_result<Real>("dinput", real, {s.features, G}, !a.x.at || !to.kernel.at);
  to.bias = operands.next_result<Real>("dbias", real, {G}, !to.kernel.at);
  to.extra = operands.next_result<Real>("dextra", real, {s.hidden}, !kernels.extra || !to.kernel.at);
  to.first_h = operands.next_result<Real>("dfirst_h", real, state, false);
  to.first_c = operands.next_result<Real>("dfirst_c", real, state, !kernels.cell);
  to.start_h = operands.next_result<Real>("dstart_h", real, state, !a.resets.at);
  to.start_c = operands.next_result<Real>("dstart_c", real, state, !(a.resets.at && kernels.cell));
  to.d = operands.next_result<Real>("dd", real, {s.steps, s.batch, G});
  to.drive.mu = operands.next_result<Real>("dmu", real, {G}, !s.velocity || !to.kernel.at);
  to.drive.step_size = operands.next_result<Real>("dstep_size", real, {G}, !drive || !to.kernel.at);
  to.drive.beta = operands.next_result<Real>("dbeta", real, {G}, !s.moments || !to.kernel.at);
  to.drive.eps = operands.next_result<Real>("deps", real, {G}, !s.moments || !to.kernel.at);
  const std::vector<int64_t> state_of_drive{s.batch, G};
  to.drive.first_v = operands.next_result<Real>("dfirst_v", real, state_of_drive, !s.velocity);
  to.drive.first_m = operands.next_result<Real>("dfirst_m", real, state_of_drive, !s.moments);
  to.drive.start_v = operands.next_result<Real>("dstart_v", real, state_of_drive, !(a.resets.at && s.velocity));
  to.drive.start_m = operands.next_result<Real>("dstart_m", real, state_of_drive, !(a.resets.at && s.moments));
  if (!operands.error().empty()) return operands.error();
  backward(kernels, WorkPool(pool), a, a.x.at ? s.features : 0, results, given, to);
  return "";
}

// What a call is told besides its arrays.
struct Attributes {
  int64_t cell, drive, block, runs;  // a drive of -1 is none
};

template <class Real> std::string run(bool forward, Attributes told, ffi::ThreadPool pool, Operands& operands) {
  const Kernels<Real>& kernels = ::kernels<Real>()[told.cell];
  const DriveKernels<Real>* drive = told.drive < 0 ? nullptr : &kernels.drives[told.drive];
  return (forward ? run_forward<Real> : run_backward<Real>)(kernels, drive, told.block, pool, operands, told.runs);
}

ffi::Error call(bool forward, Attributes told, ffi::ThreadPool pool, Operands operands) {
  if (told.cell < 0 || told.cell >= CELLS) return ffi::Error::InvalidArgument("the cell is unknown");
  if (told.drive < -1 || told.drive >= DRIVES) return ffi::Error::InvalidArgument("the drive is unknown");
  if (told.block < 1 || told.block > DRIVE_STEPS) return ffi::Error::InvalidArgument("block must be from 1 to 32");
  if (told.runs < 1) return ffi::Error::InvalidArgument("runs must be at least 1");
  operands.runs(told.runs);
  const ffi::DataType dtype = operands.dtype_of_argument(3);
  try {
    std::string error = "the dtype must be float32 or float64";
    if (dtype == ffi::F32) error = run<float>(forward, told, pool, operands);
    if (dtype == ffi::F64) error = run<double>(forward, told, pool, operands);
    return error.empty() ? ffi::Error::Success() : ffi::Error::InvalidArgument("momentum_rnn_jax: " + error);
  } catch (const std::bad_alloc&) {
    return ffi::Error(ffi::ErrorCode::kResourceExhausted, "momentum_rnn_jax: out of memory");
  } catch (const std::exception& error) {
    return ffi::Error(ffi::ErrorCode::kInternal, std::string("momentum_rnn_jax: ") + error.what());
  }
}

template <bool FORWARD>
ffi::Error call(ffi::ThreadPool pool, ffi::RemainingArgs arguments, ffi::RemainingRets results, int64_t cell, int64_t drive, int64_t block,
                int64_t runs) {
  return call(FORWARD, {cell, drive, block, runs}, pool, Operands(arguments, results));
}

auto binding() {
  return ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().RemainingArgs().RemainingRets().Attr<int64_t>("cell").Attr<int64_t>("drive").Attr<int64_t>(
      "block").Attr<int64_t>("runs");
}

}  // namespace

#pragma GCC visibility push(default)

// The number is raised when what the operands mean changes, here and in `momentum_rnn_jax/native`: a library of another is then not called.
XLA_FFI_DEFINE_HANDLER_SYMBOL(momentum_rnn_jax_forward_2, call<true>, binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(momentum_rnn_jax_backward_2, call<false>, binding());

// The instruction set in use: 0 for the platform's baseline, 3 and 4 for x86-64-v3 and -v4.
extern "C" int momentum_rnn_target() { return chosen == V4 ? 4 : chosen == V3 ? 3 : 0; }

// Use another; -1 where the processor or this library does not have it.
extern "C" int momentum_rnn_set_target(int version) {
  const Target target = version == 4 ? V4 : version == 3 ? V3 : BASE;
  if ((version != 0 && version != 3 && version != 4) || !has(target)) return -1;
  chosen = target;
  return 0;
}

#pragma GCC visibility pop
