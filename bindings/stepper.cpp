// A stream's stepper in Python. A small step is one call, from Python's numbers to a new array: where it takes well
// under a microsecond, looking at x in Python would take longer than the network.
#include <cmath>
#include <cstring>
#include <mutex>

#include "karusel/stepper.h"
#include "karusel/threads.h"
#include "module.h"

using namespace karusel;

namespace {

constexpr int64_t SMALL_WORK = 1 << 21;  // products in a step, some 100 microseconds: more let go of Python's lock

// Which step an object holds: [I] of the only row, or [rows, I]. What is neither, or breaks a rule (finite numbers,
// symbols inside their range), or is an unusual type, is left to Python, which also knows what to say.
enum class Step { none, row, rows };

// Reads a step into 4-byte numbers: floats, or int32 if there are symbols. Leaves no Python error behind.
class StepReader {
 public:
  StepReader(int64_t rows, int64_t width, int64_t symbols, const nb::object& array)
      : rows_(rows),
        width_(width),
        symbols_(symbols),
        array_(nb::borrow(array.type())),
        float32_(array.attr("dtype").attr("type")),
        numbers_(static_cast<size_t>(rows * width)) {}

  const float* numbers() const { return numbers_.data(); }

  Step read(PyObject* x) {
    if (PyList_Check(x) || PyTuple_Check(x)) {
      if (rows_ != 1 || PySequence_Fast_GET_SIZE(x) != width_) return Step::none;
      for (int64_t i = 0; i < width_; ++i)
        if (!read_number(PySequence_Fast_GET_ITEM(x, i), i)) return Step::none;
      return Step::row;
    }
    if (rows_ == 1 && width_ == 1 && read_number(x, 0)) return Step::row;
    return read_buffer(x);
  }

 private:
  bool put(int64_t at, double x) {
    const float number = static_cast<float>(x);
    numbers_[static_cast<size_t>(at)] = number;
    return !symbols_ && std::isfinite(number);
  }
  bool put(int64_t at, int64_t x) {
    if (!symbols_) return put(at, static_cast<double>(x));
    const int32_t symbol = static_cast<int32_t>(x);
    std::memcpy(&numbers_[static_cast<size_t>(at)], &symbol, sizeof symbol);
    return x >= 0 && x < symbols_;
  }

  bool read_number(PyObject* x, int64_t at) {
    if (PyFloat_Check(x)) return put(at, PyFloat_AS_DOUBLE(x));
    if (PyLong_Check(x)) {
      int overflow = 0;
      const int64_t number = PyLong_AsLongLongAndOverflow(x, &overflow);
      return !overflow && put(at, number);
    }
    return nb::handle(x).type().is(float32_) && put(at, PyFloat_AsDouble(x));
  }

  Step read_buffer(PyObject* x) {
    // What is derived from an array may mean more than its numbers, such as a mask.
    if (!PyObject_CheckBuffer(x) || (nb::isinstance(x, array_) && !nb::handle(x).type().is(array_))) return Step::none;
    Py_buffer view;
    if (PyObject_GetBuffer(x, &view, PyBUF_RECORDS_RO) != 0) {
      PyErr_Clear();
      return Step::none;
    }
    const Step step = shape(view);
    const bool read = step != Step::none && view.format && view.format[0] && !view.format[1] && read_lines(view);
    PyBuffer_Release(&view);
    return read ? step : Step::none;
  }

  Step shape(const Py_buffer& view) const {
    if (view.ndim == 2) return view.shape[0] == rows_ && view.shape[1] == width_ ? Step::rows : Step::none;
    const int64_t numbers = view.ndim == 1 ? view.shape[0] : 1;
    return view.ndim < 2 && rows_ == 1 && numbers == width_ ? Step::row : Step::none;
  }

  bool read_lines(const Py_buffer& view) {
    switch (view.format[0]) {
      case 'f': return read_lines<float, double>(view);
      case 'd': return read_lines<double, double>(view);
      case 'i': return read_lines<int, int64_t>(view);
      case 'l': return read_lines<long, int64_t>(view);
      case 'q': return read_lines<long long, int64_t>(view);
      default: return false;
    }
  }

  template <class From, class To>
  bool read_lines(const Py_buffer& view) {
    const Py_ssize_t row = view.ndim == 2 ? view.strides[0] : 0;
    const Py_ssize_t column = view.ndim > 0 ? view.strides[view.ndim - 1] : 0;
    bool fine = true;
    for (int64_t r = 0; r < rows_; ++r)
      for (int64_t i = 0; i < width_; ++i) {
        From number;  // which need not be aligned
        std::memcpy(&number, static_cast<const char*>(view.buf) + r * row + i * column, sizeof number);
        fine &= put(r * width_ + i, static_cast<To>(number));
      }
    return fine;
  }

