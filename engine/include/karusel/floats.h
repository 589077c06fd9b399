// Memory of the engine's own.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace karusel {

// 64-byte aligned memory that only grows; readable a vector beyond its end. Of large areas the system is asked for large
// pages: lines of a tape lie a page apart, and each would be looked up anew.
class Floats {
 public:
  float* resize(int64_t n) {
    const size_t least = static_cast<size_t>(n) * sizeof(float) + 64, unit = least < HUGE_PAGE ? 64 : HUGE_PAGE;
    const size_t bytes = (least + unit - 1) / unit * unit;
    float* p = static_cast<float*>(std::aligned_alloc(unit, bytes));
    if (!p) throw std::bad_alloc();
#if defined(__linux__)
    if (unit == HUGE_PAGE) madvise(p, bytes, MADV_HUGEPAGE);
#endif
    std::memset(p, 0, bytes);
    data_.reset(p);
    size_ = n;
    return p;
  }
  float* data() const { return data_.get(); }
  int64_t size() const { return size_; }

 private:
  static constexpr size_t HUGE_PAGE = size_t{1} << 21;

  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float[], Free> data_;
  int64_t size_ = 0;
};

}  // namespace karusel
