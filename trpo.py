"""Trust region policy optimisation (Schulman et al., arXiv:1502.05477) for diagonal-Gaussian policies.

The first three functions know no network and no policy.  Then come the parts of `step`, the step itself, the value
functions, and `improve`, one whole update.  All of this file belongs to the algorithm.

Of the policy's network `step` needs only two derivatives of the mean action: J v (`nets.mlp_jvp`) and J^T g
(`nets.mlp_vjp`).  With `gradients="autograd"` neither is used: autograd differentiates the two scalar functions
`surrogate` and `kl_sum`.  What "the original" does differently: examples/original.md.

Letters in shapes: T time, B batch, N rows (T*B), P parameters, S/A observation/action dimension.
"""

import copy
from typing import NamedTuple

import autograd.numpy as anp
import numpy as np
from autograd import grad

import nets

if not hasattr(nets, "mlp_vjp"):  # a folder or file of this name that came first
    found = nets.__file__ or list(nets.__path__)[0]
    raise ImportError(f"trpo.py needs its own nets.py, but Python finds {found}: rename that one")

# --- three solvers that know no policy ------------------------------------------------------------------------------


def gae(rew, val, next_val, terminated, truncated, gamma, lam):
    """Generalised advantage estimation, Eq. (16) of arXiv:1506.02438.  All (T, B) -> (T, B), unit of reward.

        td[t] = rew[t] + gamma * next_val[t] - val[t],  adv[t] = td[t] + gamma * lam * adv[t + 1]

    next_val[t] is the value of next_obs[t].  Do not take val[t + 1]: after a restart that is another path's.
    Termination makes next_val 0; termination and truncation leave adv[t + 1] out.  The last row bootstraps unless it
    terminated (the original code takes the value 0 at the horizon).
    """
    if len({x.shape for x in (rew, val, next_val, terminated, truncated)}) != 1 or rew.ndim != 2:
        raise ValueError("gae: rew, val, next_val, terminated and truncated must all have one shape (T, B)")
    if not terminated.dtype == truncated.dtype == bool:
        raise ValueError("gae: terminated and truncated must be bool")
    td = rew + gamma * np.where(terminated, 0.0, next_val) - val
    return _discounted_sum(td.astype(np.float64), terminated | truncated, gamma * lam)


@nets.compiled
def _discounted_sum(td, ended, decay):
    """From the last row to the first: adv[t] = td[t] + decay * adv[t + 1], where no path ended at t."""
    adv = td.copy()
    for t in range(len(td) - 2, -1, -1):
        for b in range(td.shape[1]):
            if not ended[t, b]:
                adv[t, b] += decay * adv[t + 1, b]
    return adv


def conjugate_gradient(product, b, iters=10, tol=1e-10):
    """Solve A x = b for symmetric positive definite A, given only v -> A v.  b (P,) -> x (P,), residual |A x - b| / |b|

    Hestenes & Stiefel 1952; arXiv:1502.05477, appendix C.  float64 here, whatever `product` uses: float32 dot
    products of long vectors would spoil conjugacy.  The residual is the r of the loop; A x - b is not computed again.
    """
    x, r = np.zeros(b.shape), np.array(b, np.float64)  # solution so far, residual b - A x
    p = r.copy()  # direction of the next step; a copy, because r changes below
    rr = bb = r @ r
    for _ in range(iters):
        if rr <= tol * tol * bb:
            break
        z = product(p)
        step_length = rr / (p @ z)
        x += step_length * p
        r -= step_length * z
        rr, rr_old = r @ r, rr
        p = r + (rr / rr_old) * p
    return x, float(np.sqrt(rr / bb)) if bb != 0 else 0.0


def line_search(evaluate, full_step, expected, max_kl, backtrack=0.8, max_backtracks=15, accept_ratio=0.1):
    """The longest of ever shorter steps that improves and stays in the trust region: arXiv:1502.05477, appendix C.

    `evaluate(step) -> (improvement, kl)`; full_step (P,); `expected` is the improvement that the gradient predicts
    for the full step.  It takes the first backtrack^k * full_step with kl <= max_kl whose improvement is positive and
    at least accept_ratio of the predicted one (the original code looks at the improvement alone).
    -> step (P,) (zeros when none is), improvement, kl, backtracks, accepted
    """
    for k in range(max_backtracks + 1):
        fraction = backtrack**k
        improvement, kl = evaluate(fraction * full_step)
        # written so that NaN is refused
        if kl <= max_kl and improvement > 0 and improvement >= accept_ratio * fraction * expected:
            return fraction * full_step, improvement, kl, k, True
    return np.zeros_like(full_step), 0.0, 0.0, max_backtracks, False


