// Rows of a table by index.
#include "level.h"
#include "simd.h"

namespace karusel {
namespace KARUSEL_LEVEL {

void embedding_forward(const EmbeddingForward& call) {
  const int64_t D = call.E.cols;
  for (int64_t r = 0; r < call.index.rows; ++r)
    for (int64_t k = 0; k < call.index.cols; ++k)
      std::memcpy(call.y.row(r) + k * D, call.E.row(call.index.row(r)[k]), sizeof(float) * static_cast<size_t>(D));
}

void embedding_backward(const EmbeddingBackward& call) {
  const int64_t D = call.dE.cols;
  for (int64_t r = 0; r < call.index.rows; ++r)
    for (int64_t k = 0; k < call.index.cols; ++k) {
      float* dE = call.dE.row(call.index.row(r)[k]);
      const float* dy = call.dy.row(r) + k * D;
      for_vectors(D, [&](int64_t j, auto get, auto put) { put(dE + j, get(dE + j) + get(dy + j)); });
    }
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
