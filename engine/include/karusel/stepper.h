// Runs a forward program with state over steps as they come, rows side by side.
#pragma once

#include <vector>

#include "karusel/choice.h"
#include "karusel/floats.h"
#include "karusel/program.h"
#include "karusel/sampling.h"

namespace karusel {

class Stepper {
 public:
  // The program's buffers `input` and `output` hold x and y; its arena is planned for `rows` rows of at most
  // max_steps steps. The weights are copied. With two threads or more, two share steps of one row that come together.
  Stepper(Program program, const float* weights, int64_t rows, int64_t max_steps, int64_t state_size, int64_t input,
          int64_t output, int threads);
  Stepper(const Stepper&) = delete;  // the frame points into the stepper itself
  Stepper& operator=(const Stepper&) = delete;

  // Steps [first, last) of x [rows, steps, I] -> the same steps of y [rows, steps, O]; with one output per row, y
  // [rows, O] is what it is after them. Any number of steps; nothing is allocated.
  void run(const float* x, int64_t steps, int64_t first, int64_t last, float* y);

  // Steps of the only row whose inputs the network itself puts out: from x [I] on, what each step draws goes to
  // `drawn` [steps, I] and is the input of the next. The last is drawn, not read. first: number of the first draw.
  void generate(const float* x, int64_t steps, const Sampling&, uint64_t first, float* drawn);

  // The buffers with state, which outlive a run.
  float* state() { return state_.data(); }
  int64_t state_size() const { return state_.size(); }

  int64_t rows() const { return rows_; }
  int64_t inputs() const { return program_.buffers()[input_].width; }
  int64_t outputs() const { return program_.buffers()[output_].width; }
  int64_t n_weights() const { return program_.n_weights(); }

 private:
  void run_chunk(int64_t steps);

  Program program_;
  int64_t rows_, max_steps_;
  bool shares_;
  size_t input_, output_;
  Floats weights_, panels_, arena_, state_;
  std::vector<int64_t> active_, offset_, length_;
  Packing packing_;
  Frame frame_ = {};
  Choice sharing_;  // alone or shared
};

}  // namespace karusel
