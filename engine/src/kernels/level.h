// The kernels of the level that is being compiled; table.cpp collects them.
#pragma once

#include "karusel/kernels.h"

namespace karusel {
namespace KARUSEL_LEVEL {

void lstm_forward(const Packing&, const LstmForward&);
bool lstm_forward_row(const Packing&, const LstmForward&);  // false, with nothing done, unless it fits registers
void lstm_forward_halves(const Packing&, const LstmForward&);  // of weights laid out by halves
void lstm_backward(const Packing&, const LstmBackward&);
void lstm_backward_halves(const Packing&, const LstmBackward&);
void dense_forward(const DenseForward&);
void dense_backward(const DenseBackward&);
void embedding_forward(const EmbeddingForward&);
void embedding_backward(const EmbeddingBackward&);
void layer_norm_forward(const LayerNormForward&);
void layer_norm_backward(const LayerNormBackward&);
void dropout(const Packing&, const Dropout&);
void activation_forward(const ActivationForward&);
void activation_backward(const ActivationBackward&);
void softmax(const Softmax&);
void add(const Add&);
void broadcast_forward(const BroadcastForward&);
void broadcast_backward(const BroadcastBackward&);
void last_forward(const Packing&, const LastForward&);
void last_backward(const Packing&, const LastBackward&);
void mean_forward(const Packing&, const MeanForward&);
void mean_backward(const Packing&, const MeanBackward&);
void max_forward(const Packing&, const MaxForward&);
void max_backward(const Packing&, const MaxBackward&);
void transpose_forward(const Packing&, const TransposeForward&);
void transpose_backward(const Packing&, const TransposeBackward&);
void attention_forward(const Packing&, const Packing&, const AttentionForward&);
void attention_backward(const Packing&, const Packing&, const AttentionBackward&);
double loss(const Loss&);
double softmax_loss(const SoftmaxLoss&);
double ctc_loss(const Packing&, const CtcLoss&);
double surrogate_loss(const SurrogateLoss&);
void pack(const Weight&, float*);
void pack_transposed(const Weight&, float*);
void pack_half(const Weight&, int, float*, float*);
void adam(const AdamStep&);
void accumulate(int64_t, const float*, float*);
double squared_norm(int64_t, const float*);

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
