"""Plausible wrong answers to ex01."""

import numpy as np

import nets


def copies(theta, sizes):
    return tuple((W.copy(), b.copy()) for W, b in nets.layers(theta, sizes))


def no_gates(theta, x, g, sizes):
    tape, out = nets.mlp_tape(theta, x, sizes), np.empty_like(theta)
    for (W, _), (gW, gb), h in reversed(list(zip(nets.layers(theta, sizes), nets.layers(out, sizes), tape))):
        gW[:], gb[:], g = h.T @ g, g.sum(axis=0), g @ W.T
    return out


def mean_biases(theta, x, g, sizes):
    out = nets.mlp_vjp(theta, nets.mlp_tape(theta, x, sizes), g, sizes)
    for _, b in nets.layers(out, sizes):
        b /= len(x)
    return out


def relu_at_the_end(theta, x, sizes):
    return np.maximum(nets.mlp(theta, x, sizes), 0)


WRONG = {
    "the layers are copies": dict(layers=copies),
    "the gradient flows through units that are off": dict(backward=no_gates),
    "gradients of the biases are means over the rows": dict(backward=mean_biases),
    "the last layer has a ReLU, too": dict(forward=relu_at_the_end),
}
