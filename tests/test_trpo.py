"""Solvers and the trust-region step against definitions, autograd, linear algebra and paper."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse.linalg
import scipy.stats
from autograd import grad

import bremen
import nets
import trpo

# --- generalised advantage estimation -----------------------------------------------------------------------


def column(*numbers):
    return np.array(numbers, dtype=np.float64)[:, None]


def ends(*flags):
    return np.array(flags, dtype=bool)[:, None]


def test_gae_by_hand_termination():
    """gamma = lam = 1/2.  Row 1: 2 - 6 = -4, no part of the 100.  Row 0: 1 + 6/2 - 4 = 0, plus 1/4 of -4."""
    adv = trpo.gae(column(1, 2), column(4, 6), column(6, 100), ends(0, 1), ends(0, 0), 0.5, 0.5)
    np.testing.assert_allclose(adv, column(-1, -4))


@pytest.mark.parametrize("truncated", [ends(0, 1), ends(0, 0)], ids=["truncated", "still running"])
def test_gae_by_hand_truncation_bootstraps(truncated):
    """Row 1: 2 + 100/2 - 6 = 46.  Row 0: 1 + 6/2 - 4 = 0, plus 1/4 of 46."""
    adv = trpo.gae(column(1, 2), column(4, 6), column(6, 100), ends(0, 0), truncated, 0.5, 0.5)
    np.testing.assert_allclose(adv, column(11.5, 46))


@pytest.mark.parametrize("terminated, first", [(False, 1), (True, -3)])
def test_gae_by_hand_restart_inside(terminated, first):
    """A path ends at row 0 and another starts at row 1.  Row 2: 3 - 10 = -7.  Row 1: 2 + 10/2 - 6 = 1,
    plus 1/4 of -7.  Row 0, cut off from them: 1 + 8/2 - 4 = 1 when truncated, 1 - 4 = -3 when terminated."""
    rew, val, next_val = column(1, 2, 3), column(4, 6, 10), column(8, 10, 100)
    adv = trpo.gae(rew, val, next_val, ends(terminated, 0, 1), ends(not terminated, 0, 0), 0.5, 0.5)
    np.testing.assert_allclose(adv, column(first, -0.75, -7))


def paths(T=9, B=4, seed=0, end=0.2):
    """Random rew, val, next_val, terminated, truncated (T, B); some rows end in both ways."""
    rng = np.random.default_rng(seed)
    return *rng.normal(size=(3, T, B)), rng.random((T, B)) < end, rng.random((T, B)) < end


def check_gae(gae, gamma=0.9, lam=0.7):
    """Eq. (16) of arXiv:1506.02438 as it stands: for each row the whole sum of its future TD errors."""
    rew, val, next_val, terminated, truncated = paths()
    want = np.zeros(rew.shape)
    for t, b in np.ndindex(rew.shape):
        for i in range(t, len(rew)):
            bootstrap = 0.0 if terminated[i, b] else gamma * next_val[i, b]
            want[t, b] += (gamma * lam) ** (i - t) * (rew[i, b] + bootstrap - val[i, b])
            if terminated[i, b] or truncated[i, b]:
                break
    got = gae(rew, val, next_val, terminated, truncated, gamma, lam)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


def test_gae_is_the_sum_of_its_definition():
    check_gae(trpo.gae)


def follow(val, next_val):
    """The next row's value in place of the value of the state that the step led to."""
    return np.concatenate([val[1:], next_val[-1:]])


def under(change):
    """gae under other masks: change(terminated, truncated) -> the two that it gets."""
    return lambda rew, val, next_val, *masks_and_numbers: trpo.gae(
        rew, val, next_val, *change(*masks_and_numbers[:2]), *masks_and_numbers[2:]
    )


WRONG_GAE = {
    "ignores truncation": under(lambda terminated, truncated: (terminated, truncated & False)),
    "ignores termination": under(lambda terminated, truncated: (terminated & False, truncated)),
    "one done, never bootstraps": under(lambda terminated, truncated: (terminated | truncated, truncated)),
    "one done, always bootstraps": under(lambda terminated, truncated: (terminated & False, terminated | truncated)),
    "value of the next row": lambda rew, val, next_val, *a: trpo.gae(rew, val, follow(val, next_val), *a),
    "no lambda": lambda *a: trpo.gae(*a[:-1], 1.0),
}


