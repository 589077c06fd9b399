// The dense layer and its gradient, and the layout of weights in panels.
#include "gemm.h"
#include "level.h"

namespace karusel {
namespace KARUSEL_LEVEL {

void dense_forward(const DenseForward& call) {
  const Term term = times(call.x.data, call.x.stride, call.W);
  multiply(call.x.rows, call.W.cols, &term, 1, {call.b.data, 0}, call.y.data, call.y.stride);
}

void dense_backward(const DenseBackward& call) {
  if (call.dx)
    multiply_transposed(call.dy.rows, call.dy.data, call.dy.stride, call.W, call.accumulate, call.dx.data,
                        call.dx.stride);
  add_transposed_product(call.x.rows, call.x.data, call.x.cols, call.x.stride, call.dy.data, call.dy.cols,
                         call.dy.stride, call.dW.data, call.dW.stride);
  if (call.db) add_lines(call.dy.rows, call.dy.data, call.dy.cols, call.dy.stride, call.db.data);
}

void pack(const Weight& W, float* panels) {
  for (int64_t n = 0; n < W.cols; n += P) {
    const int64_t valid = W.cols - n < P ? W.cols - n : P;
    for (int64_t k = 0; k < W.rows; ++k, panels += P) {
      if (valid < P) std::memset(panels, 0, sizeof(float) * static_cast<size_t>(P));
      std::memcpy(panels, W.data + k * W.cols + n, sizeof(float) * static_cast<size_t>(valid));
    }
  }
}

void pack_transposed(const Weight& W, float* panels) {
  for (int64_t n = 0; n < W.rows; n += P, panels += P * W.cols) {
    const int64_t valid = W.rows - n < P ? W.rows - n : P;
    for (int64_t j = 0; j < P; ++j) {
      if (j < valid)
        for (int64_t k = 0; k < W.cols; ++k) panels[k * P + j] = W.data[(n + j) * W.cols + k];
      else
        for (int64_t k = 0; k < W.cols; ++k) panels[k * P + j] = 0.0f;
    }
  }
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
