// A few persistent threads. No OpenMP: its pools clash with those of other libraries in the process and
// hang after fork.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <new>

namespace karusel {

// Calls task(context, index, worker) once for every index in [0, count), on up to `workers` threads, the
// calling one included (worker 0); returns when all are done. Which thread takes which index is open, so
// a result must not depend on it. When another thread is inside already, the caller works alone.
// After fork, a child starts threads of its own. Where the system has no more threads, too, the caller works alone.
using Task = void (*)(void* context, int64_t index, int worker);
void run_parallel(int workers, int64_t count, Task task, void* context);

template <class F>
void parallel(int workers, int64_t count, F&& f) {
  run_parallel(
      workers, count, [](void* context, int64_t index, int worker) { (*static_cast<F*>(context))(index, worker); }, &f);
}

// One of two threads that work on the two halves of a job whose steps need each other's results, or the only one, whose
// are both halves: [first, last).
class Partner {
 public:
  struct alignas(64) Count {  // a cache line for each: written by one thread, watched by the other
    std::atomic<int64_t> steps{0};
  };

  Partner() : first(0), last(2) {}
  Partner(int half, Count* counts) : first(half), last(half + 1), counts_(counts) {}

  bool alone() const { return !counts_; }

  // One more step: what this thread has written is there for the other.
  void done();

  // Until the other has done as many steps as this one.
  void wait() const;

  const int first, last;

 private:
  Count* const counts_ = nullptr;  // of both
  int64_t steps_ = 0;
};

// Calls task(context, partner) on two threads at once, the calling one included, and returns when both are done; on the
// calling one alone unless `share` is set, or when another thread is inside already.
using HalvesTask = void (*)(void* context, Partner& partner);
void run_halves(bool share, HalvesTask task, void* context);

template <class F>
void in_halves(bool share, F&& f) {
  run_halves(
      share, [](void* context, Partner& partner) { (*static_cast<F*>(context))(partner); }, &f);
}

// A lock that a forked child finds free, whoever held it.
class Turn {
 public:
  Turn();
  ~Turn();
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  void lock() { mutex_.lock(); }
  bool try_lock() { return mutex_.try_lock(); }
  void unlock() { mutex_.unlock(); }

  void renew() { new (&mutex_) std::mutex; }

 private:
  std::mutex mutex_;
};

// Denormal numbers make some processors many times slower. While one of these lives, its thread treats
// them as zero; then the caller's setting is back.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  uint64_t before_;
};

}  // namespace karusel
