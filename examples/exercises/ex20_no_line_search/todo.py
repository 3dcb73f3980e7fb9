"""ex20: a natural-gradient step without a line search."""


def improve(theta, critic, paths, norm, net, cfg, rng):
    """As trpo.improve, but the whole step is taken, whatever its KL and its gain turn out to be.

    1. trpo.advantages(critic, paths, norm, cfg); standardise adv; the policy's mean actions; trpo.Rows
    2. g = trpo.policy_gradient(theta, rows, net), F v = trpo.fisher_product(theta, rows, net)(v), on all rows
    3. x from trpo.conjugate_gradient of (F + cg_damping) x = g, cfg.cg_iters iterations; the last A entries of theta,
       log sigma, are no unknowns: neither g nor F knows of them
    4. theta + sqrt(2 target_kl / x^T (F + cg_damping) x) x, in which log sigma stays as it is
    5. a new value function: trpo.fit_value(critic, obs, time, target, cfg, rng)
    theta (P,), critic, paths (T, B, ...) -> theta (P,) in its dtype, critic, {"kl": mean KL(old || new) over the rows}
    """
    raise NotImplementedError("ex20: improve is still to be written")
