"""Small networks as flat vectors: derivatives forward and backward, Adam, Gaussian policies, and imagined rollouts.

Above the ruled line stands all that the paper needs.  Below it, the same is said to a compiler and to threads.

A network is one flat vector `theta (P,)` and its description `Net(sizes, limit)`.  Everything that treats parameters
as a vector (Adam, conjugate gradient, line search, copying the clone, saving) is then plain arithmetic.

Letters in shapes: B batch, N samples, T time, K members, P parameters, S/A observation/action dimension.
Functions follow the dtype of their parameters: float32 in training, float64 in the tests against autograd.
"""

import logging
import math
import os
import threading
from collections import namedtuple
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

import autograd.numpy as anp  # in the functions that autograd may trace; plain NumPy in all others
import numba
import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  (Numba's np.dot runs on SciPy's BLAS: load it before limiting it)
from autograd import grad
from threadpoolctl import threadpool_limits

# --- networks: flat vector <-> layers -------------------------------------------------------------------------------


class Net(NamedTuple):
    """A network without its parameters: layer widths, and the limit of an output limit * tanh(.) (None: linear)."""

    sizes: tuple
    limit: float | None = None


def n_params(sizes):
    """Number of weights and biases of a network with layer widths `sizes`.  -> P"""
    return sum((m + 1) * n for m, n in zip(sizes, sizes[1:]))


def init_mlp(rng, sizes, out_scale=1.0):
    """Random weights ~ N(0, 2/fan_in) (He et al., arXiv:1502.01852, Eq. (10)), biases 0.  -> theta (P,) float32

    The output layer is scaled by `out_scale`, so that a new network can start near zero.
    """
    theta = np.zeros(n_params(sizes), np.float32)
    pairs = layers(theta, sizes)
    for W, _ in pairs:
        W[:] = rng.standard_normal(W.shape) * np.sqrt(2.0 / len(W))
    pairs[-1][0][:] *= out_scale
    return theta


def layers(theta, sizes):
    """theta (P,) -> ((W (m, n), b (n,)), ...), one pair per layer; views, no copy.

    theta may be longer than the network (a policy has its log_std at the end): the rest is ignored.
    """
    pairs, i = [], 0
    for m, n in zip(sizes, sizes[1:]):
        pairs.append((theta[i : i + m * n].reshape((m, n)), theta[i + m * n : i + m * n + n]))
        i += m * n + n
    return tuple(pairs)


def mlp(theta, x, sizes, limit=None):
    """Multilayer perceptron with ReLU, output linear or limit * tanh(.).  x (B, sizes[0]) -> (B, sizes[-1])"""
    *hidden, (W, b) = layers(theta, sizes)
    for V, c in hidden:
        x = anp.dot(x, V) + c
        x = x * (x > 0)  # ReLU: autograd goes back through maximum in float64, which takes twice the time
    y = anp.dot(x, W) + b
    return y if limit is None else limit * anp.tanh(y)


def mlp_tape(theta, x, sizes, limit=None):
    """What `mlp` computes, with everything its derivatives need.  -> [x, hidden_1, ..., output], each (B, width)"""
    tape, pairs = [x], layers(theta, sizes)
    for k, (W, b) in enumerate(pairs, 1):
        tape.append(_add_bias(tape[-1] @ W, b, relu=k < len(pairs)))  # h W + b, with ReLU in all layers but the last
    return tape if limit is None else tape[:-1] + [limit * np.tanh(tape[-1])]


def mlp_vjp(theta, tape, g, sizes, limit=None):
    """Backward by hand: sum over rows of g^T (d mlp / d theta).  g (B, sizes[-1]) -> (P,)

    Rumelhart, Hinton & Williams 1986; vector-Jacobian product of the network at `tape` (`mlp_tape`).
    """
    out = np.empty(n_params(sizes), theta.dtype)
    weights, gradients = layers(theta, sizes), layers(out, sizes)  # gradients are views: they fill `out`
    g = _through_squash(tape[-1], g, limit)
    for i in reversed(range(len(weights))):  # here g belongs to the output of layer i, h W + b before its ReLU
        (W, _), (gW, gb), h = weights[i], gradients[i], tape[i]
        np.dot(h.T, g, out=gW)
        gb[:] = g.sum(axis=0)
        if i > 0:
            g = _relu_gate(g @ W.T, h)
    return out


