"""Networks, Adam, normalisation and Gaussians against autograd, SciPy, plain loops and paper."""

import math
import threading
import time

import numpy as np
import online
import pytest
import scipy.integrate
import scipy.stats
import threadpoolctl
from autograd import grad, make_jvp
from autograd import numpy as anp
from autograd.extend import defvjp, primitive

import nets

NETS = [nets.Net(sizes, limit) for sizes in [(3, 2), (3, 5, 2), (3, 6, 4, 2)] for limit in (None, 0.4)]
each_net = pytest.mark.parametrize("net", NETS, ids=str)


def case(net, rows=7, dtype=np.float64, seed=0):
    """theta, x, a cotangent g of the output and a tangent v of theta, all random (biases too)."""
    rng, P = np.random.default_rng(seed), nets.n_params(net.sizes)
    draw = lambda *shape: rng.standard_normal(shape).astype(dtype)  # noqa: E731
    return draw(P), draw(rows, net.sizes[0]), draw(rows, net.sizes[-1]), draw(P)


# --- layout -------------------------------------------------------------------------------------------------


def test_n_params_by_hand():
    assert nets.n_params((3, 4, 2)) == 3 * 4 + 4 + 4 * 2 + 2
    assert nets.n_params((3, 2)) == 8


def test_layers_are_views_and_round_trip():
    theta = np.arange(26.0)
    pairs = nets.layers(theta, (3, 4, 2))
    assert [(W.shape, b.shape) for W, b in pairs] == [((3, 4), (4,)), ((4, 2), (2,))]
    assert all(np.shares_memory(a, theta) for pair in pairs for a in pair)
    np.testing.assert_array_equal(np.concatenate([a.ravel() for pair in pairs for a in pair]), theta)
    pairs[1][1][0] = -1.0
    assert theta[24] == -1.0


def test_what_stands_behind_the_weights_is_not_looked_at():
    sizes = (3, 5, 2)
    theta, x, g, v = case(nets.Net(sizes))
    policy, tangent = np.append(theta, [np.nan, np.nan]), np.append(v, [np.nan, np.nan])
    weights, log_std = nets.split(policy, sizes)
    assert np.shares_memory(weights, policy) and np.isnan(log_std).all()
    np.testing.assert_array_equal(weights, theta)
    tape = nets.mlp_tape(policy, x, sizes)
    np.testing.assert_array_equal(tape[-1], nets.mlp(theta, x, sizes))
    np.testing.assert_array_equal(nets.mlp_vjp(policy, tape, g, sizes), nets.mlp_vjp(theta, tape, g, sizes))
    np.testing.assert_array_equal(nets.mlp_jvp(policy, tape, tangent, sizes), nets.mlp_jvp(theta, tape, v, sizes))


def test_init_is_float32_with_zero_biases_and_the_seed_decides():
    make = lambda seed: nets.init_mlp(np.random.default_rng(seed), (3, 5, 2))  # noqa: E731
    assert make(1).dtype == np.float32 and make(1).shape == (nets.n_params((3, 5, 2)),)
    np.testing.assert_array_equal(make(1), make(1))
    assert not np.array_equal(make(1), make(2))
    assert all(not b.any() for _, b in nets.layers(make(1), (3, 5, 2)))


def test_init_keeps_the_signal_at_one_size_and_scales_the_output():
    sizes = (100, 300, 50)
    theta = nets.init_mlp(np.random.default_rng(0), sizes)
    for (W, _), fan_in in zip(nets.layers(theta, sizes), sizes, strict=False):
        assert abs(W.mean()) < 0.01 and W.std() == pytest.approx(math.sqrt(2 / fan_in), rel=0.03)
    small = nets.init_mlp(np.random.default_rng(0), sizes, out_scale=0.5)
    (V, _), (W, _) = nets.layers(theta, sizes)
    (V_small, _), (W_small, _) = nets.layers(small, sizes)
    np.testing.assert_array_equal(V_small, V)
    np.testing.assert_array_equal(W_small, W / 2)