# --- the trust-region problem of a Gaussian policy ------------------------------------------------------------------


class Rows(NamedTuple):
    """What one update needs of each row: normalised obs (N, S), act (N, A), advantage (N,) and the policy's mean
    action when it acted, mu (N, A); its log_std (A,) is shared."""

    obs: np.ndarray
    act: np.ndarray
    adv: np.ndarray
    mu: np.ndarray
    log_std: np.ndarray

    def part(self, which):
        """Some of the rows: a slice, or an array of their numbers.  -> Rows"""
        return Rows(self.obs[which], self.act[which], self.adv[which], self.mu[which], self.log_std)

    def chunks(self):
        """The same rows in cache-sized pieces.  -> list of Rows"""
        return [self.part(slice(i, i + nets.CHUNK)) for i in range(0, len(self.obs), nets.CHUNK)]


def surrogate(mu, log_std, rows):
    """Importance-weighted advantage, the objective of Eq. (14) of arXiv:1502.05477, summed over rows.

    mu (N, A), log_std (A,): the new policy at these rows (`nets.gaussian`).  -> scalar, unit of the advantage
    """
    old = nets.log_prob(rows.act, rows.mu, rows.log_std)
    return anp.sum(anp.exp(nets.log_prob(rows.act, mu, log_std) - old) * rows.adv)


def kl_sum(mu, log_std, rows):
    """KL(old policy || new policy), the constraint of Eq. (14) of arXiv:1502.05477, summed over rows.  -> [nats]"""
    return anp.sum(nets.kl_gauss(rows.mu, rows.log_std, mu, log_std))


def surrogate_and_kl(theta, rows, net):
    """`surrogate` and `kl_sum` of a new theta (P,): what the line search asks at every trial.  -> (2,) float64"""
    policy = nets.gaussian(theta, rows.obs, net)
    return np.array([surrogate(*policy, rows), kl_sum(*policy, rows)], np.float64)


def surrogate_grad(theta, rows, tape, net):
    """Gradient of `surrogate` by hand where the policy is still the old one (every ratio is 1).  -> (P,)

    With z = (act - mu) / sigma: d log p / d mu = z / sigma and d log p / d log_std = z^2 - 1.
    tape: nets.mlp_tape for theta on rows.obs (N, S).
    """
    _, log_std = nets.split(theta, net.sizes)
    z = (rows.act - rows.mu) * np.exp(-log_std)
    d_mu = rows.adv[:, None] * z * np.exp(-log_std)
    d_log_std = np.sum(rows.adv[:, None] * (z * z - 1), axis=0)
    return np.concatenate([nets.mlp_vjp(theta, tape, d_mu, *net), d_log_std])


def fisher_vector(theta, tape, v, net):
    """Fisher information times v by hand, J^T M J v, summed over rows: arXiv:1502.05477, appendix C.  v (P,) -> (P,)

    From right to left: J v, forward through the network; times M, the metric of the Gaussian, which is 1/sigma^2 for
    the mean and 2 for log sigma; then J^T, backward.  tape: nets.mlp_tape for theta on the rows.  At the old policy
    this is the Hessian of `kl_sum`: the slope of the KL is 0 there, so second derivatives of mu drop out.
    """
    rows, (_, log_std) = len(tape[0]), nets.split(theta, net.sizes)
    v_mu, v_log_std = nets.split(v, net.sizes)
    d_mu = nets.mlp_jvp(theta, tape, v_mu, *net) * np.exp(-2 * log_std)
    return np.concatenate([nets.mlp_vjp(theta, tape, d_mu, *net), rows * 2 * v_log_std])


def _mean(f, chunks, n):
    """Sum of f over chunks (on the worker threads, added in order in float64), divided by the number of rows n."""
    return sum(np.asarray(y, np.float64) for y in nets.parallel(f, chunks)) / n


def policy_gradient(theta, rows, net, gradients="hand"):
    """Gradient of the mean of `surrogate` at the old policy, by hand or by autograd.  -> (P,) float64"""
    if gradients == "autograd":
        surrogate_of = lambda t: surrogate(*nets.gaussian(t, rows.obs, net), rows)
        return grad(surrogate_of)(theta).astype(np.float64) / len(rows.obs)
    by_hand = lambda chunk: surrogate_grad(theta, chunk, nets.mlp_tape(theta, chunk.obs, *net), net)
    return _mean(by_hand, rows.chunks(), len(rows.obs))