def mlp_jvp(theta, tape, v, sizes, limit=None):
    """Forward mode by hand: directional derivative of the output along v.  v (P,) -> (B, sizes[-1])

    Pearlmutter's R-operator (Neural Computation 6, 1994) at `tape` (`mlp_tape`): d(h W + b) = dh W + h dW + db, where
    dW and db are the parts of v.
    """
    pairs, v_pairs = layers(theta, sizes), layers(v, sizes)
    dh = None  # of the first layer's input: the data do not depend on theta
    for i, ((W, _), (dW, db)) in enumerate(zip(pairs, v_pairs)):
        dy = tape[i] @ dW
        dy += db
        if dh is not None:
            dy += dh @ W
        dh = dy if i == len(pairs) - 1 else _relu_gate(dy, tape[i + 1])  # the last layer has no ReLU
    return _through_squash(tape[-1], dh, limit)


def _through_squash(y, g, limit):
    """g times the derivative of limit * tanh(.) where it is y: limit * (1 - tanh^2) = limit - y^2 / limit."""
    return g if limit is None else g * (limit - y * y / limit)


# --- regression: the loss of the dynamics models, of cloning and of the value function ------------------------------


def squared_error(theta, x, y, sizes, limit=None):
    """Mean over rows of 1/2 |y - mlp(x)|^2, summed over outputs.  x (B, m), y (B, n) -> scalar"""
    return anp.sum((mlp(theta, x, sizes, limit) - y) ** 2) / (2 * len(x))


def squared_error_grad(theta, x, y, sizes, limit=None, gradients="hand"):
    """Gradient of `squared_error` by theta, by hand or by autograd.  -> (P,)

    With gradients="autograd", here and elsewhere, it stays right if you change `mlp` or a loss; it is slower.
    """
    if y.shape != (len(x), sizes[-1]):
        raise ValueError(f"squared_error_grad: y is {y.shape}, the network's output ({len(x)}, {sizes[-1]})")
    if gradients == "autograd":
        return grad(squared_error)(theta, x, y, sizes, limit)
    tape = mlp_tape(theta, x, sizes, limit)
    return mlp_vjp(theta, tape, (tape[-1] - y) / len(x), sizes, limit)


class Adam(NamedTuple):
    """First and second moment of the gradient, m and v (P,), and the number of steps taken."""

    m: np.ndarray
    v: np.ndarray
    t: int = 0


def adam_init(theta):
    """Zero moments shaped like theta (P,).  -> Adam"""
    return Adam(np.zeros_like(theta), np.zeros_like(theta))


def adam(theta, g, state, lr):
    """One step of Algorithm 1 of arXiv:1412.6980, *in place* on theta (P,) and the moments, gradient g (P,).  -> Adam

        m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,  theta -= lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)

    In place because this is the inner loop of every fit: new arrays would take ten times as long.
    """
    if not theta.shape == g.shape == state.m.shape == (theta.size,):  # the kernel does not check its bounds
        raise ValueError(f"adam: theta {theta.shape}, g {g.shape} and moments {state.m.shape} must be one (P,)")
    _adam_step(theta, g, state.m, state.v, state.t + 1, lr)
    return state._replace(t=state.t + 1)


def adam_epoch(theta, state, x, y, order, batch, lr, sizes, limit=None, gradients="hand"):
    """Adam on `squared_error`, a step for each piece of `batch` rows of `order`, *in place* on theta and moments.

    x (N, m), y (N, n), order (any number,) row indices, lr Adam's step size.  `adam_epoch_fast` is its quick twin.
    -> Adam
    """
    for first in range(0, len(order), batch):
        i = order[first : first + batch]
        state = adam(theta, squared_error_grad(theta, x[i], y[i], sizes, limit, gradients), state, lr)
    return state


# --- normalisation --------------------------------------------------------------------------------------------------


