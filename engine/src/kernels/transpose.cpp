// The steps of each row in another order: a grid written row by row, read column by column.
#include <cstring>

#include "level.h"
#include "simd.h"

namespace karusel {
namespace KARUSEL_LEVEL {
namespace {

// visit(line of the step in the grid's rows, line of the same step in its columns) for every step of every row.
template <class F>
void each_pair(const Packing& packing, int64_t columns, F visit) {
  for (int64_t r = 0; r < packing.rows; ++r) {
    int64_t to = 0;
    for (int64_t column = 0; column < columns && column < packing.length[r]; ++column)
      for (int64_t from = column; from < packing.length[r]; from += columns, ++to)
        visit(packing.offset[from] + r, packing.offset[to] + r);
  }
}

}  // namespace

void transpose_forward(const Packing& packing, const TransposeForward& call) {
  const size_t bytes = static_cast<size_t>(call.x.cols) * sizeof(float);
  each_pair(packing, call.columns,
            [&](int64_t from, int64_t to) { std::memcpy(call.y.row(to), call.x.row(from), bytes); });
}

void transpose_backward(const Packing& packing, const TransposeBackward& call) {
  each_pair(packing, call.columns, [&](int64_t from, int64_t to) {
    const float* dy = call.dy.row(to);
    float* dx = call.dx.row(from);
    for_vectors(call.dx.cols, [&](int64_t j, auto get, auto put) {
      put(dx + j, call.accumulate ? get(dx + j) + get(dy + j) : get(dy + j));
    });
  });
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
