// How an LSTM's weights lie for one row, whose units are worked on in two halves. Each half reads panels of its own:
// the columns of its own gates, i f g o side by side, of W and U, and those columns of U transposed, which lead the
// gradient of its gates back to all units.
#pragma once

#include "karusel/shapes.h"
#include "tile.h"

namespace karusel {
namespace KARUSEL_LEVEL {

// Where the panels of a half begin, of a weight with K rows. Those of the first half are whole.
inline int64_t half_panels(int64_t H, int half, int64_t K) { return half == 0 ? 0 : 4 * half_of(H, 0).count * K; }

// Columns of the transposed panels. The units of a half are read apart from the other's: where they would be half of a
// panel, they would leave half of the nearest cache empty.
inline bool narrow_panels(int64_t H) { return V == 16 && H < 2 * P; }
inline int64_t width_transposed(int64_t H) { return narrow_panels(H) ? P / 2 : P; }

inline int64_t half_panels_transposed(int64_t H, int half) {
  const int64_t width = width_transposed(H);
  return half == 0 ? 0 : 4 * half_of(H, 0).count * ((H + width - 1) / width * width);
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