class Normalizer(NamedTuple):
    """Mean and standard deviation per dimension, (S,) float64, of `count` rows; calling it normalises."""

    mean: np.ndarray
    std: np.ndarray
    count: float = 0.0

    @property
    def scale(self):
        """What to divide by: std, or 1 in a dimension that never changes.  -> (S,) float64"""
        return np.where(self.std < 1e-6, 1.0, self.std)

    @classmethod
    def fit(cls, x):
        """Statistics of the rows of x (N, S).  -> Normalizer"""
        mean = np.mean(x, axis=0, dtype=np.float64)
        return cls(mean, np.sqrt(np.mean((x - mean) ** 2, axis=0, dtype=np.float64)), float(len(x)))

    def __call__(self, x):
        """(x - mean) / scale in the dtype of x.  (..., S) -> (..., S)"""
        return (x - self.mean.astype(x.dtype)) / self.scale.astype(x.dtype)

    def undo(self, x):
        """x * scale + mean in the dtype of x: the inverse.  (..., S) -> (..., S)"""
        return x * self.scale.astype(x.dtype) + self.mean.astype(x.dtype)


# --- diagonal Gaussian policies: a network for the mean action, and a vector log_std after its weights --------------


def split(theta, sizes):
    """Policy vector (P,) -> weights of the mean's network (P - A,), log_std (A,); views."""
    return theta[: -sizes[-1]], theta[-sizes[-1] :]


def gaussian(theta, obs, net):
    """The policy's distribution of actions.  theta (P,), obs (B, S) normalised, net `Net` -> mu (B, A), log_std (A,)"""
    return mlp(theta, obs, *net), split(theta, net.sizes)[1]


def log_prob(act, mu, log_std):
    """Log-density of a diagonal Gaussian [nats], summed over the coordinates.  act, mu (B, A), log_std (A,) -> (B,)"""
    z = (act - mu) * anp.exp(-log_std)
    return -0.5 * anp.sum(z * z, axis=1) - anp.sum(log_std) - 0.5 * math.log(2 * math.pi) * mu.shape[1]


def kl_gauss(mu_old, log_std_old, mu, log_std):
    """KL(old || new) of diagonal Gaussians [nats], summed over the coordinates.  mu (B, A), log_std (A,) -> (B,)"""
    ratio = (anp.exp(2 * log_std_old) + (mu_old - mu) ** 2) / (2 * anp.exp(2 * log_std))
    return anp.sum(log_std - log_std_old + ratio - 0.5, axis=1)


class Policy(NamedTuple):
    """A policy that can act: parameters theta (P,), the normaliser of its observations, and its network."""

    theta: np.ndarray
    norm: Normalizer
    net: Net

    @property
    def std(self):
        """Standard deviation of its noise in each coordinate of the action.  -> (A,)"""
        return np.exp(split(self.theta, self.net.sizes)[1])

    def mean(self, obs, rng=None):
        """The action without noise, for each row.  obs (B, S) -> (B, A)  (rng: to be called like `sample`)"""
        return mlp(self.theta, self.norm(obs), *self.net)

    def sample(self, obs, rng):
        """An action drawn from the policy, not clipped.  obs (B, S) -> (B, A)"""
        mu = self.mean(obs)
        return mu + self.std * rng.standard_normal(mu.shape, np.float32)

    def with_std(self, std):
        """The same mean action with standard deviation `std`, a number or (A,).  -> Policy"""
        weights, log_std = split(self.theta, self.net.sizes)
        return self._replace(theta=np.concatenate([weights, np.full_like(log_std, np.log(std))]))


# --- imagined paths: a policy and an ensemble of models, step after step ---------------------------------------------


def spread(predictions):
    """Root mean square deviation of K members from their mean; of one alone, 1.  predictions (K, B, n) -> (B, 1)"""
    variance = np.var(predictions, axis=0) if len(predictions) > 1 else np.ones_like(predictions[0])
    return np.sqrt(np.mean(variance, axis=1, keepdims=True))


# What `rollout` needs of a policy: theta (P,), layer widths, mean and scale of its normaliser (S,), limit of actions;
Actor = namedtuple("Actor", "theta sizes mean scale limit")
# and of an ensemble: phi (K, P), layer widths, normalisers of inputs (S + A,) and outputs (S,), the range to which a
# predicted state is clipped (S,), the open box that a path may not leave (S,), and the task's `free_joint`.
World = namedtuple("World", "phi sizes in_mean in_scale out_mean out_scale clip_low clip_high box_low box_high free")


