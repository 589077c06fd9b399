// The dense layer and its gradient, and the layout of weights in panels.
#include "gemm.h"
#include "level.h"

namespace karusel {
namespace KARUSEL_LEVEL {

void dense_forward(const DenseForward& call) {
  if (call.transposed) {
    for (int64_t r = 0; call.b && r < call.y.rows; ++r)
      std::memcpy(call.y.row(r), call.b.data, sizeof(float) * static_cast<size_t>(call.y.cols));
    multiply_transposed(call.x.rows, call.x.data, call.x.stride, call.W, static_cast<bool>(call.b), call.y.data,
                        call.y.stride);
    return;
  }
  const Factor factor = {call.x.data, call.x.stride, &call.W};
  multiply(call.x.rows, call.W.cols, &factor, 1, {call.b.data, 0}, call.y.data, call.y.stride);
}

void dense_backward(const DenseBackward& call) {
  const Matrix &x = call.x, &dy = call.dy, &dx = call.dx;
  if (call.transposed) {
    const Factor factor = {dy.data, dy.stride, &call.W};
    if (dx)
      multiply(dy.rows, dx.cols, &factor, 1, call.accumulate ? Start{dx.data, dx.stride} : Start{}, dx.data, dx.stride);
    multiply_lines(x.rows, dy.data, dy.cols, dy.stride, x.data, x.cols, x.stride, call.W.half, call.add, call.dW.data,
                   call.dW.stride);
  } else {
    if (dx) multiply_transposed(dy.rows, dy.data, dy.stride, call.W, call.accumulate, dx.data, dx.stride);
    multiply_lines(x.rows, x.data, x.cols, x.stride, dy.data, dy.cols, dy.stride, call.W.half, call.add, call.dW.data,
                   call.dW.stride);
  }
  if (call.db) sum_lines(call.dy.rows, call.dy.data, call.dy.cols, call.dy.stride, call.add, call.db.data);
}

// Both read the weight by rows and by columns through strides: its transpose has them swapped.
static void lay_out(const float* W, int64_t K, int64_t N, int64_t row, int64_t col, bool half, float* panels) {
  for (int64_t n = 0; n < N; n += P) {
    const int64_t valid = N - n < P ? N - n : P;
    const auto at = [&](int64_t k, int64_t j) { return k < K && j < valid ? W[k * row + (n + j) * col] : 0.0f; };
    if (half) {
      for (int64_t k = 0; k < 2 * pairs(K); k += 2, panels += P) {
        float first[P], second[P];
        for (int64_t j = 0; j < P; ++j) first[j] = at(k, j), second[j] = at(k + 1, j);
        for (int64_t j = 0; j < P; j += V)
          store(reinterpret_cast<Pair*>(panels + j), paired(load(first + j), load(second + j)));
      }
    } else if (col == 1) {
      for (int64_t k = 0; k < K; ++k, panels += P) {
        if (valid < P) std::memset(panels, 0, sizeof(float) * static_cast<size_t>(P));
        std::memcpy(panels, W + k * row + n, sizeof(float) * static_cast<size_t>(valid));
      }
    } else {
      for (int64_t j = 0; j < P; ++j)
        for (int64_t k = 0; k < K; ++k) panels[k * P + j] = at(k, j);
      panels += K * P;
    }
  }
}

void pack(const Weight& W, float* panels) { lay_out(W.data, W.rows, W.cols, W.cols, 1, W.half, panels); }

void pack_transposed(const Weight& W, float* panels) { lay_out(W.data, W.cols, W.rows, 1, W.cols, W.half, panels); }

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
