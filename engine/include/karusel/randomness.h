// Random numbers by counter; src/karusel/randomness.py draws the same.
#pragma once

#include "karusel/shapes.h"

namespace karusel {

constexpr uint64_t GOLDEN = 0x9E3779B97F4A7C15u;  // what counters are spread by

// The finalizer of SplitMix64 (Steele, Lea & Flood 2014).
KARUSEL_INLINE inline uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

}  // namespace karusel