def rollout(actor, world, pool, noise, residuals, member):
    """Imagined paths: policy, model, healthy box, step after step.  `rollout_fast` is its quick twin.

    pool (T, B, S): pool[0] are the first states; a path that ended at t - 1 goes on from its state in pool[t].
    noise (T, B, A) is added to the mean action; residuals (T, B, S) or None, times the members' `spread`, to the
    normalised change that a model predicts.  member (T,): which.
    -> obs (T, B, S), act (T, B, A) not clipped, next_obs (T, B, S), terminated (T, B)
    """
    s, steps = pool[0], []
    for t, k in enumerate(member):
        act = mlp(actor.theta, (s - actor.mean) / actor.scale, actor.sizes, actor.limit) + noise[t]
        x = np.concatenate([felt(s, world.free), np.clip(act, -actor.limit, actor.limit)], axis=1)
        x = (x - world.in_mean) / world.in_scale
        change = mlp(world.phi[k], x, world.sizes)
        if residuals is not None:
            change = change + spread(np.stack([mlp(phi, x, world.sizes) for phi in world.phi])) * residuals[t]
        next_obs = moved(s, s + change * world.out_scale + world.out_mean, world.free)
        next_obs = np.clip(next_obs, world.clip_low, world.clip_high)
        terminated = ~np.all((world.box_low < next_obs) & (next_obs < world.box_high), axis=1)
        steps.append((s, act, next_obs, terminated))
        entry = pool[min(t + 1, len(pool) - 1)]  # min: after the last step nobody uses s
        s = np.where(terminated[:, None], entry, next_obs)
    return tuple(np.stack(column) for column in zip(*steps))


# === the same, compiled and on threads: a reader of the algorithm may stop here ======================================


def _can_cache():
    """Whether Numba finds a folder in which it can keep compiled kernels: its own choice, or NUMBA_CACHE_DIR's."""
    try:
        numba.njit(cache=True)(_can_cache)  # any function will do: this looks for a folder, and compiles nothing yet
    except (RuntimeError, ValueError):  # it cannot write to any of its folders, or not handle their names
        text = "no folder can keep compiled kernels, so each start compiles them again (NUMBA_CACHE_DIR names one)"
        logging.getLogger("bremen").warning(text)
        return False
    return True


CACHE = _can_cache()  # never in a temporary folder: its files are pickles, and anybody might have put some there
compiled = numba.njit(nogil=True, cache=CACHE, error_model="numpy")

# A cached kernel and all that it calls must live in one file, or an edit would go unnoticed.  Kernels are loops rather
# than array expressions: they compile in a third of the time.


@compiled
def _add_bias(h, b, relu):
    """h + b, or max(h + b, 0), in place and in one pass over memory; NumPy's two take seven times as long."""
    for r in range(h.shape[0]):
        for j in range(h.shape[1]):
            h[r, j] += b[j]
            if relu and h[r, j] < 0:
                h[r, j] = 0
    return h


@compiled
def _relu_gate(g, h):
    """g where h > 0, else 0, in place: the derivative of the ReLU that made h."""
    for r in range(g.shape[0]):
        for j in range(g.shape[1]):
            if h[r, j] <= 0:
                g[r, j] = 0
    return g


@compiled
def _forward(theta, sizes, x):
    """`mlp_tape` with linear output."""
    tape, i = [x], 0
    for k in range(len(sizes) - 1):
        m, n = sizes[k], sizes[k + 1]
        x = np.dot(x, theta[i : i + m * n].reshape((m, n)))
        tape.append(_add_bias(x, theta[i + m * n : i + m * n + n], k < len(sizes) - 2))
        i += (m + 1) * n
    return tape


@compiled
def _output_error(d, y, i, limit):
    """Replace the network's linear output d (n, m) by the derivative of `squared_error` by it; targets are y[i]."""
    n, one = len(i), d.dtype.type(1)
    for r in range(n):
        for j in range(d.shape[1]):
            out, slope = d[r, j], one
            if limit > 0:  # 0: linear output
                out = limit * np.tanh(d[r, j])
                slope = limit - out * out / limit
            d[r, j] = (out - y[i[r], j]) * slope / n
    return d