# --- forward and derivatives --------------------------------------------------------------------------------


def test_mlp_by_hand():
    """Two inputs, two hidden units of which one sleeps, one output; worked on paper."""
    theta = np.array([1.0, 2.0, 3.0, -4.0, 0.5, 1.0, 2.0, 100.0, -1.0])  # W 2x2, b 2, W 2x1, b 1
    x = np.array([[1.0, 2.0]])
    # hidden: 1 + 6 + 0.5 = 7.5 and 2 - 8 + 1 = -5, asleep;  output: 2 * 7.5 + 100 * 0 - 1 = 14
    np.testing.assert_allclose(nets.mlp(theta, x, (2, 2, 1)), [[14.0]])
    np.testing.assert_allclose(nets.mlp(theta, x, (2, 2, 1), 3.0), [[3 * math.tanh(14)]])


@each_net
def test_mlp_against_a_plain_loop(net):
    theta, x, _, _ = case(net)
    sizes, limit = net
    for row, got in zip(x, nets.mlp(theta, x, *net), strict=True):
        h, numbers = [float(a) for a in row], iter(theta)
        for depth, (m, n) in enumerate(zip(sizes, sizes[1:], strict=False), start=2):
            weight = [[next(numbers) for _ in range(n)] for _ in range(m)]
            h = [sum(h[i] * weight[i][j] for i in range(m)) + next(numbers) for j in range(n)]
            if depth < len(sizes):
                h = [max(a, 0.0) for a in h]
        want = h if limit is None else [limit * math.tanh(a) for a in h]
        np.testing.assert_allclose(got, want, rtol=1e-12)


@each_net
def test_tape_ends_in_what_mlp_computes(net):
    theta, x, _, _ = case(net)
    before = x.copy()
    tape = nets.mlp_tape(theta, x, *net)
    assert [h.shape[1] for h in tape] == list(net.sizes)
    np.testing.assert_allclose(tape[-1], nets.mlp(theta, x, *net), rtol=1e-14)
    np.testing.assert_array_equal(tape[0], before)