@pytest.mark.parametrize("wrong", WRONG_GAE.values(), ids=WRONG_GAE)
def test_wrong_gae_is_refused(wrong):
    with pytest.raises(AssertionError):
        check_gae(wrong)


def test_gae_lam_1_is_the_return_minus_the_value_and_lam_0_the_td_error():
    rew, val, *_ = paths()
    never, last, gamma = np.zeros(rew.shape, bool), np.full((1, rew.shape[1]), 5.0), 0.9
    next_val = follow(val, last)  # one path per column, nothing ends
    returns = [gamma ** np.arange(len(rew) - t) @ rew[t:] + gamma ** (len(rew) - t) * last[0] for t in range(len(rew))]
    np.testing.assert_allclose(trpo.gae(rew, val, next_val, never, never, gamma, 1.0), returns - val, atol=1e-12)
    td = trpo.gae(rew, val, next_val, never, never, gamma, 0.0)
    np.testing.assert_allclose(td, rew + gamma * next_val - val, atol=1e-12)


def test_gae_never_looks_at_the_value_behind_a_termination():
    rew, val, next_val, terminated, truncated = paths()
    adv = trpo.gae(rew, val, np.where(terminated, np.nan, next_val), terminated, truncated, 0.9, 0.7)
    assert terminated.any() and np.isfinite(adv).all()