@compiled
def _backward(theta, sizes, tape, d, g):
    """`mlp_vjp` into g (P,), layer by layer from the end of theta: W is theta[start:bias], b is theta[bias:end]."""
    end = theta.size
    for k in range(len(sizes) - 2, -1, -1):
        m, n = sizes[k], sizes[k + 1]
        bias = end - n
        start = bias - m * n
        np.dot(tape[k].T, d, g[start:bias].reshape((m, n)))
        # a slice, whose indices begin at 0: Numba does not vectorise over an index that it cannot prove positive
        g_bias = g[bias:end]
        g_bias[:] = 0
        for r in range(len(d)):
            for j in range(n):
                g_bias[j] += d[r, j]
        if k > 0:
            d = _relu_gate(np.dot(d, theta[start:bias].reshape((m, n)).T), tape[k])
        end = start


@compiled
def _adam_step(theta, g, m, v, t, lr, b1=0.9, b2=0.999, eps=1e-8):
    """Step t of `adam`, in place.

    As the paper proposes, m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) is computed with one pass over memory as
    m sqrt(1 - b2^t) / (1 - b1^t) / (sqrt(v) + eps sqrt(1 - b2^t)).
    """
    f = theta.dtype.type  # float32 stays float32: a bare 0.9 is a float64 in here
    rate = f(lr * np.sqrt(1 - b2**t) / (1 - b1**t))
    eps = f(eps * np.sqrt(1 - b2**t))
    b1, c1, b2, c2 = f(b1), f(1 - b1), f(b2), f(1 - b2)
    # moments without a gradient would decay to subnormal numbers, with which some processors are fifteen times as
    # slow; moments below `tiny` move no weight
    tiny, zero = f(1e-30), f(0)
    for i in range(theta.size):
        mean = b1 * m[i] + c1 * g[i]
        square = b2 * v[i] + c2 * g[i] * g[i]
        m[i] = mean if abs(mean) > tiny else zero
        v[i] = square if square > tiny else zero
        theta[i] -= rate * m[i] / (np.sqrt(v[i]) + eps)


@compiled
def _adam_epoch(theta, m, v, t, x, y, order, batch, lr, sizes, limit):
    """`adam_epoch`; theta and its moments m and v change in place.  -> t"""
    g = np.empty_like(theta)
    for first in range(0, len(order), batch):
        i = order[first : first + batch]
        inputs = np.empty((len(i), sizes[0]), x.dtype)
        for r in range(len(i)):
            for j in range(sizes[0]):
                inputs[r, j] = x[i[r], j]
        tape = _forward(theta, sizes, inputs)
        d = _output_error(tape[-1], y, i, limit)
        _backward(theta, sizes, tape, d, g)
        t += 1
        _adam_step(theta, g, m, v, t, lr)
    return t


def adam_epoch_fast(theta, state, x, y, order, batch, lr, sizes, limit=None, gradients="hand"):
    """What `adam_epoch` says, at three times its speed: one kernel, unless autograd is wanted.  -> Adam"""
    if gradients == "autograd":
        return adam_epoch(theta, state, x, y, order, batch, lr, sizes, limit, gradients)
    if theta.shape != (n_params(sizes),) or y.shape != (len(x), sizes[-1]) or x.shape[1] != sizes[0]:
        raise ValueError(f"adam_epoch: theta {theta.shape}, x {x.shape} and y {y.shape} do not fit a network {sizes}")
    limit = theta.dtype.type(limit or 0)  # for the kernel 0 means: linear output
    t = _adam_epoch(theta, *state, x, y, order, batch, lr, np.array(sizes), limit)
    return state._replace(t=t)


@compiled
def _turned(v, q, sign):
    """The vector v [x, y, z] turned by the quaternion q of any length, or back if sign is -1.  -> x, y, z"""
    w, x, y, z = q[0], sign * q[1], sign * q[2], sign * q[3]
    c = 2 / (w * w + x * x + y * y + z * z)
    a, b, c = c * (y * v[2] - z * v[1]), c * (z * v[0] - x * v[2]), c * (x * v[1] - y * v[0])  # twice the cross product
    return v[0] + w * a + y * c - z * b, v[1] + w * b + z * a - x * c, v[2] + w * c + x * b - y * a