def check_vjp(net):
    """Backward by hand is autograd's gradient of sum(g * mlp); it does not write into g or the tape."""
    theta, x, g, _ = case(net)
    tape, g_before = nets.mlp_tape(theta, x, *net), g.copy()
    tape_before = [h.copy() for h in tape]
    want = grad(lambda t: anp.sum(g * nets.mlp(t, x, *net)))(theta)
    np.testing.assert_allclose(nets.mlp_vjp(theta, tape, g, *net), want, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(g, g_before)
    for h, h_before in zip(tape, tape_before, strict=True):
        np.testing.assert_array_equal(h, h_before)


def check_jvp(net):
    """Forward mode by hand is autograd's, and the adjoint of backward: <J v, g> = <v, J^T g>."""
    theta, x, g, v = case(net)
    tape, v_before = nets.mlp_tape(theta, x, *net), v.copy()
    jv = nets.mlp_jvp(theta, tape, v, *net)
    want = make_jvp(lambda t: nets.mlp(t, x, *net))(theta)(v)[1]
    np.testing.assert_allclose(jv, want, rtol=0, atol=1e-10)
    np.testing.assert_allclose(np.sum(jv * g), v @ nets.mlp_vjp(theta, tape, g, *net), rtol=0, atol=1e-10)
    np.testing.assert_array_equal(v, v_before)


@each_net
def test_vjp_is_autograds_gradient(net):
    check_vjp(net)


@each_net
def test_jvp_is_autograds_and_adjoint_of_vjp(net):
    check_jvp(net)


@pytest.mark.parametrize("check", [check_vjp, check_jvp])
def test_a_forgotten_squash_is_refused(check, monkeypatch):
    monkeypatch.setattr(nets, "_through_squash", lambda y, g, limit: g)
    check(nets.Net((3, 5, 2), None))
    with pytest.raises(AssertionError):
        check(nets.Net((3, 5, 2), 0.4))


@each_net
def test_squared_error_by_hand_is_autograds(net):
    theta, x, y, _ = case(net)
    g, want = (nets.squared_error_grad(theta, x, y, *net, how) for how in ("hand", "autograd"))
    np.testing.assert_allclose(g, want, rtol=0, atol=1e-10)


def test_squared_error_by_hand():
    """Two rows, one weight 2, bias 1: outputs 3 and 5 against 2 and 8, so (1 + 9) / 2 / 2 rows."""
    theta, x, y = np.array([2.0, 1.0]), np.array([[1.0], [2.0]]), np.array([[2.0], [8.0]])
    assert nets.squared_error(theta, x, y, (1, 1)) == 2.5
    np.testing.assert_allclose(nets.squared_error_grad(theta, x, y, (1, 1)), [(1 * 1 - 3 * 2) / 2, (1 - 3) / 2])


@each_net
def test_float32_stays_float32(net):
    theta, x, g, v = case(net, dtype=np.float32)
    tape = nets.mlp_tape(theta, x, *net)
    results = [
        nets.mlp(theta, x, *net),
        *tape,
        nets.mlp_vjp(theta, tape, g, *net),
        nets.mlp_jvp(theta, tape, v, *net),
    ]
    results += [nets.squared_error_grad(theta, x, g, *net, how) for how in ("hand", "autograd")]
    assert {a.dtype for a in results} == {np.dtype(np.float32)}


def test_autograd_meets_float32_in_every_product(monkeypatch):
    """autograd 1.9.1 goes back through np.maximum in float64, and the product before it takes twice the time."""
    seen = primitive(lambda x: x)
    dtypes, dot = [], anp.dot
    defvjp(seen, lambda ans, x: lambda g: dtypes.append(g.dtype) or g)
    monkeypatch.setattr(anp, "dot", lambda a, b: seen(dot(a, b)))
    theta, x, g, _ = case(nets.Net((3, 5, 4, 2), None), dtype=np.float32)
    nets.squared_error_grad(theta, x, g, (3, 5, 4, 2), None, "autograd")
    assert dtypes == [np.float32] * 3


# --- Adam  -----------------------------------------------------------------------------------


def check_adam(step):
    """Algorithm 1 of arXiv:1412.6980 in its textbook form, number by number in Python."""
    rng, lr = np.random.default_rng(0), 0.02
    theta, state = rng.standard_normal(4), nets.adam_init(np.zeros(4))
    want, m, v = list(theta), [0.0] * 4, [0.0] * 4
    for t in range(1, 8):
        g = rng.standard_normal(4)
        state = step(theta, g, state, lr)
        for i in range(4):
            m[i] = 0.9 * m[i] + 0.1 * g[i]
            v[i] = 0.999 * v[i] + 0.001 * g[i] ** 2
            m_hat, v_hat = m[i] / (1 - 0.9**t), v[i] / (1 - 0.999**t)
            want[i] -= lr * m_hat / (math.sqrt(v_hat) + 1e-8)
        np.testing.assert_allclose(theta, want, rtol=1e-12)
    np.testing.assert_allclose(state.m, m, rtol=1e-12)
    np.testing.assert_allclose(state.v, v, rtol=1e-12)
    assert state.t == 7


def test_adam_against_the_textbook_form():
    check_adam(nets.adam)


WRONG_ADAM = {
    "no bias correction": lambda theta, g, s, lr: nets.adam(theta, g, s._replace(t=s.t + 10**6), lr),
    "first moment forgotten": lambda theta, g, s, lr: nets.adam(theta, g, s._replace(m=0 * s.m), lr),
    "ascent": lambda theta, g, s, lr: nets.adam(theta, -g, s, lr),
    "a copy": lambda theta, g, s, lr: nets.adam(theta.copy(), g, s, lr),
}


@pytest.mark.parametrize("wrong", WRONG_ADAM.values(), ids=WRONG_ADAM)
def test_wrong_adam_is_refused(wrong):
    with pytest.raises(AssertionError):
        check_adam(wrong)


def test_adam_first_step_by_hand():
    """After one step m / (1 - b1) = g and v / (1 - b2) = g^2, so theta moves by lr * sign(g) whatever |g|."""
    theta, g = np.array([1.0, 2.0, 3.0]), np.array([1e-3, -4.0, 0.0])
    nets.adam(theta, g, nets.adam_init(theta), lr=0.5)
    np.testing.assert_allclose(theta, [0.5, 2.5, 3.0], rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adam_works_in_place_in_the_dtype_of_theta(dtype):
    theta, g = np.ones(3, dtype), np.ones(3, dtype)
    state = nets.adam_init(theta)
    alias, new = theta, nets.adam(theta, g, state, 0.1)
    assert theta is alias and theta[0] == pytest.approx(0.9)
    assert new.m is state.m and new.v is state.v and (state.t, new.t) == (0, 1)
    assert {theta.dtype, new.m.dtype, new.v.dtype} == {np.dtype(dtype)}
    np.testing.assert_array_equal(g, 1)


def test_adam_moments_never_become_subnormal():
    """Where the gradient stays zero they decay for ever: through the numbers that some processors are slow with."""
    m, v = np.array([1, -1, 1e-6], np.float32), np.array([1, 1e-37, 1e-29], np.float32)
    theta, state, tiny, seen = np.ones(3, np.float32), nets.Adam(m, v), np.finfo(np.float32).tiny, []
    for _ in range(3000):
        state = nets.adam(theta, np.zeros(3, np.float32), state, 1e-3)
        seen += [x[(x != 0) & (abs(x) < tiny)] for x in (state.m, state.v)]
    assert np.concatenate(seen).size == 0
    assert not state.m.any() and state.v[0] > 0.04  # and only those are zero that have decayed


def test_adam_refuses_a_gradient_of_another_length():
    theta = np.ones(6)
    with pytest.raises(ValueError):  # e.g. a whole policy and the gradient of its weights alone
        nets.adam(theta, np.ones(4), nets.adam_init(theta), 0.1)


EPOCHS = [((4, 3), None), ((4, 6, 3), 2.0), ((4, 6, 5, 3), None), ((4, 6, 5, 3), 0.5)]


def check_epoch(epoch, net, tolerance=1e-12):
    """Step by step what `squared_error_grad` and `adam` do, the shorter last minibatch included."""
    rng, (sizes, limit) = np.random.default_rng(0), net
    x, y, order = rng.standard_normal((23, 4)), rng.standard_normal((23, 3)), rng.integers(23, size=27)
    theta = nets.init_mlp(rng, sizes).astype(np.float64)
    want, state, moments = theta.copy(), nets.adam_init(theta), nets.adam_init(theta)
    for rows in (order[:10], order[10:20], order[20:]):
        g = nets.squared_error_grad(want, x[rows], y[rows], sizes, limit)
        moments = nets.adam(want, g, moments, 0.01)
    new = epoch(theta, state, x, y, order, 10, 0.01, sizes, limit)
    np.testing.assert_allclose(theta, want, rtol=0, atol=tolerance)
    np.testing.assert_allclose(new.v, moments.v, rtol=0, atol=tolerance)
    assert new.t == 3


@pytest.mark.parametrize("net", EPOCHS, ids=str)
@pytest.mark.parametrize("how", ["hand", "autograd"])
def test_adam_epoch_is_its_two_parts(net, how):
    check_epoch(lambda *args: nets.adam_epoch_fast(*args, how), net, 1e-12 if how == "hand" else 1e-10)


WRONG_EPOCHS = {
    "the rest is dropped": lambda th, s, x, y, order, *more: nets.adam_epoch_fast(th, s, x, y, order[:20], *more),
    "rows in their own order": lambda th, s, x, y, order, *more: nets.adam_epoch_fast(
        th, s, x, y, np.sort(order), *more
    ),
    "not squashed": lambda *args: nets.adam_epoch_fast(*args[:-1]),
    "a copy": lambda th, *more: nets.adam_epoch_fast(th.copy(), *more),
}


@pytest.mark.parametrize("wrong", WRONG_EPOCHS.values(), ids=WRONG_EPOCHS)
def test_wrong_epochs_are_refused(wrong):
    with pytest.raises(AssertionError):
        check_epoch(wrong, EPOCHS[1])


def test_adam_epoch_stays_float32_and_refuses_what_does_not_fit():
    rng, sizes = np.random.default_rng(0), (4, 6, 3)
    x, y = rng.standard_normal((9, 4), np.float32), rng.standard_normal((9, 3), np.float32)
    theta = nets.init_mlp(rng, sizes)
    state = nets.adam_epoch_fast(theta, nets.adam_init(theta), x, y, np.arange(9), 4, 0.01, sizes)
    assert {theta.dtype, state.m.dtype, state.v.dtype} == {np.dtype(np.float32)} and state.t == 3
    for bad in (lambda: (theta[:-1], x, y), lambda: (theta, x[:, :3], y), lambda: (theta, x, y[:, :2])):
        th, a, b = bad()
        with pytest.raises(ValueError, match="do not fit"):
            nets.adam_epoch_fast(th.copy(), nets.adam_init(th), a.copy(), b.copy(), np.arange(9), 4, 0.01, sizes)


# --- normalisation ------------------------------------------------------------------------------------------


def data(rows=50, seed=0):
    return np.random.default_rng(seed).normal([1.0, -200.0, 0.0], [2.0, 0.5, 1e-3], (rows, 3))


def test_normalizer_against_numpy():
    x = data()
    norm = nets.Normalizer.fit(x)
    np.testing.assert_allclose(norm.mean, np.mean(x, axis=0), rtol=1e-12)
    np.testing.assert_allclose(norm.std, np.std(x, axis=0), rtol=1e-12)
    assert norm.count == 50
    z = norm(x)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(z.std(axis=0), 1, rtol=1e-10)
    np.testing.assert_array_equal(norm(x.reshape(5, 10, 3)).reshape(50, 3), z)


def test_normalizer_undo_is_the_way_back():
    x = data()
    norm = nets.Normalizer.fit(x)
    np.testing.assert_allclose(norm.undo(norm(x)), x, rtol=1e-12)


def test_normalizer_counts_in_float64_and_answers_in_the_dtype_of_x():
    x = (data() + [0, 0, 1e4]).astype(np.float32)  # a spread of 1e-3 around 1e4 is at float32's limit
    norm = nets.Normalizer.fit(x)
    assert norm.mean.dtype == norm.std.dtype == np.float64
    np.testing.assert_allclose(norm.std, np.std(x.astype(np.float64), axis=0), rtol=1e-9)
    assert norm(x).dtype == norm.undo(x).dtype == np.float32
    assert norm(x.astype(np.float64)).dtype == np.float64


def test_a_dimension_that_never_changes_becomes_zero():
    x = np.full((10, 2), 0.1, np.float32)
    norm = nets.Normalizer.fit(x)
    np.testing.assert_allclose(norm(x), 0, atol=1e-6)
    np.testing.assert_allclose(norm(x + 3), 3, atol=1e-6)  # shifted, not scaled


@pytest.mark.parametrize("cuts", [[20], [1], [49], [5, 30, 31]], ids=str)
def test_merged_pieces_are_the_whole(cuts):
    """Also when a piece is a single row, which has no spread of its own."""
    x = data()
    first, *rest = np.split(x, cuts)
    merged = nets.Normalizer.fit(first)
    for piece in rest:
        merged = online.merge(merged, piece)
    whole = nets.Normalizer.fit(x)
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(merged.std, whole.std, rtol=1e-12)
    assert merged.count == whole.count


def test_merge_of_pieces_that_are_each_constant():
    """0 three times, then 3 once: mean 3/4, variance 9 * 1/4 * 3/4; and a dimension that is 5 throughout."""
    merged = online.merge(nets.Normalizer.fit(np.array([[0.0, 5.0]] * 3)), np.array([[3.0, 5.0]]))
    np.testing.assert_allclose(merged.mean, [0.75, 5])
    np.testing.assert_allclose(merged(np.array([[0.75 + math.sqrt(27 / 16), 5 + 1]])), [[1, 1]])


# --- Gaussians ----------------------------------------------------------------------------------------------


def gaussians(rows=6, seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(rows, 2)),
        np.array([-0.3, 0.6]),
        rng.normal(size=(rows, 2)),
        np.array([0.2, -0.5]),
    )


def test_log_prob_is_scipys():
    act, _, mu, log_std = gaussians()
    want = scipy.stats.norm.logpdf(act, mu, np.exp(log_std)).sum(axis=1)
    np.testing.assert_allclose(nets.log_prob(act, mu, log_std), want, rtol=1e-12)


def integral(p, q):
    """KL(p || q) by its definition, the integral of p log(p / q), of one-dimensional frozen distributions."""
    low, high = p.mean() - 12 * p.std(), p.mean() + 12 * p.std()
    return scipy.integrate.quad(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), low, high, epsabs=1e-11)[0]


