// Draws from what a network puts out: one symbol, or several notes at once. src/karusel/sampling.py draws the same.
#pragma once

#include <vector>

#include "karusel/shapes.h"

namespace karusel {

// symbol: one of softmax(y / temperature). Of the top_k likeliest (0: of all), the fewest count whose share of the
//   chances is at least top_p. Temperature 0 takes the likeliest; of equals the first.
// notes: each one by itself, with the chance sigmoid(y / temperature); top_k and top_p have no meaning.
enum class Draw : int { symbol = 0, notes = 1 };

struct Sampling {
  Draw draw = Draw::symbol;
  double temperature = 1;
  int64_t top_k = 0;
  double top_p = 1;
  uint64_t key = 0;
};

class Sampler {
 public:
  Sampler(const Sampling& sampling, int64_t outputs);

  // What is drawn in a step from y [outputs], as the network's next input: an int32 in the place of a float, or
  // zeros and ones [outputs].
  void draw(const float* y, uint64_t step, float* next);

 private:
  double uniform(uint64_t counter) const;
  int32_t symbol(const float* y, double u);

  Sampling sampling_;
  int64_t outputs_;
  std::vector<double> chances_;
  std::vector<int32_t> order_;
};

}  // namespace karusel