def fisher_product(theta, rows, net, gradients="hand"):
    """The function v -> F v, mean over rows, by hand or as Hessian of `kl_sum` by autograd.  v (P,) -> (P,) float64"""
    n, dtype = len(rows.obs), theta.dtype
    if gradients == "autograd":
        kl_grad = grad(lambda t: kl_sum(*nets.gaussian(t, rows.obs, net), rows))
        hessian_vector = grad(lambda t, v: anp.dot(kl_grad(t), v))  # d/dt (gradient . v) = Hessian v
        return lambda v: hessian_vector(theta, v.astype(dtype)).astype(np.float64) / n
    tapes = nets.parallel(lambda chunk: nets.mlp_tape(theta, chunk.obs, *net), rows.chunks())  # once for all products
    return lambda v: _mean(lambda tape: fisher_vector(theta, tape, v.astype(dtype), net), tapes, n)


def step(theta, rows, net, cfg, rng):
    """One conservative step: maximise the surrogate subject to mean KL <= target_kl, Eq. (14) of arXiv:1502.05477.

    1. g: gradient of the surrogate on all rows.
    2. Solve (F + damping) x = g by conjugate gradient, F from a random share `fisher_rows` of them (the original: all).
    3. Scale x so that x^T (F + damping) x / 2 = target_kl (appendix C); the KL to second order, x^T F x / 2, is less.
    4. Shorten it until the real surrogate and the real KL agree: `line_search`.
    theta (P,), rows `Rows` -> theta (P,), info: gain of the surrogate [unit of adv], KL [nats], backtracks, whether
    accepted, residual of conjugate gradient
    """
    n, dtype = len(rows.obs), theta.dtype
    movable = np.ones(len(theta))
    if not cfg.learn_std:
        movable[-len(rows.log_std) :] = 0.0  # log_std is left out of the step and of the Fisher product
    g = movable * policy_gradient(theta, rows, net, cfg.gradients)

    subset = rows
    if cfg.fisher_rows < 1:
        subset = rows.part(rng.choice(n, max(1, round(cfg.fisher_rows * n)), replace=False))
    product = fisher_product(theta, subset, net, cfg.gradients)
    damped = lambda v: movable * product(movable * v) + cfg.cg_damping * v
    x, residual = conjugate_gradient(damped, g, cfg.cg_iters)
    length = x @ damped(x)  # = x @ g (CG's residual is orthogonal to x) but for rounding, which must do no harm
    full_step = x * np.sqrt(2 * cfg.target_kl / max(length, 1e-30))
    before = float(np.mean(rows.adv, dtype=np.float64))  # the surrogate at theta: every ratio is 1

    def evaluate(change):
        """Gain of the surrogate and mean KL when theta moves by `change` (P,).  -> two scalars"""
        new = theta + change.astype(dtype)
        after, kl = _mean(lambda chunk: surrogate_and_kl(new, chunk, net), rows.chunks(), n)
        return float(after) - before, float(kl)

    limits = cfg.target_kl, cfg.backtrack, cfg.max_backtracks, cfg.accept_ratio
    change, gain, kl, backtracks, accepted = line_search(evaluate, full_step, g @ full_step, *limits)
    info = {"surrogate_gain": gain, "kl": kl, "backtracks": backtracks, "accepted": accepted, "cg_residual": residual}
    return theta + change.astype(dtype), info


# --- value functions ------------------------------------------------------------------------------------------------


class Critic(NamedTuple):
    """A value function: parameters psi and, for the network, Adam's moments (None: linear)."""

    psi: np.ndarray
    moments: nets.Adam | None = None


def features(obs, time):
    """Linear baseline's features [clip(o, +-10), o^2, t/100, (t/100)^2, (t/100)^3, 1] of normalised observations.

    The linear baseline of Duan et al., arXiv:1604.06778.  obs (N, S), time (N,) [steps] -> (N, 2S + 4) float64
    """
    o, t = np.clip(obs, -10, 10).astype(np.float64), time[:, None] / 100.0
    return np.concatenate([o, o * o, t, t**2, t**3, np.ones_like(t)], axis=1)


def new_critic(rng, obs_dim, cfg):
    """A value function that is zero everywhere (linear, as the original's) or nearly so (a network).  -> Critic"""
    if cfg.value == "linear":
        return Critic(np.zeros(2 * obs_dim + 4))
    psi = nets.init_mlp(rng, (obs_dim, *cfg.value_hidden, 1), out_scale=0.01)
    return Critic(psi, nets.adam_init(psi))


