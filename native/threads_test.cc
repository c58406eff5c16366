// Both passes with several threads against one, for ThreadSanitizer, which does not see the locks of XLA's pool: this one has its own.
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <functional>
#include <iterator>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "job.h"
#include "sequence.h"

extern const Kernels<float>* const kernels_f32_base;

namespace {

class Threads {
 public:
  explicit Threads(int count) {
    for (int i = 0; i < count; ++i) threads_.emplace_back([this] { work(); });
  }
  ~Threads() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      over_ = true;
    }
    wake_.notify_all();
    for (auto& thread : threads_) thread.join();
  }
  void add(std::function<void()> task) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    wake_.notify_one();
  }

 private:
  void work() {
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return over_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      auto task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
    }
  }
  std::vector<std::thread> threads_;
  std::deque<std::function<void()>> tasks_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool over_ = false;
};

struct Pool {
  Threads* threads;
  int64_t count;
  int64_t num_threads() const { return count; }
  template <class F> void Schedule(F task) const { threads->add(task); }
};

typedef std::vector<float> Array;

Array random_array(std::mt19937& random, long count) {
  std::normal_distribution<float> normal(0, 0.3f);
  Array values(count);
  for (float& value : values) value = normal(random);
  return values;
}

template <class Array, class Real> RunView<Real> of(Array& array, long runs) { return {array.data(), static_cast<long>(array.size()) / runs}; }

// The gradients of the kernel and of the first state, and hs, one after the other. With a drive, its gradients too.
Array both_passes(const Kernels<float>& kernels, const DriveKernels<float>* drive, Pool pool, long runs, long T, long B, long F,
                  long H) {
  std::mt19937 random(1);
  const long G = kernels.gates * H, Hp = padded(H);
  Array x = random_array(random, runs * T * B * F), input = random_array(random, runs * F * G), kernel = random_array(random, runs * H * G);
  Array bias = random_array(random, runs * G), extra = random_array(random, runs * H), h = random_array(random, runs * B * H);
  Array c = random_array(random, runs * B * H), dhs = random_array(random, runs * T * B * H), dc = random_array(random, runs * B * H);
  std::vector<uint8_t> valid(T * B, 1), resets(T * B, 0);
  for (long i = 0; i < T * B; ++i) valid[i] = i % 7 != 3, resets[i] = i % 5 == 2;
  Arguments<float> a{};
  a.runs = runs;
  a.sizes.steps = T, a.sizes.batch = B, a.sizes.features = F, a.sizes.hidden = H;
  a.x = of<const Array, const float>(x, runs), a.input = of<const Array, const float>(input, runs);
  a.kernel = of<const Array, const float>(kernel, runs), a.bias = of<const Array, const float>(bias, runs);
  a.extra = of<const Array, const float>(extra, runs), a.first_h = a.start_h = of<const Array, const float>(h, runs);
  a.first_c = a.start_c = of<const Array, const float>(c, runs);
  a.valid = {valid.data(), 0}, a.resets = {resets.data(), 0};
  const long block = 2, states = drive ? drive->states() : 0;
  Array coefficients(runs * G, 0.5f), state(runs * B * G, 0.5f), stored(runs * ((T + 1) / block + 1) * B * states * G + 1);
  Array last_v(runs * B * G), last_m(runs * B * G), dmu(runs * G), dstep(runs * G), dfirst(runs * B * G);
  const RunView<const float> all{coefficients.data(), G}, every{state.data(), B * G};
  if (drive) a.drive = {drive, block, all, all, all, all, every, every, every, every};
  Array hs(runs * T * B * H), cs(runs * T * B * Hp), gates(runs * T * B * Hp * kernels.kept + 1), last(runs * B * H);
  Results<float> results{of<Array, float>(hs, runs), of<Array, float>(cs, runs), of<Array, float>(gates, runs), of<Array, float>(last, runs),
                         {{last_v.data(), B * G}, {last_m.data(), B * G}, {stored.data(), ((T + 1) / block + 1) * B * states * G}}};
  if (!kernels.kept) results.gates = {nullptr, 0};
  forward(kernels, WorkPool<Pool>(pool), a, results);
  Array dkernel(runs * H * G), dinput(runs * F * G), dbias(runs * G), dextra(runs * H), dh(runs * B * H), dc0(runs * B * H);
  Array dstart_h(runs * B * H), dstart_c(runs * B * H);
  Gradients<float> to{of<Array, float>(dinput, runs), of<Array, float>(dkernel, runs), of<Array, float>(dbias, runs),
                      of<Array, float>(dextra, runs), of<Array, float>(dh, runs), of<Array, float>(dc0, runs),
                      of<Array, float>(dstart_h, runs), of<Array, float>(dstart_c, runs), {nullptr, 0},
                      {{dmu.data(), G}, {dstep.data(), G}, {}, {}, {dfirst.data(), B * G}, {}, {}, {}}};
  Cotangents<float> given{of<const Array, const float>(dhs, runs), of<const Array, const float>(dc, runs), {every, every}};
  backward(kernels, WorkPool<Pool>(pool), a, F, results, given, to);
  for (const Array* one : {&dh, &dkernel, &dinput, &dmu, &dstep, &dfirst}) hs.insert(hs.end(), one->begin(), one->end());
  return hs;
}

}  // namespace

int main() {
  struct Case {
    long runs, T, B, F, H;
  };
  // Threads share examples; units (weights beyond the cache, few examples); runs.
  const Case cases[] = {{1, 9, 13, 2, 20}, {1, 4, 5, 3, 420}, {1, 4, 1, 3, 420}, {5, 6, 3, 2, 20}};
  Threads threads(4);
  int wrong = 0;
  for (int kind = 0; kind < CELLS; ++kind) {
    for (int i = 0; i < 2 * int(std::size(cases)); ++i) {  // every case without a drive and with one
      const Case& one = cases[i / 2];
      const Kernels<float>& kernels = kernels_f32_base[kind];
      const DriveKernels<float>* drive = i % 2 ? &kernels.drives[kind % DRIVES] : nullptr;
      const Array alone = both_passes(kernels, drive, {&threads, 1}, one.runs, one.T, one.B, one.F, one.H);
      const Array together = both_passes(kernels, drive, {&threads, 4}, one.runs, one.T, one.B, one.F, one.H);
      double error = 0, largest = 1;
      for (size_t n = 0; n < alone.size(); ++n) {
        error = std::max(error, static_cast<double>(std::abs(alone[n] - together[n])));
        largest = std::max(largest, static_cast<double>(std::abs(alone[n])));
      }
      if (!(error < 1e-4 * largest)) {
        std::printf("kind %d, %s drive, %ld runs, H = %ld: %g\n", kind, drive ? "a" : "no", one.runs, one.H, error);
        ++wrong;
      }
    }
  }
  std::printf(wrong ? "wrong\n" : "as with one thread\n");
  return wrong ? 1 : 0;
}
