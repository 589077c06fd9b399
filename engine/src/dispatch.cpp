// Chooses the set of kernels for this processor.
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include "karusel/kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace karusel {

#if defined(__x86_64__)
namespace v2 {
extern const Kernels table;
}
namespace v3 {
extern const Kernels table;
}
namespace v4 {
extern const Kernels table;
}
namespace v4bf16 {
extern const Kernels table;
}
namespace v4amx {
extern const Kernels table;
}
#else
namespace portable {
extern const Kernels table;
}
#endif

namespace {

constexpr int MOST = 5;

#if defined(__x86_64__)
// Whether there are matrix tiles for bf16, and the system lets this process use them: it asks to be asked.
bool has_tiles() {
#if defined(__linux__)
  unsigned a, b, c, d;
  constexpr unsigned TILES = 1u << 24, TILES_OF_BF16 = 1u << 22;
  constexpr long REQUEST = 0x1023, TILE_DATA = 18;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & TILES) || !(d & TILES_OF_BF16)) return false;
  return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
#else
  return false;
#endif
}
#endif

struct Levels {
  const Kernels* tables[MOST] = {};
  const char* names[MOST + 1] = {};
  int count = 0;

  void add(const Kernels& table) {
    tables[count] = &table;
    names[count++] = table.level;
  }
};

const Levels& levels() {
  static const Levels found = [] {
    Levels l;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt")) l.add(v2::table);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
      l.add(v3::table);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      l.add(v4::table);
      if (__builtin_cpu_supports("avx512bf16")) {
        l.add(v4bf16::table);
        if (has_tiles()) l.add(v4amx::table);
      }
    }
#else
    l.add(portable::table);
#endif
    return l;
  }();
  return found;
}

}  // namespace

const char* const* supported_levels() { return levels().names; }

const Kernels& kernels() {
  static const Kernels& chosen = []() -> const Kernels& {
    const Levels& l = levels();
    const char* wanted = std::getenv("KARUSEL_LEVEL");
    if (wanted && *wanted) {
      for (int i = 0; i < l.count; ++i)
        if (std::strcmp(wanted, l.names[i]) == 0) return *l.tables[i];
      throw std::runtime_error("KARUSEL_LEVEL=" + std::string(wanted) +
                               " names no set of kernels that this processor can run");
    }
    if (l.count == 0) throw std::runtime_error("this processor is older than x86-64-v2");
    return *l.tables[l.count - 1];
  }();
  return chosen;
}

}  // namespace karusel