def test_gae_takes_float32_and_leaves_its_inputs_alone():
    args = [a.astype(np.float32) if a.dtype == np.float64 else a for a in paths()]
    before = [a.copy() for a in args]
    assert trpo.gae(*args, 0.9, 0.7).dtype == np.float64
    for a, b in zip(args, before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("which", range(5))
def test_gae_refuses_wrong_shapes(which):
    args = list(paths())
    args[which] = args[which][:-1]
    with pytest.raises(ValueError, match="gae"):
        trpo.gae(*args, 0.9, 0.7)
    with pytest.raises(ValueError, match="gae"):
        trpo.gae(*(a[:, 0] for a in paths()), 0.9, 0.7)  # (T,) instead of (T, B)


# --- conjugate gradient -------------------------------------------------------------------------------------


def system(n=8, seed=0):
    rng = np.random.default_rng(seed)
    M = rng.standard_normal((n, n))
    return M @ M.T + np.eye(n), rng.standard_normal(n)


def check_cg(cg):
    """An n x n system is solved in n steps: what sets conjugate gradient apart from descent."""
    for n in (1, 2, 5, 8):
        A, b = system(n)
        x, _ = cg(lambda v, A=A: A @ v, b.copy(), n)
        np.testing.assert_allclose(x, np.linalg.solve(A, b), rtol=1e-6, err_msg="after n steps CG should be exact")


def test_cg_is_exact_in_n_steps():
    check_cg(trpo.conjugate_gradient)


def aliased(product, b, iters):
    """p and r are one array until the first update of p."""
    x, r = np.zeros_like(b), b.copy()
    p, rr = r, r @ r
    for _ in range(iters):
        z = product(p)
        length = rr / (p @ z)
        x += length * p
        r -= length * z
        rr, rr_old = r @ r, rr
        p = r + (rr / rr_old) * p
    return x, 0.0


def steepest_descent(product, b, iters):
    x = np.zeros_like(b)
    for _ in range(iters):
        r = b - product(x)
        x = x + (r @ r) / (r @ product(r)) * r
    return x, 0.0


@pytest.mark.parametrize("wrong", [aliased, steepest_descent])
def test_wrong_cg_is_refused(wrong):
    with pytest.raises(AssertionError):
        check_cg(wrong)


@pytest.mark.parametrize("iters", [1, 2, 4])
def test_cg_goes_where_scipys_goes_and_reports_the_true_residual(iters):
    A, b = system()
    x, residual = trpo.conjugate_gradient(lambda v: A @ v, b, iters)
    np.testing.assert_allclose(x, scipy.sparse.linalg.cg(A, b, rtol=0, maxiter=iters)[0], rtol=1e-10)
    assert residual == pytest.approx(np.linalg.norm(A @ x - b) / np.linalg.norm(b), rel=1e-8)


def test_cg_of_zero_is_zero():
    x, residual = trpo.conjugate_gradient(lambda v: v, np.zeros(3))
    np.testing.assert_array_equal(x, np.zeros(3))
    assert residual == 0


def test_cg_stops_when_it_is_done():
    calls = []

    def twice(v):
        calls.append(1)
        return 2 * v

    x, residual = trpo.conjugate_gradient(twice, np.array([2.0, 4.0]), iters=10)
    np.testing.assert_allclose(x, [1, 2])
    assert len(calls) == 1 and residual == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cg_leaves_b_alone_and_answers_in_float64(dtype):
    A, b = system()
    b = b.astype(dtype)
    before = b.copy()
    x, _ = trpo.conjugate_gradient(lambda v: A @ v, b, 3)
    np.testing.assert_array_equal(b, before)
    assert x.dtype == np.float64


def test_cg_does_not_call_nan_a_solution():
    _, residual = trpo.conjugate_gradient(lambda v: v, np.array([np.nan, 1.0]))
    assert np.isnan(residual)


# --- line search --------------------------------------------------------------------------------------------


def parabola(step):
    """A toy: the improvement is the step's length, the KL half its square."""
    return float(step[0]), float(step[0] ** 2 / 2)


def test_line_search_takes_the_full_step_when_it_is_fine():
    step, improvement, kl, backtracks, accepted = trpo.line_search(parabola, np.array([0.5]), 0.5, max_kl=0.2)
    assert accepted and backtracks == 0 and (step[0], improvement, kl) == (0.5, 0.5, 0.125)


def test_line_search_backtracks_into_the_trust_region():
    """Halving 1: KL 1/2, 1/8, 1/32, and 1/32 is the first below 0.1."""
    result = trpo.line_search(parabola, np.array([1.0]), 1.0, max_kl=0.1, backtrack=0.5)
    np.testing.assert_array_equal(result[0], [0.25])
    assert result[1:] == (0.25, 1 / 32, 2, True)


def test_line_search_may_touch_the_edge():
    assert trpo.line_search(parabola, np.array([1.0]), 1.0, max_kl=0.5)[3:] == (0, True)


REFUSED = {
    "improvement is nan": lambda step: (np.nan, 0.0),
    "kl is nan": lambda step: (1.0, np.nan),
    "no improvement": lambda step: (0.0, 0.0),
    "worse": lambda step: (-1.0, 0.0),
    "less than the accept ratio": lambda step: (0.09 * step[0], 0.0),
    "always too far": lambda step: (1.0, 1.0),
}


@pytest.mark.parametrize("evaluate", REFUSED.values(), ids=REFUSED)
def test_line_search_refuses(evaluate):
    tried = []

    def watched(step):
        tried.append(step[0])
        return evaluate(step)

    full = np.array([1.0, 2.0])
    step, improvement, kl, backtracks, accepted = trpo.line_search(watched, full, 1.0, max_kl=0.1, max_backtracks=4)
    np.testing.assert_array_equal(step, [0, 0])
    assert not accepted and (improvement, kl, backtracks) == (0, 0, 4)
    np.testing.assert_allclose(tried, [1, 0.8, 0.64, 0.512, 0.4096])
    np.testing.assert_array_equal(full, [1, 2])


def test_line_search_goes_on_behind_a_nan():
    evaluate = lambda step: (np.nan, np.nan) if step[0] > 0.5 else parabola(step)  # noqa: E731
    assert trpo.line_search(evaluate, np.array([1.0]), 1.0, max_kl=1.0, backtrack=0.5)[3:] == (1, True)


def test_line_search_expects_less_of_a_shorter_step():
    """15 % of what the gradient promises is enough at any length: above the ratio of a tenth."""
    evaluate = lambda step: (0.15 * step[0], step[0] ** 2 / 2)  # noqa: E731
    assert trpo.line_search(evaluate, np.array([1.0]), 1.0, max_kl=0.1)[4]


# --- surrogate, KL and their derivatives --------------------------------------------------------------------

NETS = [nets.Net((3, 2)), nets.Net((3, 5, 2), 0.7), nets.Net((3, 4, 3, 2))]
each_net = pytest.mark.parametrize("net", NETS, ids=str)
SMALL = nets.Net((3, 5, 2), 0.7)


def problem(net=SMALL, n=40, dtype=np.float64, seed=0):
    """A random policy theta and n rows that it has made; the advantage likes actions near 0.3."""
    rng, sizes = np.random.default_rng(seed), net.sizes
    log_std = np.linspace(-0.5, -1.0, sizes[-1])
    theta = np.concatenate([0.7 * rng.standard_normal(nets.n_params(sizes)), log_std]).astype(dtype)
    obs = rng.standard_normal((n, sizes[0])).astype(dtype)
    mu = nets.mlp(theta, obs, *net)
    act = (mu + np.exp(log_std) * rng.standard_normal(mu.shape)).astype(dtype)
    adv = -np.sum((act - 0.3) ** 2, axis=1)
    adv = ((adv - adv.mean()) / adv.std() + 0.5).astype(dtype)  # a mean of 0 would hide mistakes
    return theta, trpo.Rows(obs, act, adv, mu, theta[-sizes[-1] :]), net


def elsewhere(theta, seed=1):
    return theta + 0.1 * np.random.default_rng(seed).standard_normal(len(theta))


def test_chunks_are_the_rows_in_order(monkeypatch):
    monkeypatch.setattr(nets, "CHUNK", 4)
    _, rows, _ = problem(n=10)
    chunks = rows.chunks()
    assert [len(c.obs) for c in chunks] == [4, 4, 2]
    for name in ("obs", "act", "adv", "mu"):
        np.testing.assert_array_equal(np.concatenate([getattr(c, name) for c in chunks]), getattr(rows, name))
    assert all(c.log_std is rows.log_std for c in chunks)


def test_surrogate_is_the_ratio_of_scipys_densities():
    theta, rows, net = problem()
    new = elsewhere(theta)
    density = scipy.stats.norm(nets.mlp(new, rows.obs, *net), np.exp(new[-2:])).pdf(rows.act)
    old = scipy.stats.norm(rows.mu, np.exp(theta[-2:])).pdf(rows.act)
    want = np.sum(np.prod(density / old, axis=1) * rows.adv)
    np.testing.assert_allclose(trpo.surrogate(*nets.gaussian(new, rows.obs, net), rows), want, rtol=1e-10)
    np.testing.assert_allclose(trpo.surrogate(*nets.gaussian(theta, rows.obs, net), rows), rows.adv.sum(), atol=1e-12)


def test_kl_sum_is_zero_at_the_old_policy_and_positive_elsewhere(monkeypatch):
    monkeypatch.setattr(nets, "CHUNK", 1)
    theta, rows, net = problem()
    assert trpo.kl_sum(*nets.gaussian(theta, rows.obs, net), rows) == 0
    new = elsewhere(theta)
    want = sum(nets.kl_gauss(r.mu, r.log_std, nets.mlp(new, r.obs, *net), new[-2:])[0] for r in rows.chunks())
    assert want > 0
    np.testing.assert_allclose(
        trpo.kl_sum(*nets.gaussian(new, rows.obs, net), rows), want, rtol=1e-12
    )  # a sum over rows, old policy in front


@each_net
def test_policy_gradient_by_hand_is_autograds(net):
    theta, rows, net = problem(net)
    want = trpo.policy_gradient(theta, rows, net, "autograd")
    assert np.abs(want).max() > 0.01
    np.testing.assert_allclose(trpo.policy_gradient(theta, rows, net), want, rtol=0, atol=1e-10)


def dense(product, P):
    return np.stack([product(e) for e in np.eye(P)], axis=1)


def check_fisher(net):
    """The Fisher product by hand is the Hessian of the mean KL by autograd, along every axis."""
    theta, rows, net = problem(net)
    by_hand = dense(trpo.fisher_product(theta, rows, net), len(theta))
    np.testing.assert_allclose(
        by_hand, dense(trpo.fisher_product(theta, rows, net, "autograd"), len(theta)), rtol=0, atol=1e-10
    )
    np.testing.assert_allclose(by_hand, by_hand.T, rtol=0, atol=1e-12, err_msg="symmetric")
    assert np.linalg.eigvalsh(by_hand).min() > -1e-10, "positive semidefinite"


@each_net
def test_fisher_by_hand_is_the_hessian_of_the_kl(net):
    check_fisher(net)


def test_fisher_without_the_squash_is_refused(monkeypatch):
    monkeypatch.setattr(nets, "_through_squash", lambda y, g, limit: g)
    check_fisher(nets.Net((3, 5, 2), None))
    with pytest.raises(AssertionError):
        check_fisher(SMALL)


def test_fisher_with_the_metric_of_the_variance_is_refused(monkeypatch):
    """4 instead of 2 for log sigma: a factor that no test of the mean alone would see."""
    right = trpo.fisher_vector

    def wrong(theta, tape, v, net):
        return right(theta, tape, v, net) * np.where(np.arange(len(v)) < len(v) - 2, 1.0, 2.0)

    monkeypatch.setattr(trpo, "fisher_vector", wrong)
    with pytest.raises(AssertionError):
        check_fisher(SMALL)


def test_fisher_by_finite_differences():
    """A dense Hessian that needs no second derivative: central differences of the gradient of the KL."""
    theta, rows, net = problem(nets.Net((3, 2, 1), 0.7))
    slope, h = grad(lambda t: trpo.kl_sum(*nets.gaussian(t, rows.obs, net), rows)), 1e-5
    columns = [(slope(theta + h * e) - slope(theta - h * e)) / (2 * h) for e in np.eye(len(theta))]
    got = dense(trpo.fisher_product(theta, rows, net), len(theta))
    np.testing.assert_allclose(got, np.stack(columns, axis=1) / len(rows.obs), rtol=0, atol=1e-7)


def test_chunking_changes_nothing():
    """More rows than a chunk holds: by hand in chunks, by autograd all at once."""
    theta, rows, net = problem(n=2 * nets.CHUNK + 1)
    v = elsewhere(theta)
    for derivative in (trpo.policy_gradient, lambda *a: trpo.fisher_product(*a)(v)):
        np.testing.assert_allclose(
            derivative(theta, rows, net), derivative(theta, rows, net, "autograd"), rtol=0, atol=1e-10
        )


def test_threads_change_no_bit():
    theta, rows, net = problem(n=2 * nets.CHUNK + 1, dtype=np.float32)
    v, results = np.ones(len(theta)), []
    try:
        for threads in (1, 2):
            nets.use_threads(threads)
            results.append([trpo.policy_gradient(theta, rows, net), trpo.fisher_product(theta, rows, net)(v)])
    finally:
        nets.use_threads()
    np.testing.assert_array_equal(*results)
    assert results[0][0].dtype == results[0][1].dtype == np.float64  # sums over rows are float64


# --- the step -----------------------------------------------------------------------------------------------

CFG = bremen.Config(target_kl=0.01, cg_damping=0.01, learn_std=False, fisher_rows=1.0, gradients="hand")


def take(theta, rows, net, seed=0, **changes):
    return trpo.step(theta, rows, net, replace(CFG, **changes), np.random.default_rng(seed))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("learn_std", [False, True])
def test_a_step_improves_inside_the_trust_region(dtype, learn_std):
    theta, rows, net = problem(n=400, dtype=dtype)
    before = theta.copy()
    new, info = take(theta, rows, net, learn_std=learn_std)
    np.testing.assert_array_equal(theta, before)  # a new vector, not the old one changed
    assert info["accepted"] and new.dtype == dtype
    gain = (trpo.surrogate(*nets.gaussian(new, rows.obs, net), rows) - rows.adv.sum()) / 400
    kl = trpo.kl_sum(*nets.gaussian(new, rows.obs, net), rows) / 400
    assert gain > 0 and 0 < kl <= CFG.target_kl * (1 + 1e-5)
    assert info["surrogate_gain"] == pytest.approx(gain, rel=1e-3) and info["kl"] == pytest.approx(kl, rel=1e-3)
    assert (new[:-2] != theta[:-2]).any()
    assert (new[-2:] != theta[-2:]).all() == learn_std == (new[-2:] != theta[-2:]).any()


def test_a_step_goes_to_the_edge_of_the_trust_region():
    """Without damping x^T F x / 2 = target_kl; after one backtrack by 0.8, 0.64 of it is left."""
    theta, rows, net = problem(n=400)
    _, info = take(theta, rows, net, target_kl=1e-4, cg_damping=1e-6, cg_iters=100)
    assert info["backtracks"] <= 1 and 0.6e-4 < info["kl"] <= 1e-4


@pytest.mark.parametrize("learn_std", [False, True])
def test_a_step_points_along_the_natural_gradient(learn_std):
    """Left to converge, CG is a dense solve of (F + damping) x = g on the free coordinates."""
    theta, rows, net = problem()
    P = len(theta) if learn_std else len(theta) - 2
    F = dense(trpo.fisher_product(theta, rows, net, "autograd"), len(theta))[:P, :P]
    x = np.linalg.solve(F + 0.01 * np.eye(P), trpo.policy_gradient(theta, rows, net, "autograd")[:P])
    new, info = take(theta, rows, net, learn_std=learn_std, cg_iters=100)
    part = (new - theta)[:P]
    assert info["accepted"] and info["cg_residual"] < 1e-6
    np.testing.assert_allclose(part / np.linalg.norm(part), x / np.linalg.norm(x), atol=1e-6)


def test_both_kinds_of_gradients_take_one_step():
    """Few iterations: CG itself blows rounding up, here from 1e-15 after 5 iterations to 1e-7 after 10."""
    theta, rows, net = problem()
    by_hand, by_autograd = (
        take(theta, rows, net, gradients=how, learn_std=True, cg_iters=5) for how in ("hand", "autograd")
    )
    np.testing.assert_allclose(by_hand[0], by_autograd[0], rtol=0, atol=1e-8)
    assert by_hand[1]["backtracks"] == by_autograd[1]["backtracks"] and by_hand[1]["accepted"]


def test_fisher_products_on_some_rows():
    theta, rows, net = problem(n=400)
    first, again, other, all_rows = (
        take(theta, rows, net, s, fisher_rows=f) for s, f in [(0, 0.1), (0, 0.1), (1, 0.1), (0, 1.0)]
    )
    np.testing.assert_array_equal(first[0], again[0])  # the generator decides which rows
    assert (first[0] != other[0]).any() and (first[0] != all_rows[0]).any()
    assert first[1]["accepted"] and first[1]["surrogate_gain"] > 0 and first[1]["kl"] <= CFG.target_kl
    assert take(theta, rows, net, fisher_rows=1e-9)[1]["kl"] <= CFG.target_kl  # one row at least


def test_all_rows_draw_no_random_number():
    theta, rows, net = problem()
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    trpo.step(theta, rows, net, CFG, rng)
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("adv", [0.0, np.nan])
def test_a_step_without_direction_stays_where_it_is(adv):
    theta, rows, net = problem()
    new, info = take(theta, rows._replace(adv=np.full_like(rows.adv, adv)), net)
    np.testing.assert_array_equal(new, theta)
    assert not info["accepted"] and (info["kl"], info["surrogate_gain"]) == (0, 0)


# --- value functions ----------------------------------------------------------------------------------------

LINEAR = replace(CFG, value="linear")
MLP = replace(CFG, value="mlp", value_hidden=(16,), value_epochs=15, value_batch=50, value_lr=0.01)
each_value = pytest.mark.parametrize("cfg", [LINEAR, MLP], ids=["linear", "mlp"])


def states(n=500, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 3)).astype(np.float32), rng.integers(0, 250, n)