  int64_t rows_, width_, symbols_;
  nb::object array_, float32_;  // NumPy's types of an array and of a single number
  std::vector<float> numbers_;
};

// Threads take turns at a stepper, and none waits for its turn with Python's lock in its hand.
class StreamStepper {
 public:
  StreamStepper(Program program, const ReadNumbers& weights, int64_t rows, int64_t max_steps, int64_t state_size,
                int64_t input, int64_t output, int64_t symbols, int threads, nb::object y)
      : stepper_(std::move(program), weights.data(), rows, max_steps, state_size, input, output, threads),
        reader_(rows, stepper_.inputs(), symbols, y),
        small_(rows * stepper_.n_weights() <= SMALL_WORK),
        y_(std::move(y)),
        y_row_(y_[nb::int_(0)]),
        y_numbers_(nb::cast<nb::ndarray<float, nb::ndim<2>, nb::c_contig>>(y_).data()) {}

  // y [rows, O] or, of one row, [O]; None, and nothing has changed, where the long way is to be taken: x is better
  // looked at in Python, the step is long, or another thread has its turn.
  nb::object step(nb::handle x) {
    const Step step = small_ ? reader_.read(x.ptr()) : Step::none;
    if (step == Step::none) return nb::none();
    const std::unique_lock<Turn> turn(turn_, std::try_to_lock);
    if (!turn) return nb::none();
    stepper_.run(reader_.numbers(), 1, 0, 1, y_numbers_);
    // A copy of an array that is at hand is the cheapest new one.
    PyObject* self[] = {(step == Step::row ? y_row_ : y_).ptr()};
    PyObject* y = PyObject_VectorcallMethod(copy_.ptr(), self, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
    if (!y) throw nb::python_error();
    return nb::steal(y);
  }

  void run(const Values& x, int64_t steps, int64_t first, int64_t last, Numbers y) {
    const Unlocked unlocked;
    const std::lock_guard<Turn> turn(turn_);
    stepper_.run(static_cast<const float*>(x.data()), steps, first, last, y.data());
  }

  void generate(const Values& x, int64_t steps, int draw, double temperature, int64_t top_k, double top_p, uint64_t key,
                uint64_t first, Outputs drawn) {
    const Unlocked unlocked;
    const std::lock_guard<Turn> turn(turn_);
    stepper_.generate(static_cast<const float*>(x.data()), steps,
                      {static_cast<Draw>(draw), temperature, top_k, top_p, key}, first,
                      static_cast<float*>(drawn.data()));
  }

  void read_state(Numbers state) {
    const Unlocked unlocked;
    const std::lock_guard<Turn> turn(turn_);
    std::memcpy(state.data(), stepper_.state(), state_bytes());
  }

  void write_state(const ReadNumbers& state) {
    const Unlocked unlocked;
    const std::lock_guard<Turn> turn(turn_);
    std::memcpy(stepper_.state(), state.data(), state_bytes());
  }

 private:
  size_t state_bytes() const { return static_cast<size_t>(stepper_.state_size()) * sizeof(float); }

  Stepper stepper_;
  StepReader reader_;
  bool small_;
  nb::object y_, y_row_;  // the last step's output, [rows, O] and its row [O]
  float* y_numbers_;
  nb::object copy_ = nb::steal(PyUnicode_InternFromString("copy"));
  Turn turn_;
};

}  // namespace

void bind_stepper(nb::module_& m) {
  nb::class_<StreamStepper>(m, "Stepper")
      .def("__init__",
           [](StreamStepper* self, const std::vector<BufferTuple>& buffers, int64_t n_weights,
              const std::vector<Program::CallTuple>& calls, std::vector<int64_t> offsets, int64_t arena_size,
              const ReadNumbers& weights, int64_t rows, int64_t max_steps, int64_t state_size, int64_t input,
              int64_t output, int64_t symbols, int threads, nb::object y) {
             new (self) StreamStepper(make_program(buffers, n_weights, calls, std::move(offsets), arena_size), weights,
                                      rows, max_steps, state_size, input, output, symbols, threads, std::move(y));
           })
      .def("step", &StreamStepper::step, nb::arg().none())
      .def("run", &StreamStepper::run)
      .def("generate", &StreamStepper::generate)
      .def("read_state", &StreamStepper::read_state)
      .def("write_state", &StreamStepper::write_state);
}
