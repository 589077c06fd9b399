// The most float32 multiply-adds that this processor does per second: registers only, no memory.
//
//   peak THREADS     prints GFLOP/s, the best of several rounds, all threads running at once
//
// As many independent accumulators are kept as the registers hold, so that the latency of one
// multiply-add hides behind the others. Compile with -O3 -march=native.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#if defined(__AVX512F__)
constexpr int kBytes = 64, kAccumulators = 24;
#elif defined(__AVX__)
constexpr int kBytes = 32, kAccumulators = 12;
#elif defined(__aarch64__)
constexpr int kBytes = 16, kAccumulators = 24;
#else
constexpr int kBytes = 16, kAccumulators = 12;
#endif
typedef float Vector __attribute__((vector_size(kBytes)));
constexpr int kLanes = kBytes / 4;

// Returns a value that depends on every multiply-add, so that none can be left out.
static float work(long repeats, float factor, float term) {
  const Vector a = Vector{} + factor, b = Vector{} + term;
  Vector sums[kAccumulators];
  for (int k = 0; k < kAccumulators; ++k) sums[k] = Vector{} + term * k;  // all different, or one would do for all
  for (long r = 0; r < repeats; ++r) {
#pragma GCC unroll 32
    for (int k = 0; k < kAccumulators; ++k) sums[k] = sums[k] * a + b;
  }
  Vector all{};
  for (const Vector& sum : sums) all += sum;
  return all[0];
}

int main(int count, char** words) {
  const int threads = count > 1 ? std::atoi(words[1]) : 1;
  const long repeats = 20'000'000;
  volatile float factor = 0.999f, term = 0.001f, kept = 0.0f;
  double best = 1e9;
  for (int round = 0; round < 11; ++round) {
    std::atomic<int> waiting{threads};
    std::vector<double> seconds(threads);
    std::vector<std::thread> crew;
    for (int t = 0; t < threads; ++t) {
      crew.emplace_back([&, t] {
        --waiting;
        while (waiting > 0) {
        }
        const auto start = std::chrono::steady_clock::now();
        kept = work(repeats, factor, term);
        seconds[t] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      });
    }
    for (std::thread& one : crew) one.join();
    best = std::min(best, *std::max_element(seconds.begin(), seconds.end()));
  }
  std::printf("%.1f\n", 2.0 * kLanes * kAccumulators * repeats * threads / best / 1e9);
}
