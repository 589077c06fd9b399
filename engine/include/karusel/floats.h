// Memory of the engine's own.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace karusel {

// 64-byte aligned memory that only grows; readable a vector beyond its end.
class Floats {
 public:
  float* resize(int64_t n) {
    const size_t bytes = (static_cast<size_t>(n) * sizeof(float) + 64 + 63) / 64 * 64;
    float* p = static_cast<float*>(std::aligned_alloc(64, bytes));
    if (!p) throw std::bad_alloc();
    std::memset(p, 0, bytes);
    data_.reset(p);
    size_ = n;
    return p;
  }
  float* data() const { return data_.get(); }
  int64_t size() const { return size_; }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float[], Free> data_;
  int64_t size_ = 0;
};

}  // namespace karusel