@compiled
def felt(obs, free):
    """Observations as models see them: of a free joint which way is up, and its velocity, in its axes.  -> (B, S)"""
    if free is None:  # Numba does not even compile the rest then
        return obs
    seen = obs.copy()
    for b in range(len(obs)):
        seen[b, 1] = 0
        seen[b, 2], seen[b, 3], seen[b, 4] = _turned((0.0, 0.0, 1.0), obs[b, 1:5], -1)
        seen[b, free], seen[b, free + 1], seen[b, free + 2] = _turned(obs[b, free : free + 3], obs[b, 1:5], -1)
    return seen


@compiled
def moved(obs, felt_sum, free):
    """Next observations, if felt_sum is obs plus a change as `bremen.regression_rows` has it.  (B, S) -> (B, S)"""
    if free is None:
        return felt_sum
    next_obs, d = felt_sum.copy(), felt_sum - obs
    for b in range(len(obs)):
        w, x, y, z = obs[b, 1], obs[b, 2], obs[b, 3], obs[b, 4]
        i, j, k = d[b, 2], d[b, 3], d[b, 4]  # the product of [w, x, y, z] and the turn [r, i, j, k], with length 1
        r, size = np.sqrt(max(0.0, 1 - i * i - j * j - k * k)), np.sqrt(w * w + x * x + y * y + z * z)
        next_obs[b, 1] = (w * r - x * i - y * j - z * k) / size
        next_obs[b, 2] = (w * i + x * r + y * k - z * j) / size
        next_obs[b, 3] = (w * j + y * r + z * i - x * k) / size
        next_obs[b, 4] = (w * k + z * r + x * j - y * i) / size
        next_obs[b, free], next_obs[b, free + 1], next_obs[b, free + 2] = _turned(d[b, free : free + 3], obs[b, 1:5], 1)
        next_obs[b, free : free + 3] += obs[b, free : free + 3]
    return next_obs


@compiled
def _predicted(world, x, member, residuals, t):
    """The normalised changes that a member predicts for x (B, S + A), as in `rollout`.  -> (B, S)"""
    if residuals is None:
        return _forward(world.phi[member], world.sizes, x)[-1]
    _, B, S = residuals.shape
    K, change = len(world.phi), np.empty((B, S), x.dtype)
    tapes = [_forward(world.phi[k], world.sizes, x)[-1] for k in range(K)]
    for b in range(B):
        squares = np.float64(0)
        for j in range(S):
            mean = np.float64(0)
            for k in range(K):
                mean += tapes[k][b, j] / K
            for k in range(K):
                squares += (tapes[k][b, j] - mean) ** 2
        spread = np.sqrt(squares / (K * S)) if K > 1 else 1.0
        for j in range(S):
            change[b, j] = tapes[member][b, j] + spread * residuals[t, b, j]
    return change


@compiled
def rollout_fast(actor, world, pool, noise, residuals, member):
    """What `rollout` says, about twice as fast and without the GIL, for threads.  -> obs, act, next_obs, terminated"""
    T, B, S = pool.shape
    A = noise.shape[2]
    obs, next_obs, act = np.empty_like(pool), np.empty_like(pool), np.empty_like(noise)
    terminated = np.zeros((T, B), np.bool_)
    s = pool[0].copy()
    o, x = np.empty((B, S), pool.dtype), np.empty((B, S + A), pool.dtype)  # normalised inputs of policy and model
    for t in range(T):
        seen = felt(s, world.free)
        for b in range(B):
            for j in range(S):
                o[b, j] = (s[b, j] - actor.mean[j]) / actor.scale[j]
                x[b, j] = (seen[b, j] - world.in_mean[j]) / world.in_scale[j]
        mu = _forward(actor.theta, actor.sizes, o)[-1]
        for b in range(B):
            for j in range(A):
                a = actor.limit * np.tanh(mu[b, j]) + noise[t, b, j]
                act[t, b, j] = a
                clipped = min(max(a, -actor.limit), actor.limit)
                x[b, S + j] = (clipped - world.in_mean[S + j]) / world.in_scale[S + j]
        change = _predicted(world, x, member[t], residuals, t)
        for b in range(B):
            for j in range(S):
                change[b, j] = s[b, j] + change[b, j] * world.out_scale[j] + world.out_mean[j]
        next_s = moved(s, change, world.free)
        for b in range(B):
            healthy = True
            for j in range(S):
                y = min(max(next_s[b, j], world.clip_low[j]), world.clip_high[j])
                obs[t, b, j], next_obs[t, b, j] = s[b, j], y
                healthy = healthy and world.box_low[j] < y and y < world.box_high[j]
            terminated[t, b] = not healthy
            for j in range(S):
                s[b, j] = next_obs[t, b, j] if healthy else pool[min(t + 1, T - 1), b, j]
    return obs, act, next_obs, terminated


