// Shapes that every contract uses.
//
// Dimensions: B rows of a batch, T time steps, I inputs, H hidden units, O outputs,
// N = the sum of the rows' lengths (N = B·T when all rows have the same length). A row may have a second sequence,
// its source, of S steps; M = the sum of their lengths.
#pragma once

#include <cstddef>
#include <cstdint>

// Functions in headers that several instruction sets compile must be inlined: a copy left to the linker
// could be the one that this processor cannot run.
#define KARUSEL_INLINE __attribute__((always_inline))

namespace karusel {

// A view of some columns of a row-major float32 array: element (r, c) is data[r * stride + c].
// data == nullptr means "not given" for an optional input and "not wanted" for an optional output.
struct Matrix {
  float* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  KARUSEL_INLINE explicit operator bool() const { return data != nullptr; }
  KARUSEL_INLINE float* row(int64_t r) const { return data + r * stride; }
};

// The same for whole numbers (class labels, embedding indices).
struct IndexMatrix {
  const int32_t* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  KARUSEL_INLINE explicit operator bool() const { return data != nullptr; }
  KARUSEL_INLINE const int32_t* row(int64_t r) const { return data + r * stride; }
};

// A weight [rows, cols], row-major without gaps, as one operand of matrix products.
// `panels` and `panels_transposed` hold the same numbers laid out for the register tile (tile.h), or
// are nullptr when laying out costs more than it saves. With `halves` set, `panels` of an LSTM's weights, and of those
// that h is multiplied by `panels_transposed` too, are laid out for one row (halves.h).
// Memory behind `data` is readable 16 floats beyond the end: tiles load whole vectors.
struct Weight {
  const float* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  const float* panels = nullptr;
  const float* panels_transposed = nullptr;
  bool halves = false;
  bool bf16 = false;  // panels hold pairs of bf16, two rows of the weight (or of its transpose) in one

  KARUSEL_INLINE explicit operator bool() const { return data != nullptr; }
};

// Some units of an LSTM, side by side.
struct Units {
  int64_t first, count;
};

// One row's units are worked on in two halves, cut at a whole vector, if there are enough and not too many of them.
constexpr int64_t LEAST_HALVED = 64, MOST_HALVED = 2048;

KARUSEL_INLINE inline Units half_of(int64_t H, int half) {
  const int64_t cut = (H / 2 + 15) / 16 * 16;
  return half == 0 ? Units{0, cut} : Units{cut, H - cut};
}

// How a ragged batch lies in memory. Rows are sorted by length, longest first; step t of row r is
// line offset[t] + r of a [N, ...] array, and the first active[t] rows have a step t.
// offset has steps + 1 entries, offset[steps] = N. Lengths are at least 1.
struct Packing {
  int64_t rows = 0;
  int64_t steps = 0;
  int64_t total = 0;
  const int64_t* active = nullptr;
  const int64_t* offset = nullptr;
  const int64_t* length = nullptr;
  // What the row is called in the whole batch, and the batch's longest length: dropout draws by
  // these, so that a mask depends neither on slices nor on threads.
  const int64_t* name = nullptr;
  int64_t batch_steps = 0;
  // Of sources, which have an order of their own: the place here of row r's source.
  const int64_t* place = nullptr;
  // Steps that a stream made before: a row alone runs through its weights forth and back in turn.
  int64_t steps_before = 0;
};

}  // namespace karusel