def value(critic, obs, time, cfg):
    """Discounted value of each row.  obs (N, S) normalised, time (N,) [steps] -> (N,), unit of reward

    The network ignores time; it predicts (1 - gamma) V, an average reward: V is a sum of some 1 / (1 - gamma) rewards.
    """
    if critic.moments is None:
        return features(obs, time) @ critic.psi
    sizes = (obs.shape[1], *cfg.value_hidden, 1)
    return nets.mlp_rows(critic.psi, obs, sizes)[:, 0].astype(np.float64) / (1 - cfg.gamma)


def fit_value(critic, obs, time, target, cfg, rng):
    """Regress the value on `target` (N,): ridge least squares, or `value_epochs` epochs of Adam.  -> Critic

    obs (N, S) normalised, time (N,) [steps]
    """
    if critic.moments is None:
        X = features(obs, time)
        A = X.T @ X + 1e-5 * np.eye(X.shape[1])  # ridge regression
        return Critic(np.linalg.solve(A, X.T @ target))
    psi, moments = copy.deepcopy(critic)  # Adam works in place
    numbers = cfg.value_batch, cfg.value_lr, (obs.shape[1], *cfg.value_hidden, 1)  # the last: layer widths
    y = ((1 - cfg.gamma) * target[:, None]).astype(psi.dtype)  # an average reward, as in `value`
    for _ in range(cfg.value_epochs):
        order = rng.permutation(len(obs))
        moments = nets.adam_epoch_fast(psi, moments, obs, y, order, *numbers, gradients=cfg.gradients)
    return Critic(psi, moments)


def explained_variance(prediction, target):
    """1 - Var(target - prediction) / Var(target): 1 is perfect, 0 no better than a constant.  (N,), (N,) -> scalar"""
    spread = np.var(target, dtype=np.float64)
    return float(1 - np.var(target - prediction, dtype=np.float64) / spread) if spread > 0 else 0.0


# --- one policy update, from paths to a new policy and a new value function -----------------------------------------


class Paths(NamedTuple):
    """Transitions: time along axis 0, B paths side by side along axis 1.  Where a path ends, its next row begins anew.

    obs, next_obs (T, B, S), act (T, B, A) as sampled, not clipped; the rest (T, B): rew per step, terminated,
    truncated, and time, the steps since the path's start.
    """

    obs: np.ndarray
    act: np.ndarray
    rew: np.ndarray
    next_obs: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    time: np.ndarray


def advantages(critic, paths, norm, cfg):
    """Advantages of all N = T * B rows, and lambda-returns (advantage + value), which the value function is fitted to.

    -> normalised obs (N, S), time (N,), adv (N,), target (N,), val (N,); FloatingPointError when not finite
    """
    T, B, S = paths.obs.shape
    obs, next_obs = norm(paths.obs.reshape(T * B, S)), norm(paths.next_obs.reshape(T * B, S))
    time = paths.time.reshape(T * B)
    val, next_val = value(critic, obs, time, cfg), value(critic, next_obs, time + 1, cfg)
    values, ends = (val.reshape(T, B), next_val.reshape(T, B)), (paths.terminated, paths.truncated)
    adv = gae(paths.rew, *values, *ends, cfg.gamma, cfg.lam)
    adv = adv.reshape(T * B)
    if not np.isfinite(adv).all():
        raise FloatingPointError("advantages are not finite: the rewards or the value function have diverged")
    return obs, time, adv, adv + val, val


def rows_of(theta, obs, act, adv, net):
    """What `step` needs, with standardised advantages.  obs (N, S) normalised, act (..., A), adv (N,) -> Rows"""
    adv = ((adv - adv.mean()) / (adv.std() + 1e-8)).astype(theta.dtype)
    mu = nets.mlp_rows(theta, obs, *net)
    _, log_std = nets.split(theta, net.sizes)
    return Rows(obs, act.reshape(mu.shape), adv, mu, log_std)


def improve(theta, critic, paths, norm, net, cfg, rng):
    """One trust-region step on `paths`, beside it a new value function: Algorithm 2, "optimize the policy".

    Advantages use the old value function: one that was fitted to these paths would know their random errors.
    theta (P,), critic, paths (T, B, ...), norm of the observations, net = (sizes, limit) -> theta (P,), critic, info: a
    dict of numbers; FloatingPointError when the advantages are not finite
    """
    obs, time, adv, target, val = advantages(critic, paths, norm, cfg)
    rows, value_rng = rows_of(theta, obs, paths.act, adv, net), np.random.default_rng(rng.integers(2**63))
    fitted = nets.beside(fit_value, critic, obs, time, target, cfg, value_rng)  # neither waits for the other
    theta, info = step(theta, rows, net, cfg, rng)
    info["explained_variance"] = explained_variance(val, target)
    return theta, fitted.result(), info