def check_kl(kl):
    """KL(old || new) is the integral, dimension by dimension, with the old policy in front."""
    mu_old, log_std_old, mu, log_std = gaussians()
    got = kl(mu_old, log_std_old, mu, log_std)
    assert np.shape(got) == (len(mu),)
    for n in range(len(mu)):
        old = [scipy.stats.norm(m, s) for m, s in zip(mu_old[n], np.exp(log_std_old), strict=True)]
        new = [scipy.stats.norm(m, s) for m, s in zip(mu[n], np.exp(log_std), strict=True)]
        want = sum(integral(p, q) for p, q in zip(old, new, strict=True))
        np.testing.assert_allclose(got[n], want, rtol=1e-9)


def test_kl_is_the_integral():
    check_kl(nets.kl_gauss)


WRONG_KL = {
    "arguments swapped": lambda mu_old, ls_old, mu, ls: nets.kl_gauss(mu, ls, mu_old, ls_old),
    "one standard deviation for both": lambda mu_old, ls_old, mu, ls: nets.kl_gauss(mu_old, ls, mu, ls),
    "variance taken for the deviation": lambda mu_old, ls_old, mu, ls: nets.kl_gauss(mu_old, 2 * ls_old, mu, 2 * ls),
    "mean over actions": lambda *policies: nets.kl_gauss(*policies) / 2,
}


