"""ex01: a multilayer perceptron as one flat vector, forward and backward."""


def layers(theta, sizes):
    """Cut a flat vector into the weights and biases of a network with layer widths `sizes`.

    theta (P,) -> ((W (m, n), b (n,)), ...), one pair per layer, first layer first.  In theta the rows of the first W
    come first, then its b, then the next layer.  W and b are views: writing into them changes theta.
    """
    raise NotImplementedError("ex01: layers is still to be written")


def forward(theta, x, sizes):
    """The network's output: max(0, h W + b) in every hidden layer, h W + b in the last.

    x (B, sizes[0]) -> (B, sizes[-1])
    """
    raise NotImplementedError("ex01: forward is still to be written")


def backward(theta, x, g, sizes):
    """Sum over the rows of g^T (d forward / d theta): Rumelhart, Hinton & Williams 1986.

    x (B, sizes[0]), g (B, sizes[-1]) the derivative of some loss by the output -> that of the loss by theta, (P,)
    """
    raise NotImplementedError("ex01: backward is still to be written")
