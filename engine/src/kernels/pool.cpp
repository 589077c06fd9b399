// What all steps of a row come to: their mean, or the largest of each number.
#include "level.h"
#include "simd.h"

namespace karusel {
namespace KARUSEL_LEVEL {
namespace {

// visit(t, row, line of x) for every step of every row, in order of time.
template <class F>
void each_step(const Packing& packing, F visit) {
  for (int64_t t = 0; t < packing.steps; ++t)
    for (int64_t r = 0; r < packing.active[t]; ++r) visit(t, r, packing.offset[t] + r);
}

}  // namespace

void mean_forward(const Packing& packing, const MeanForward& call) {
  each_step(packing, [&](int64_t t, int64_t r, int64_t line) {
    const float* x = call.x.row(line);
    float* y = call.y.row(r);
    const bool last = t == packing.length[r] - 1;
    const float scale = last ? 1.0f / static_cast<float>(packing.length[r]) : 1.0f;
    for_vectors(call.y.cols, [&](int64_t j, auto get, auto put) {
      const Vec total = t == 0 ? get(x + j) : get(y + j) + get(x + j);
      put(y + j, total * scale);
    });
  });
}

void mean_backward(const Packing& packing, const MeanBackward& call) {
  each_step(packing, [&](int64_t, int64_t r, int64_t line) {
    const float* dy = call.dy.row(r);
    float* dx = call.dx.row(line);
    const float scale = 1.0f / static_cast<float>(packing.length[r]);
    for_vectors(call.dx.cols, [&](int64_t j, auto get, auto put) {
      const Vec part = get(dy + j) * scale;
      put(dx + j, call.accumulate ? get(dx + j) + part : part);
    });
  });
}

void max_forward(const Packing& packing, const MaxForward& call) {
  each_step(packing, [&](int64_t t, int64_t r, int64_t line) {
    const float* x = call.x.row(line);
    float* y = call.y.row(r);
    float* at = call.at.row(r);
    for (int64_t j = 0; j < call.y.cols; ++j)
      if (t == 0 || x[j] > y[j]) {
        y[j] = x[j];
        at[j] = static_cast<float>(t);
      }
  });
}

void max_backward(const Packing& packing, const MaxBackward& call) {
  each_step(packing, [&](int64_t t, int64_t r, int64_t line) {
    const float* dy = call.dy.row(r);
    const float* at = call.at.row(r);
    float* dx = call.dx.row(line);
    for (int64_t j = 0; j < call.dx.cols; ++j) {
      const float part = at[j] == static_cast<float>(t) ? dy[j] : 0.0f;
      dx[j] = call.accumulate ? dx[j] + part : part;
    }
  });
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