def quadratic(obs, time):
    t = time / 100
    return 3 + obs @ [1.0, -2.0, 0.5] - obs.astype(np.float64) ** 2 @ [0.3, 0.0, 0.7] + t - 0.5 * t**2 + 0.1 * t**3


def test_features_by_hand():
    got = trpo.features(np.array([[20.0, -0.5]]), np.array([200]))
    np.testing.assert_allclose(got, [[10, -0.5, 100, 0.25, 2, 4, 8, 1]])


def test_linear_value_is_least_squares():
    obs, time = states()
    target = quadratic(obs, time)
    critic = trpo.fit_value(trpo.new_critic(np.random.default_rng(0), 3, LINEAR), obs, time, target, LINEAR, None)
    want = np.linalg.lstsq(trpo.features(obs, time), target, rcond=None)[0]
    np.testing.assert_allclose(critic.psi, want, atol=1e-5)
    np.testing.assert_allclose(trpo.value(critic, obs, time, LINEAR), target, atol=1e-5)
    new_obs, new_time = states(seed=1)  # noiseless: it also holds where it was not fitted
    np.testing.assert_allclose(trpo.value(critic, new_obs, new_time, LINEAR), quadratic(new_obs, new_time), atol=1e-5)


def test_mlp_value_reduces_its_error_at_the_scale_of_a_return():
    obs, time = states()
    target = 100 * (1 + np.tanh(obs[:, 0]) * obs[:, 1])
    old = trpo.new_critic(np.random.default_rng(0), 3, MLP)
    new = trpo.fit_value(old, obs, time, target, MLP, np.random.default_rng(1))
    before, after = (np.mean((trpo.value(c, obs, time, MLP) - target) ** 2) for c in (old, new))
    assert after < 0.2 * before
    assert trpo.explained_variance(trpo.value(new, obs, time, MLP), target) > 0.5