@pytest.mark.parametrize("wrong", WRONG_KL.values(), ids=WRONG_KL)
def test_wrong_kl_is_refused(wrong):
    with pytest.raises(AssertionError):
        check_kl(wrong)


def test_kl_is_zero_only_at_equality_and_not_symmetric():
    mu_old, log_std_old, mu, log_std = gaussians(rows=100)
    there, back = (
        nets.kl_gauss(mu_old, log_std_old, mu, log_std),
        nets.kl_gauss(mu, log_std, mu_old, log_std_old),
    )
    assert (there > 0).all() and (np.abs(there - back) > 1e-3).all()
    np.testing.assert_array_equal(nets.kl_gauss(mu, log_std, mu, log_std), 0)
    assert (nets.kl_gauss(mu, log_std, mu + [0, 1e-4], log_std) > 0).all()  # each parameter counts
    assert (nets.kl_gauss(mu, log_std, mu, log_std + [1e-4, 0]) > 0).all()


def test_gaussians_stay_float32():
    mu_old, log_std_old, mu, log_std = (a.astype(np.float32) for a in gaussians())
    assert nets.kl_gauss(mu_old, log_std_old, mu, log_std).dtype == np.float32
    assert nets.log_prob(mu_old, mu, log_std).dtype == np.float32


