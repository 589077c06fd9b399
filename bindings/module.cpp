// The Python module karusel._engine: arrays and numbers in, arrays out, the lock released; nothing else.
// src/karusel/program/native.py is its only user and checks everything before it comes here.
#include <nanobind/stl/optional.h>

#include <pthread.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "karusel/executor.h"
#include "module.h"

using namespace karusel;

namespace {

class Gate {
 public:
  void enter() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return !closed_ || std::this_thread::get_id() == closed_by_; });
    ++inside_;
  }

  void leave() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (--inside_ == 0) changed_.notify_all();
  }

  void close() {
    std::unique_lock<std::mutex> lock(mutex_);
    closed_ = true;
    closed_by_ = std::this_thread::get_id();
    changed_.wait(lock, [this] { return inside_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t inside_ = 0;
  bool closed_ = false;
  std::thread::id closed_by_;
};

Gate* the_gate = nullptr;  // never freed: threads wait there for ever

// A forked child has one of its own, and so has a second interpreter in the process of a first.
void make_gate() { the_gate = new Gate; }

using InputTuple = std::tuple<int64_t, int64_t, int64_t, Values, ReadIndices, int64_t, std::optional<ReadNumbers>,
                              std::optional<ReadNumbers>>;
using Lengths = std::tuple<ReadIndices, ReadIndices>;  // of the rows and of their sources
using OutputTuple = std::tuple<int64_t, int64_t, int64_t, Outputs, ReadIndices, int64_t>;

// [batches, 2]: loss and weight, as Total has them.
using Totals = nb::ndarray<double, nb::shape<-1, 2>, nb::c_contig, nb::device::cpu>;
static_assert(sizeof(Total) == 2 * sizeof(double));

// The arrays stay alive as long as the caller's lists do, which is as long as the call.
Examples make_examples(const Lengths& lengths, const std::vector<InputTuple>& inputs,
                       const std::vector<OutputTuple>& outputs) {
  Examples examples;
  examples.lengths = std::get<0>(lengths).data();
  examples.source_lengths = std::get<1>(lengths).data();
  for (const auto& [buffer, first, width, values, starts, stride, shift, scale] : inputs)
    examples.inputs.push_back({buffer, first, width, const_cast<void*>(static_cast<const void*>(values.data())),
                               starts.data(), stride, shift ? shift->data() : nullptr,
                               scale ? scale->data() : nullptr});
  for (const auto& [buffer, first, width, values, starts, stride] : outputs)
    examples.outputs.push_back({buffer, first, width, values.data(), starts.data(), stride});
  return examples;
}

Selection make_selection(const ReadIndices& order) { return {order.data(), static_cast<int64_t>(order.shape(0))}; }

}  // namespace

Unlocked::Unlocked() : state_(PyEval_SaveThread()) { the_gate->enter(); }

Unlocked::~Unlocked() {
  PyEval_RestoreThread(state_);
  the_gate->leave();
}

void Unlocked::close_at_exit() {
  make_gate();
  static const int registered = pthread_atfork(nullptr, nullptr, make_gate);
  (void)registered;
  nb::module_::import_("atexit").attr("register")(nb::cpp_function([] {
    const nb::gil_scoped_release released;
    the_gate->close();
  }));
}

NB_MODULE(_engine, m) {
  Unlocked::close_at_exit();
  nb::set_leak_warnings(false);  // of what a thread holds that Python's end has cut off

  nb::class_<Executor>(m, "Executor")
      .def("__init__",
           [](Executor* self, const std::vector<BufferTuple>& buffers, int64_t n_weights,
              const std::vector<Program::CallTuple>& calls, std::vector<int64_t> offsets, int64_t arena_size,
              int64_t slice_rows, int64_t max_steps, int64_t source_steps, int threads, bool bf16) {
             new (self) Executor(make_program(buffers, n_weights, calls, std::move(offsets), arena_size, bf16),
                                 slice_rows, max_steps, source_steps, threads);
           })
      .def("evaluate",
           [](Executor& self, const ReadNumbers& weights, const Lengths& lengths,
              const std::vector<InputTuple>& inputs, const std::vector<OutputTuple>& outputs, const ReadIndices& order,
              int64_t batch, int64_t first_batch, double seconds, double loss, double weight) {
             const Examples examples = make_examples(lengths, inputs, outputs);
             Total total = {loss, weight};
             int64_t batches = 0;
             {
               const Unlocked unlocked;
               batches =
                   self.evaluate(weights.data(), examples, make_selection(order), batch, first_batch, seconds, total);
             }
             return nb::make_tuple(batches, total.loss, total.weight);
           })
      .def("gradient",
           [](Executor& self, const ReadNumbers& weights, const Lengths& lengths,
              const std::vector<InputTuple>& inputs, const std::vector<OutputTuple>& outputs, const ReadIndices& order,
              uint64_t seed, Numbers gradient) {
             const Examples examples = make_examples(lengths, inputs, outputs);
             Total total;
             {
               const Unlocked unlocked;
               total = self.gradient(weights.data(), examples, make_selection(order), seed, gradient.data());
             }
             return nb::make_tuple(total.loss, total.weight);
           })
      .def(
          "train",
          [](Executor& self, Numbers w, Numbers m, Numbers v, std::optional<Numbers> average,
             std::tuple<float, float, float, float, float, float> settings, int64_t step, const Lengths& lengths,
             const std::vector<InputTuple>& inputs, const std::vector<OutputTuple>& outputs, const ReadIndices& order,
             int64_t batch, int64_t first_batch, const ReadNumbers& rates, uint64_t seed, double seconds, Totals totals) {
            const Examples examples = make_examples(lengths, inputs, outputs);
            const auto [beta1, beta2, epsilon, decay, ema, clip_norm] = settings;
            Optimizer optimizer = {w.data(), m.data(),  v.data(), average ? average->data() : nullptr,
                                   beta1,    beta2,     epsilon,  decay,
                                   ema,      clip_norm, step};
            Progress progress;
            {
              const Unlocked unlocked;
              progress = self.train(optimizer, examples, make_selection(order), batch, first_batch, rates.data(), seed,
                                    seconds, reinterpret_cast<Total*>(totals.data()));
            }
            return nb::make_tuple(progress.batches, progress.finite, optimizer.step);
          },
          nb::arg("w"), nb::arg("m"), nb::arg("v"), nb::arg("average").none(), nb::arg("settings"), nb::arg("step"),
          nb::arg("lengths"), nb::arg("inputs"), nb::arg("outputs"), nb::arg("order"), nb::arg("batch"), nb::arg("first_batch"),
          nb::arg("rates"), nb::arg("seed"), nb::arg("seconds"), nb::arg("totals"))
      .def_prop_ro("allocations", &Executor::allocations);

  bind_stepper(m);

  m.def("multiplies_bf16", [] { return kernels().bf16; });
  m.def("level", [] { return std::string(kernels().level); });
  m.def("supported_levels", [] {
    std::vector<std::string> names;
    for (const char* const* name = supported_levels(); *name; ++name) names.emplace_back(*name);
    return names;
  });
}
