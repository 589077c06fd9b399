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
#include <system_error>
#include <thread>
#include <unordered_set>
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
  virtual void work(int worker) = 0;

 protected:
  ~Job() = default;
};

// Whoever is free takes the next index.
struct Indices final : Job {
  Indices(int64_t n, Task t, void* c) : count(n), task(t), context(c) {}

  const int64_t count;
  const Task task;
  void* const context;
  std::atomic<int64_t> next{0};

  void work(int worker) override {
    for (int64_t i = next.fetch_add(1, std::memory_order_relaxed); i < count;
         i = next.fetch_add(1, std::memory_order_relaxed))
      task(context, i, worker);
  }
};

// Each worker has a half of its own.
struct Halves final : Job {
  Halves(HalvesTask t, void* c) : task(t), context(c) {}

  const HalvesTask task;
  void* const context;
  Partner::Count counts[2];

  void work(int worker) override {
    Partner partner(worker, counts);
    task(context, partner);
  }
};

class Worker {
 public:
  // Throws std::system_error when there is no more thread to be had.
  explicit Worker(int number) : number_(number) {
    pthread_t thread;
    pthread_attr_t settings;
    pthread_attr_init(&settings);
    pthread_attr_setstacksize(&settings, STACK);
    pthread_attr_setdetachstate(&settings, PTHREAD_CREATE_DETACHED);
    const auto live = [](void* self) -> void* {
      static_cast<Worker*>(self)->live();
      return nullptr;
    };
    const int failed = pthread_create(&thread, &settings, live, this);
    pthread_attr_destroy(&settings);
    if (failed) throw std::system_error(failed, std::generic_category());
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

  static constexpr size_t STACK = 4 << 20;  // a product's blocks fill a quarter of a megabyte; musl's threads have half
  static constexpr int SPINS = 4000;  // some 50 to 150 microseconds: longer than the gap between two steps

  const int number_;
  alignas(64) std::atomic<Job*> box_{nullptr};
  std::atomic<bool> asleep_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
};

class Crew {
 public:
  // False, with nothing done, when another thread is inside, or when there are no more threads to be had.
  bool run(int workers, Job& job) {
    const std::unique_lock<std::mutex> lock(busy_, std::try_to_lock);
    if (!lock.owns_lock()) return false;
    const size_t others = static_cast<size_t>(workers - 1);
    try {
      while (crew_.size() < others) crew_.push_back(new Worker(static_cast<int>(crew_.size()) + 1));  // lives forever
    } catch (const std::system_error&) {
      return false;
    }
    for (size_t i = 0; i < others; ++i) crew_[i]->give(&job);
    job.work(0);
    for (size_t i = 0; i < others; ++i)
      for (int spins = 0; crew_[i]->busy(); ++spins) {
        pause();
        if (spins > 10000) std::this_thread::yield();
      }
    return true;
  }

 private:
  std::mutex busy_;
  std::vector<Worker*> crew_;
};

// A forked child inherits neither the threads nor usable locks: it makes a crew of its own, and its locks are renewed.
std::atomic<Crew*> the_crew{nullptr};

struct Turns {
  std::mutex mutex;
  std::unordered_set<Turn*> all;
};

Turns& turns() {
  static Turns& those = *new Turns;  // never freed, as the crew
  return those;
}

void heed_forks() {
  static const int registered = pthread_atfork([] { turns().mutex.lock(); }, [] { turns().mutex.unlock(); },
                                               [] {
                                                 the_crew.store(nullptr);
                                                 for (Turn* turn : turns().all) turn->renew();
                                                 turns().mutex.unlock();
                                               });
  (void)registered;
}

Crew& crew() {
  heed_forks();
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
  Indices job(count, task, context);
  if (count < workers) workers = static_cast<int>(count);
  if (workers <= 1 || !crew().run(workers, job)) job.work(0);
}

void run_halves(bool share, HalvesTask task, void* context) {
  if (share) {
    Halves job(task, context);
    if (crew().run(2, job)) return;
  }
  Partner both;
  task(context, both);
}

Turn::Turn() {
  heed_forks();
  const std::lock_guard<std::mutex> lock(turns().mutex);
  turns().all.insert(this);
}

Turn::~Turn() {
  const std::lock_guard<std::mutex> lock(turns().mutex);
  turns().all.erase(this);
}

void Partner::done() {
  if (counts_) counts_[first].steps.store(++steps_, std::memory_order_release);
}

// Steps are some hundred nanoseconds long: the first looks follow each other without a pause, which alone takes tens
// of them. Where threads outnumber processors, the one that is waited for gets its turn.
void Partner::wait() const {
  if (!counts_) return;
  const std::atomic<int64_t>& other = counts_[1 - first].steps;
  for (int looks = 0; other.load(std::memory_order_acquire) < steps_; ++looks) {
    if (looks > 200) pause();
    if (looks > 1000) std::this_thread::yield();
  }
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
