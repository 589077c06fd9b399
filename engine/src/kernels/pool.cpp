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

// Summed in parts of so many steps: a sum of very many is rounded at each to what is small beside it.
void mean_forward(const Packing& packing, const MeanForward& call) {
  constexpr int64_t PART = 1024, COLS = 256;
  float part[COLS];
  for (int64_t r = 0; r < packing.rows; ++r) {
    const int64_t steps = packing.length[r];
    const float scale = 1.0f / static_cast<float>(steps);
    for (int64_t col = 0; col < call.y.cols; col += COLS) {
      const int64_t cols = call.y.cols - col < COLS ? call.y.cols - col : COLS;
      float* y = call.y.row(r) + col;
      for (int64_t t = 0; t < steps; ++t) {
        const float* x = call.x.row(packing.offset[t] + r) + col;
        const bool begins = t % PART == 0, ends = t % PART == PART - 1 || t == steps - 1;
        for_vectors(cols, [&](int64_t j, auto get, auto put) {
          const Vec sum = begins ? get(x + j) : get(part + j) + get(x + j);
          put(part + j, sum);
          if (ends) put(y + j, (t < PART ? sum : get(y + j) + sum) * (t == steps - 1 ? scale : 1.0f));
        });
      }
    }
  }
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
