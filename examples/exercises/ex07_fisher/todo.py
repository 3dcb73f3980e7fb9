"""ex07: the product of the Fisher matrix and a vector, two ways."""


def fisher_by_hand(theta, obs, v, net):
    """F v = mean over the rows of J^T M J v: appendix C of arXiv:1502.05477.

    J is the derivative of (mu, log sigma) by theta, M the metric of a Gaussian: 1/sigma^2 for the mean and 2 for
    log sigma.  nets.mlp_jvp is J v for the mean, nets.mlp_vjp is J^T g summed over the rows; both need nets.mlp_tape.
    theta, v (P,): weights and biases, then log sigma (A,); obs (B, S), net a nets.Net (sizes, limit) -> (P,)
    """
    raise NotImplementedError("ex07: fisher_by_hand is still to be written")


def fisher_by_autograd(theta, obs, v, net):
    """The same F v as Hessian-vector product of the mean over the rows of KL(theta || t) at t = theta.

    With autograd: differentiate the KL by t, multiply by v, differentiate again.  theta, v (P,), obs (B, S) -> (P,)
    """
    raise NotImplementedError("ex07: fisher_by_autograd is still to be written")
