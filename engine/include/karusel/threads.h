// A few persistent threads. No OpenMP: its pools clash with those of other libraries in the process and
// hang after fork.
#pragma once

#include <cstdint>

namespace karusel {

// Calls task(context, index, worker) once for every index in [0, count), on up to `workers` threads, the
// calling one included (worker 0); returns when all are done. Which thread takes which index is open, so
// a result must not depend on it. When another thread is inside already, the caller works alone.
// After fork, a child starts threads of its own. Throws nothing once the threads run.
using Task = void (*)(void* context, int64_t index, int worker);
void run_parallel(int workers, int64_t count, Task task, void* context);

template <class F>
void parallel(int workers, int64_t count, F&& f) {
  run_parallel(
      workers, count, [](void* context, int64_t index, int worker) { (*static_cast<F*>(context))(index, worker); }, &f);
}

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
