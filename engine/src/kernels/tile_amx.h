// Products of bf16 by the processor's matrix tiles (Intel AMX): 16 rows of 16 pairs times 16 rows of 16 columns.
#pragma once

#include "tile.h"

namespace karusel {
namespace KARUSEL_LEVEL {

constexpr int64_t SIDE = 16;  // rows of a tile, and numbers of 32 bits in each

// Tiles 0 to 3 are C, 2 x 2 of them; 4 and 5 are A; 6 and 7 are B. The lower ones of C and A may have other rows.
// GCC 12 does not know that this and loads of tiles read memory, so what is to be read is made to be there.
inline void shape_tiles(int64_t upper, int64_t lower) {
  struct alignas(64) Shape {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t bytes[16] = {};
    uint8_t rows[16] = {};
  } shape;
  for (int i = 0; i < 8; ++i) {
    const bool is_lower = i == 2 || i == 3 || i == 5;
    const int64_t rows = i >= 6 ? SIDE : is_lower ? lower : upper;
    shape.rows[i] = static_cast<uint8_t>(rows);
    shape.bytes[i] = rows ? 4 * SIDE : 0;
  }
  asm volatile("" ::: "memory");
  _tile_loadconfig(&shape);
}

// Up to 2 x 2 tiles of C, at row m and column n.
template <bool LOWER, bool RIGHT>
inline void tile_block(const Term<Pair>* terms, int64_t n_terms, int64_t m, int64_t n, Start start, float* C,
                       int64_t ldc) {
  if (start.data) {
    const float* from = start.data + m * start.row + n;
    const auto stride = static_cast<size_t>(4 * start.row);
    _tile_loadd(0, from, stride);
    if constexpr (RIGHT) _tile_loadd(1, from + SIDE, stride);
    if constexpr (LOWER) _tile_loadd(2, from + SIDE * start.row, stride);
    if constexpr (LOWER && RIGHT) _tile_loadd(3, from + SIDE * start.row + SIDE, stride);
  } else {
    _tile_zero(0);
    if constexpr (RIGHT) _tile_zero(1);
    if constexpr (LOWER) _tile_zero(2);
    if constexpr (LOWER && RIGHT) _tile_zero(3);
  }
  for (int64_t s = 0; s < n_terms; ++s) {
    const Term<Pair>& term = terms[s];
    const Pair* a = term.a + m * term.a_row;
    const Pair* b = term.b + n / P * term.b_panel + n % P;
    const auto a_stride = static_cast<size_t>(4 * term.a_row), b_stride = static_cast<size_t>(4 * term.b_row);
    for (int64_t k = 0; k < term.K; k += SIDE, a += SIDE, b += SIDE * term.b_row) {
      _tile_loadd(4, a, a_stride);
      _tile_loadd(6, b, b_stride);
      _tile_dpbf16ps(0, 4, 6);
      if constexpr (RIGHT) {
        _tile_loadd(7, b + SIDE, b_stride);
        _tile_dpbf16ps(1, 4, 7);
      }
      if constexpr (LOWER) {
        _tile_loadd(5, a + SIDE * term.a_row, a_stride);
        _tile_dpbf16ps(2, 5, 6);
      }
      if constexpr (LOWER && RIGHT) _tile_dpbf16ps(3, 5, 7);
    }
  }
  float* to = C + m * ldc + n;
  const auto stride = static_cast<size_t>(4 * ldc);
  _tile_stored(0, to, stride);
  if constexpr (RIGHT) _tile_stored(1, to + SIDE, stride);
  if constexpr (LOWER) _tile_stored(2, to + SIDE * ldc, stride);
  if constexpr (LOWER && RIGHT) _tile_stored(3, to + SIDE * ldc + SIDE, stride);
}

// Two tiles of rows from `first` to `last`, or one, in all whole tiles of columns.
template <bool LOWER>
inline void tile_band(int64_t first, int64_t last, int64_t N, const Term<Pair>* terms, int64_t n_terms, Start start,
                      float* C, int64_t ldc, bool backwards) {
  const int64_t blocks = N / (2 * SIDE);
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t n = (backwards ? blocks - 1 - i : i) * 2 * SIDE;
    for (int64_t m = first; m < last; m += 2 * SIDE) tile_block<LOWER, true>(terms, n_terms, m, n, start, C, ldc);
  }
  const int64_t n = blocks * 2 * SIDE;
  if (n + SIDE <= N)
    for (int64_t m = first; m < last; m += 2 * SIDE) tile_block<LOWER, false>(terms, n_terms, m, n, start, C, ldc);
}

// A's rows are contiguous (a_step 1) and K is a multiple of SIDE. A row's sums do not depend on the other rows.
inline void multiply(int64_t M, int64_t N, const Term<Pair>* terms, int64_t n_terms, Start start, float* C, int64_t ldc,
                     bool backwards = false) {
  const int64_t whole = M / (2 * SIDE) * (2 * SIDE), rest = M - whole;
  if (whole > 0) {
    shape_tiles(SIDE, SIDE);
    tile_band<true>(0, whole, N, terms, n_terms, start, C, ldc, backwards);
  }
  if (rest > SIDE) {
    shape_tiles(SIDE, rest - SIDE);
    tile_band<true>(whole, M, N, terms, n_terms, start, C, ldc, backwards);
  } else if (rest > 0) {
    shape_tiles(rest, 0);
    tile_band<false>(whole, M, N, terms, n_terms, start, C, ldc, backwards);
  }
  _tile_release();

  // Columns that fill no tile.
  const int64_t n = N / SIDE * SIDE;
  if (n == N || M <= 0) return;
  Term<Pair> ends[2];
  for (int64_t s = 0; s < n_terms; ++s) {
    ends[s] = terms[s];
    ends[s].b += n / P * terms[s].b_panel + n % P;
  }
  const Tiles tiles(M);
  for (int64_t i = 0, m = 0; i < tiles.count; m += tiles.rows(i++))
    tile_rows(tiles.rows(i), ends, n_terms, m, 0, N - n, start.at(m, n), C + m * ldc + n, ldc);
}

// Of gemm.h's blocks: a[row][k] = the pair of lines 2k and 2k + 1 in that column, `rows` columns of `lines` lines.
inline void copy_columns(int64_t lines, int64_t K, const float* from, int64_t stride, int64_t rows, Pair* a) {
  alignas(64) int32_t place[SIDE];
  for (int64_t j = 0; j < SIDE; ++j) place[j] = static_cast<int32_t>(j * K);
  const __m512i places = _mm512_load_si512(place);
  for (int64_t row = 0; row < rows; row += SIDE, from += SIDE, a += SIDE * K)
    for (int64_t k = 0; k < K; ++k) {
      const float* line = from + 2 * k * stride;
      const Int both = paired(2 * k < lines ? load(line) : Vec{}, 2 * k + 1 < lines ? load(line + stride) : Vec{});
      _mm512_i32scatter_epi32(a + k, places, reinterpret_cast<__m512i>(both), 4);
    }
}

inline void multiply_columns(int64_t rows, int64_t cols, int64_t K, const Pair* a, const Pair* b, Ahead, Start start,
                             float* C, int64_t ldc) {
  const Term<Pair> term = {a, K, 1, b, P, 0, K};
  multiply(rows, cols, &term, 1, start, C, ldc);
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
