"""Layers: each lowers itself to kernel calls; parameters belong to the network."""

from karusel.layers.activation import Activation
from karusel.layers.attention import Attention
from karusel.layers.base import Layer
from karusel.layers.dense import Dense
from karusel.layers.dropout import Dropout
from karusel.layers.embedding import Embedding
from karusel.layers.layer_norm import LayerNorm
from karusel.layers.lstm import LSTM
from karusel.layers.pool import Pool
from karusel.layers.transpose import Transpose

__all__ = [
    "LSTM",
    "Activation",
    "Attention",
    "Dense",
    "Dropout",
    "Embedding",
    "Layer",
    "LayerNorm",
    "Pool",
    "Transpose",
]