# --- many rows, and threads: one place decides ----------------------------------------------------------------------

CHUNK = 1000  # rows that one worker takes at a time: 1000 x 256 float32 activations are 1 MB and stay in its cache
WORKER = "worker of nets"  # how the names of their threads begin
_pool = ThreadPoolExecutor(1, WORKER)


def chunks(x):
    """The rows of x in pieces of at most CHUNK.  -> list of views"""
    return [x[i : i + CHUNK] for i in range(0, len(x), CHUNK)]


def mlp_rows(theta, x, sizes, limit=None):
    """`mlp` of many rows, a cache-sized chunk at a time on the worker threads.  x (N, m) -> (N, n)"""
    return np.concatenate(parallel(lambda chunk: mlp(theta, chunk, sizes, limit), chunks(x)))


def mean_loss(theta, x, y, sizes, limit=None):
    """`squared_error` of many rows, a cache-sized chunk at a time.  x (N, m), y (N, n) -> scalar"""
    sums = (float(squared_error(theta, a, b, sizes, limit)) * len(a) for a, b in zip(chunks(x), chunks(y)))
    return sum(sums) / len(x)


def cores():
    """Physical cores that this process may use: hardware threads of one core share its arithmetic.  -> int"""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())
    found = set()
    for i in usable:  # hardware threads of one core have the same list of siblings, "0,4"
        siblings = Path(f"/sys/devices/system/cpu/cpu{i}/topology/thread_siblings_list")
        found.add(siblings.read_text() if siblings.exists() else i)
    return len(found)


def use_threads(n=0):
    """Use n worker threads (0: one per physical core), each with single-threaded BLAS.  -> n

    The program keeps its cores busy by giving every worker a member, a chunk of rows or a chunk of
    environments.  BLAS itself stays on one thread: its own threads fight with ours, and with other processes.
    """
    global _pool
    n = n or cores()
    threadpool_limits(1, user_api="blas")
    _pool = ThreadPoolExecutor(n, WORKER)
    return n


def workers():
    """How many worker threads there are.  -> int"""
    return _pool._max_workers


def parallel(f, *columns):
    """f of each row of `columns`, on the worker threads (NumPy releases the GIL).  -> [f(a, b, ...), ...] in order

    Called on a worker it stays there: every worker could wait for work that no free worker is left to do.
    """
    if threading.current_thread().name.startswith(WORKER):
        return list(map(f, *columns))
    return list(_pool.map(f, *columns))


def beside(f, *args):
    """Begin f(*args) on a worker thread; `result()` of what comes back waits for it.  -> Future

    For work that one thread does alone, while `parallel` keeps the others busy.
    """
    return _pool.submit(f, *args)


def race(generators):
    """Run generators on the worker threads until all are exhausted.  Yields (index, item) as they come.

    One `next` of each is on the threads at any time; when it is done, its item is yielded and the following `next` is
    submitted.  So none waits for another: with five members on two workers, one call of `parallel` per epoch would
    leave a worker without work at the end of each.  None says exhausted: a generator must not yield it.
    """
    number_of = {_pool.submit(next, g, None): i for i, g in enumerate(generators)}  # of each future
    try:
        while number_of:
            for future in wait(number_of, return_when=FIRST_COMPLETED).done:
                i, item = number_of.pop(future), future.result()
                if item is not None:  # None: exhausted
                    number_of[_pool.submit(next, generators[i], None)] = i
                    yield i, item
    finally:  # after Ctrl-C or an error nobody waits for work that has not begun
        for future in number_of:
            future.cancel()
