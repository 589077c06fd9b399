// The dense layer and its gradient, and the layout of weights in panels.
#include "gemm.h"
#include "halves.h"
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
    multiply_lines(x.rows, dy.data, dy.cols, dy.stride, x.data, x.cols, x.stride, call.W.bf16, call.add, call.dW.data,
                   call.dW.stride);
  } else {
    if (dx) multiply_transposed(dy.rows, dy.data, dy.stride, call.W, call.accumulate, dx.data, dx.stride);
    multiply_lines(x.rows, x.data, x.cols, x.stride, dy.data, dy.cols, dy.stride, call.W.bf16, call.add, call.dW.data,
                   call.dW.stride);
  }
  if (call.db) sum_lines(call.dy.rows, call.dy.data, call.dy.cols, call.dy.stride, call.add, call.db.data);
}

namespace {

// V lines and columns of a panel, or as many as there are, whose columns lie `col` apart.
void fill_square(const float* W, int64_t lines, int64_t cols, int64_t col, int64_t width, float* to) {
  Vec square[V];
  KARUSEL_UNROLL for (int64_t j = 0; j < V; ++j)
    square[j] = j >= cols ? Vec{} : lines < V ? load(W + j * col, lines) : load(W + j * col);
  transpose(square);
  KARUSEL_UNROLL for (int64_t k = 0; k < V && k < lines; ++k) store(to + k * width, square[k]);
}

// Some lines of a panel whose columns lie `col` apart, filled up with zero.
void fill_transposed(const float* W, int64_t lines, int64_t cols, int64_t col, int64_t width, float* to) {
  if (cols < width) std::memset(to, 0, sizeof(float) * static_cast<size_t>(lines * width));
  for (int64_t k = 0; k < lines; k += V)
    for (int64_t j = 0; j < cols; j += V)
      fill_square(W + k + j * col, lines - k, cols - j, col, width, to + k * width + j);
}

// Some lines of a panel, filled up with zero: column j of line k is W[k * row + j * col]. One of the strides is 1.
void fill_lines(const float* W, int64_t lines, int64_t cols, int64_t row, int64_t col, float* to) {
  if (col != 1) return fill_transposed(W, lines, cols, col, P, to);
  if (cols < P) std::memset(to, 0, sizeof(float) * static_cast<size_t>(lines * P));
  if (cols == P)
    copy_lines<P>(lines, W, row, P, to);
  else
    for (int64_t k = 0; k < lines; ++k) std::memcpy(to + k * P, W + k * row, sizeof(float) * static_cast<size_t>(cols));
}

// A weight's panels, or those of its transpose, which has the strides swapped. A few lines of a panel at a time: what
// is written a column at a time stays in the nearest cache.
void lay_out(const float* W, int64_t K, int64_t N, int64_t row, int64_t col, bool bf16, float* panels) {
  constexpr int64_t LINES = 64;  // whole products of pairs
  for (int64_t n = 0; n < N; n += P)
    for (int64_t k = 0; k < K; k += LINES) {
      const float* from = W + k * row + n * col;
      const int64_t lines = K - k < LINES ? K - k : LINES, cols = N - n < P ? N - n : P;
      if (bf16) {
        alignas(64) float block[LINES * P];
        const bool lies = col == 1 && cols == P;
        if (!lies) fill_lines(from, lines, cols, row, col, block);
        copy_lines<P>(lines, lies ? from : block, lies ? row : P, P, reinterpret_cast<Pair*>(panels));
        panels += pairs(lines) * P;
      } else {
        fill_lines(from, lines, cols, row, col, panels);
        panels += lines * P;
      }
    }
}

}  // namespace

void pack(const Weight& W, float* panels) { lay_out(W.data, W.rows, W.cols, W.cols, 1, W.bf16, panels); }

void pack_transposed(const Weight& W, float* panels) { lay_out(W.data, W.cols, W.rows, 1, W.cols, W.bf16, panels); }

void pack_half(const Weight& W, int half, float* panels, float* panels_transposed) {
  const int64_t K = W.rows, G = W.cols, H = G / 4;
  const auto [first, units] = half_of(H, half);
  panels += half_panels(H, half, K);
  for (int64_t gate = 0; gate < 4; ++gate)
    for (int64_t j = 0, width = 0; j < units; j += width) {
      const int64_t n = gate * units + j, inside = n % P;
      const float* from = W.data + gate * H + first + j;
      float* to = panels + (n - inside) * K + inside;
      width = P - inside < units - j ? P - inside : units - j;
      for (int64_t k = 0; k < K; ++k) copy_vectors(from + k * G, to + k * P, width);
    }
  if (!panels_transposed) return;
  float* to = panels_transposed + half_panels_transposed(H, half);
  const int64_t width = width_transposed(H);
  for (int64_t n = 0; n < H; n += width)
    for (int64_t gate = 0; gate < 4; ++gate, to += units * width)
      fill_transposed(W.data + n * G + gate * H + first, units, H - n < width ? H - n : width, G, width, to);
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