@each_value
def test_a_new_value_function_is_nearly_zero(cfg):
    obs, time = states()
    out = trpo.value(trpo.new_critic(np.random.default_rng(0), 3, cfg), obs, time, cfg)
    assert out.shape == (500,) and out.dtype == np.float64
    assert np.abs(out).max() < 0.05 / (1 - cfg.gamma)


@each_value
def test_fitting_leaves_the_old_value_function_alone_and_the_seed_decides(cfg):
    obs, time = states()
    target = quadratic(obs, time)
    old = trpo.new_critic(np.random.default_rng(0), 3, cfg)
    before, fresh = trpo.value(old, obs, time, cfg), trpo.new_critic(np.random.default_rng(0), 3, cfg)
    new, again = (trpo.fit_value(old, obs, time, target, cfg, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(new.psi, again.psi)
    assert (new.psi != old.psi).any()
    np.testing.assert_array_equal(trpo.value(old, obs, time, cfg), before)
    if old.moments is not None:
        np.testing.assert_array_equal([old.moments.m, old.moments.v], [fresh.moments.m, fresh.moments.v])
        newer = trpo.fit_value(new, obs, time, target, cfg, np.random.default_rng(1))
        assert [c.moments.t for c in (old, new, newer)] == [0, 150, 300]  # Adam goes on where it was


def test_value_of_more_rows_than_a_chunk():
    obs, time = states(2 * nets.CHUNK + 1)
    critic = trpo.new_critic(np.random.default_rng(0), 3, MLP)
    whole = nets.mlp(critic.psi, obs, (3, 16, 1))[:, 0] / (1 - MLP.gamma)
    np.testing.assert_allclose(trpo.value(critic, obs, time, MLP), whole, rtol=1e-4, atol=1e-6)


def test_explained_variance_by_hand():
    target = np.array([1.0, 2.0, 3.0, 6.0])
    assert trpo.explained_variance(target, target) == 1
    assert trpo.explained_variance(target + 7, target) == 1  # a constant error is no variance
    assert trpo.explained_variance(np.full(4, 3.0), target) == 0
    assert trpo.explained_variance(-target, target) == -3  # twice the error, four times the variance
    assert trpo.explained_variance(np.zeros(4), np.ones(4)) == 0  # nothing to explain


# --- a whole update -----------------------------------------------------------------------------------------


@each_value
def test_an_update_is_a_step_and_a_value_function_whatever_the_threads(cfg):
    """Neither sees what the other does: side by side, on any number of threads, they are what both are in turn."""
    net, rng, cfg = nets.Net((3, 8, 2), 0.7), np.random.default_rng(3), replace(cfg, target_kl=0.01, fisher_rows=0.5)
    obs, next_obs = rng.standard_normal((2, 50, 60, 3)).astype(np.float32)  # more rows than a chunk
    theta = np.concatenate([nets.init_mlp(rng, net.sizes), np.full(2, -1, np.float32)])
    act = nets.mlp(theta, obs, *net) + 0.3 * rng.standard_normal((50, 60, 2), np.float32)
    terminated, truncated = rng.random((2, 50, 60)) < 0.02
    time = bremen.time_of(terminated | truncated)
    sampled = trpo.Paths(obs, act, obs[..., 0] - act[..., 1] ** 2, next_obs, terminated, truncated, time)
    norm = nets.Normalizer.fit(obs.reshape(-1, 3))
    critic = trpo.new_critic(rng, 3, cfg)
    try:
        found = []
        for threads in (1, 3, 1):
            nets.use_threads(threads)
            found.append(trpo.improve(theta, critic, sampled, norm, net, cfg, np.random.default_rng(5)))
    finally:
        nets.use_threads()
    for new, other, info in found:
        np.testing.assert_array_equal(new, found[0][0])
        np.testing.assert_array_equal(other.psi, found[0][1].psi)
        assert info["accepted"]
    rng = np.random.default_rng(5)
    value_rng = np.random.default_rng(rng.integers(2**63))
    flat, time, adv, target, _ = trpo.advantages(critic, sampled, norm, cfg)
    new, _ = trpo.step(theta, trpo.rows_of(theta, flat, act, adv, net), net, cfg, rng)
    fitted = trpo.fit_value(critic, flat, time, target, cfg, value_rng)
    np.testing.assert_array_equal(new, found[0][0])
    np.testing.assert_array_equal(fitted.psi, found[0][1].psi)
    assert (new != theta).any() and (fitted.psi != critic.psi).any()
