// Each worker has a letter box. The caller drops the job in; the worker, spinning for a while and then
// asleep, takes it, works, and empties the box, which is what the caller waits for.
#include "karusel/threads.h"

#include <pthread.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace karusel {
namespace {

inline void pause() {
#if defined(__SSE__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

struct Job {
  Task task;
  void* context;
  int64_t count;
  std::atomic<int64_t> next{0};

  void work(int worker) {
    for (int64_t i = next.fetch_add(1, std::memory_order_relaxed); i < count;
         i = next.fetch_add(1, std::memory_order_relaxed))
      task(context, i, worker);
  }
};

class Worker {
 public:
  explicit Worker(int number) : number_(number) {
    std::thread([this] { live(); }).detach();
  }

  void give(Job* job) {
    box_.store(job);
    if (asleep_.load()) {
      const std::lock_guard<std::mutex> lock(mutex_);
      wake_.notify_one();
    }
  }

  bool busy() const { return box_.load(std::memory_order_acquire) != nullptr; }

 private:
  void live() {
    const FlushDenormals flush;
    for (;;) {
      Job* job = wait();
      job->work(number_);
      box_.store(nullptr, std::memory_order_release);
    }
  }

  Job* wait() {
    for (int i = 0; i < SPINS; ++i) {
      if (Job* job = box_.load(std::memory_order_acquire)) return job;
      pause();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    asleep_.store(true);
    wake_.wait(lock, [this] { return box_.load() != nullptr; });
    asleep_.store(false);
    return box_.load();
  }

  static constexpr int SPINS = 4000;  // some 50 to 150 microseconds: longer than the gap between two steps

  const int number_;
  alignas(64) std::atomic<Job*> box_{nullptr};
  std::atomic<bool> asleep_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
};

class Crew {
 public:
  void run(int workers, Job& job) {
    const std::unique_lock<std::mutex> lock(busy_, std::try_to_lock);
    if (!lock.owns_lock()) return job.work(0);
    const size_t others = static_cast<size_t>(workers - 1);
    while (crew_.size() < others) crew_.push_back(new Worker(static_cast<int>(crew_.size()) + 1));  // lives forever
    for (size_t i = 0; i < others; ++i) crew_[i]->give(&job);
    job.work(0);
    for (size_t i = 0; i < others; ++i)
      for (int spins = 0; crew_[i]->busy(); ++spins) {
        pause();
        if (spins > 10000) std::this_thread::yield();
      }
  }

 private:
  std::mutex busy_;
  std::vector<Worker*> crew_;
};

// A forked child inherits neither the threads nor a usable lock: it makes a crew of its own.
std::atomic<Crew*> the_crew{nullptr};

Crew& crew() {
  static const int registered = pthread_atfork(nullptr, nullptr, [] { the_crew.store(nullptr); });
  (void)registered;
  Crew* current = the_crew.load();
  if (!current) {
    Crew* fresh = new Crew;  // never freed: its threads outlive every other object
    if (the_crew.compare_exchange_strong(current, fresh)) return *fresh;
    delete fresh;
  }
  return *current;
}

}  // namespace

void run_parallel(int workers, int64_t count, Task task, void* context) {
  Job job = {task, context, count, {}};
  if (count < workers) workers = static_cast<int>(count);
  if (workers <= 1) return job.work(0);
  crew().run(workers, job);
}

#if defined(__SSE__)
FlushDenormals::FlushDenormals() : before_(_mm_getcsr()) { _mm_setcsr(static_cast<unsigned>(before_) | 0x8040u); }
FlushDenormals::~FlushDenormals() { _mm_setcsr(static_cast<unsigned>(before_)); }
#elif defined(__aarch64__)
FlushDenormals::FlushDenormals() : before_(0) {
  asm volatile("mrs %0, fpcr" : "=r"(before_));
  asm volatile("msr fpcr, %0" ::"r"(before_ | (1u << 24)));
}
FlushDenormals::~FlushDenormals() { asm volatile("msr fpcr, %0" ::"r"(before_)); }
#else
FlushDenormals::FlushDenormals() : before_(0) {}
FlushDenormals::~FlushDenormals() {}
#endif

}  // namespace karusel
