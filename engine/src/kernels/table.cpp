// The table of the kernels of one level.
#include "gemm.h"
#include "level.h"

#define KARUSEL_TEXT(x) #x
#define KARUSEL_NAME(x) KARUSEL_TEXT(x)

namespace karusel {
namespace KARUSEL_LEVEL {

extern const Kernels table;
const Kernels table = {
    KARUSEL_NAME(KARUSEL_LEVEL),
    P,
    PAIRS,
#if defined(__AVX512BF16__)
    true,
#else
    false,
#endif
    lstm_forward,
    lstm_backward,
    dense_forward,
    dense_backward,
    embedding_forward,
    embedding_backward,
    layer_norm_forward,
    layer_norm_backward,
    dropout,
    activation_forward,
    activation_backward,
    softmax,
    add,
    broadcast_forward,
    broadcast_backward,
    last_forward,
    last_backward,
    mean_forward,
    mean_backward,
    max_forward,
    max_backward,
    transpose_forward,
    transpose_backward,
    attention_forward,
    attention_backward,
    loss,
    softmax_loss,
    ctc_loss,
    surrogate_loss,
    pack,
    pack_transposed,
    pack_half,
    adam,
    accumulate,
    squared_norm,
};

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