# --- threads ------------------------------------------------------------------------------------------------


@pytest.fixture
def use_threads():
    yield nets.use_threads
    nets.use_threads()


@pytest.mark.parametrize("n", [1, 2])
def test_parallel_keeps_the_order(n, use_threads):
    use_threads(n)

    def slow_first(a, b):
        time.sleep(0.002 * (6 - a))
        return 10 * a + b

    assert nets.parallel(slow_first, range(6), iter(range(6))) == [0, 11, 22, 33, 44, 55]
    assert nets.parallel(slow_first, [], []) == []


def test_parallel_passes_errors_on(use_threads):
    use_threads(2)
    with pytest.raises(ZeroDivisionError):
        nets.parallel(lambda a: 1 // a, [1, 0])


def test_parallel_on_a_worker_does_not_wait_for_a_free_one(use_threads):
    use_threads(1)
    doubled = lambda a: nets.parallel(lambda b: 2 * b, [a, a + 1])
    assert nets.parallel(doubled, [1, 3]) == [[2, 4], [6, 8]]
    assert nets.beside(doubled, 5).result(timeout=60) == [10, 12]


def test_race_gives_every_item_and_does_not_wait_for_the_slow(use_threads):
    use_threads(2)
    gate = threading.Event()

    def slow():
        yield "a"
        assert gate.wait(10), "the fast one must not be held up by this one"
        yield "b"

    def fast():
        yield from range(5)
        gate.set()

    items = list(nets.race([slow(), fast(), iter(())]))
    assert [x for i, x in items if i == 0] == ["a", "b"]
    assert [x for i, x in items if i == 1] == list(range(5))
    assert items[-1] == (0, "b") and len(items) == 7
    assert list(nets.race([])) == []


def test_a_race_that_is_left_starts_nothing_more(use_threads):
    """What waits for the one worker is cancelled; what has begun ends: of 20 items, the first and one or two more."""
    use_threads(1)
    begun = []

    def slow(i):
        for j in range(5):
            begun.append((i, j))
            time.sleep(0.02)
            yield j

    race = nets.race([slow(i) for i in range(4)])
    next(race)
    race.close()
    nets.parallel(int, [0])  # the worker is free again
    assert len(begun) <= 3


@pytest.mark.parametrize("n", [1, 2])
def test_race_passes_errors_on(n, use_threads):
    def broken():
        yield 1
        raise FloatingPointError("diverged")

    use_threads(n)
    with pytest.raises(FloatingPointError, match="diverged"):
        list(nets.race([broken(), iter([1, 2])]))


def test_hardware_threads_of_one_core_count_once(monkeypatch):
    monkeypatch.setattr(nets.os, "sched_getaffinity", lambda pid: {0, 1, 2, 3, 7}, raising=False)
    siblings = {"cpu0": "0,2\n", "cpu1": "1,3\n", "cpu2": "0,2\n", "cpu3": "1,3\n"}  # nobody knows of cpu7
    monkeypatch.setattr(nets.Path, "exists", lambda path: path.parts[-3] in siblings)
    monkeypatch.setattr(nets.Path, "read_text", lambda path: siblings[path.parts[-3]])
    assert nets.cores() == 3


def test_use_threads_limits_workers_and_blas(use_threads):
    assert use_threads(1) == 1 == nets.workers()
    all_cores = use_threads()
    assert all_cores >= 1 and nets.workers() == all_cores
    assert all(lib["num_threads"] == 1 for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas")
