#include "karusel/stepper.h"

#include <algorithm>
#include <cstring>

#include "karusel/threads.h"

namespace karusel {
namespace {

// Numbers of one step of one row, at data + r * row + t * step.
template <class Number>
struct Lines {
  Number* data;
  int64_t row, step;
};

void copy_lines(int64_t rows, int64_t steps, int64_t width, Lines<const float> from, Lines<float> to) {
  const size_t bytes = static_cast<size_t>(width) * sizeof(float);
  if (rows == 1) {  // then both lie without gaps
    std::memcpy(to.data, from.data, static_cast<size_t>(steps) * bytes);
    return;
  }
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t t = 0; t < steps; ++t)
      std::memcpy(to.data + r * to.row + t * to.step, from.data + r * from.row + t * from.step, bytes);
}

}  // namespace

Stepper::Stepper(Program program, const float* weights, int64_t rows, int64_t max_steps, int64_t state_size,
                 int64_t input, int64_t output, int threads)
    : program_(std::move(program)),
      rows_(rows),
      max_steps_(max_steps),
      shares_(rows == 1 && threads > 1 && program_.has_halves()),
      input_(static_cast<size_t>(input)),
      output_(static_cast<size_t>(output)),
      active_(static_cast<size_t>(max_steps), rows),
      offset_(static_cast<size_t>(max_steps) + 1),
      length_(static_cast<size_t>(rows)) {
  std::memcpy(weights_.resize(program_.n_weights()), weights,
              static_cast<size_t>(program_.n_weights()) * sizeof(float));
  // The weights never change, so their panels are laid out once.
  float* panels = panels_.resize(program_.panels_size());
  for (size_t i = 0; i < program_.packed().size(); ++i) program_.pack(kernels(), weights_.data(), panels, i, rows == 1);
  for (int half = 0; rows == 1 && half < 2; ++half) program_.pack_half(kernels(), weights_.data(), panels, half);
  arena_.resize(program_.arena_size());
  state_.resize(state_size);
  for (int64_t t = 0; t <= max_steps; ++t) offset_[static_cast<size_t>(t)] = t * rows;

  packing_.rows = rows;
  packing_.active = active_.data();
  packing_.offset = offset_.data();
  packing_.length = length_.data();
  frame_.one_row = rows == 1;
  frame_.kernels = &kernels();
  frame_.packing = &packing_;
  frame_.arena = arena_.data();
  frame_.state = state_.data();
  frame_.weights = weights_.data();
  frame_.panels = panels_.data();
}

void Stepper::run(const float* x, int64_t steps, int64_t first, int64_t last, float* y) {
  const FlushDenormals flush;
  const bool per_step = program_.buffers()[output_].extent == Extent::steps;
  const int64_t I = inputs(), O = outputs();
  float* input = arena_.data() + program_.offset(input_);
  const float* output = arena_.data() + program_.offset(output_);
  for (int64_t t = first; t < last; t += max_steps_) {
    const int64_t chunk = std::min(max_steps_, last - t);
    copy_lines(rows_, chunk, I, {x + t * I, steps * I, I}, {input, I, rows_ * I});
    run_chunk(chunk);
    if (per_step) copy_lines(rows_, chunk, O, {output, O, rows_ * O}, {y + t * O, steps * O, O});
  }
  if (!per_step) copy_lines(1, 1, rows_ * O, {output, 0, 0}, {y, 0, 0});
}

void Stepper::generate(const float* x, int64_t steps, const Sampling& sampling, uint64_t first, float* drawn) {
  Sampler sampler(sampling, outputs());
  std::vector<float> y(static_cast<size_t>(outputs()));
  for (int64_t t = 0; t < steps; ++t) {
    run(t == 0 ? x : drawn + (t - 1) * inputs(), 1, 0, 1, y.data());
    sampler.draw(y.data(), first + static_cast<uint64_t>(t), drawn + t * inputs());
  }
}

void Stepper::run_chunk(int64_t steps) {
  if (packing_.steps != steps) {
    packing_.steps = packing_.batch_steps = steps;
    packing_.total = steps * rows_;
    std::fill(length_.begin(), length_.end(), steps);
  }
  const auto run = [&](bool share) {
    frame_.share = share;
    program_.run(frame_);
  };
  if (shares_ && steps > 1)  // one step is over before another thread hears of it
    sharing_.take(steps, run);
  else
    run(false);
  packing_.steps_before += steps;
}

}  // namespace karusel
