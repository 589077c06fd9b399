// What the parts of the Python module share: arrays, and programs as Python passes them.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "karusel/program.h"

namespace nb = nanobind;

using Numbers = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using ReadNumbers = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using ReadIndices = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Values = nb::ndarray<nb::ro, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Outputs = nb::ndarray<nb::ndim<1>, nb::c_contig, nb::device::cpu>;

using BufferTuple = std::tuple<int, int64_t, bool>;

inline karusel::Program make_program(const std::vector<BufferTuple>& buffers, int64_t n_weights,
                                     const std::vector<karusel::Program::CallTuple>& calls,
                                     std::vector<int64_t> offsets, int64_t arena_size, bool bf16 = false) {
  std::vector<karusel::Buffer> list;
  for (const auto& [extent, width, state] : buffers)
    list.push_back({static_cast<karusel::Extent>(extent), width, state});
  karusel::Program program(std::move(list), n_weights, calls, karusel::kernels(), bf16);
  program.place(std::move(offsets), arena_size);
  return program;
}

// While it lives, its thread is without Python's lock. Python ends a thread that asks for the lock when it is finishing,
// which aborts the process where C++ is on the stack: so Python waits at its exit for those inside, and lets none in.
class Unlocked {
 public:
  Unlocked();
  ~Unlocked();
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

  static void close_at_exit();

 private:
  PyThreadState* const state_;
};

void bind_stepper(nb::module_& m);
