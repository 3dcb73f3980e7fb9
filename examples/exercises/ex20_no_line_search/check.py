"""What a right answer to ex20 does; `python check.py` tries todo.py."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge
import seams

import nets
import trpo

NET, S = nets.Net((3, 6, 2), 1.0), 3
CFG = replace(seams.PENDULUM, target_kl=1e-8, cg_damping=1e-4, cg_iters=40)


def situation():
    """A policy, a value function that is zero, and random paths, in float64.  -> theta, critic, paths, norm"""
    rng, T, B = np.random.default_rng(0), 25, 8
    theta = np.concatenate([0.7 * rng.standard_normal(nets.n_params(NET.sizes)), np.log([0.3, 0.6])])
    obs, next_obs = rng.standard_normal((2, T, B, S))
    norm = nets.Normalizer(np.full(S, 0.3), np.full(S, 1.5))
    mu = nets.mlp(theta, norm(obs.reshape(-1, S)), *NET).reshape(T, B, 2)
    act = mu + np.exp(theta[-2:]) * rng.standard_normal((T, B, 2))
    no = np.zeros((T, B), bool)
    time = np.repeat(np.arange(T)[:, None], B, axis=1)
    paths = trpo.Paths(obs, act, act[..., 0] * obs[..., 0] - act[..., 1] ** 2, next_obs, no, no, time)
    return theta, trpo.Critic(np.zeros(2 * S + 4)), paths, norm


def check(improve):
    """A small step has the KL and the direction that it should have; a large one is not shortened."""
    theta, critic, paths, norm = situation()
    run = lambda target_kl, **other: improve(
        theta.copy(), critic, paths, norm, NET, replace(CFG, target_kl=target_kl, **other), np.random.default_rng(1)
    )
    new, after, info = run(1e-8)
    assert new.shape == theta.shape and new.dtype == theta.dtype, "the new theta must have theta's shape and dtype"
    assert np.array_equal(new[-2:], theta[-2:]), "log sigma must stay as it is (learn_std is False)"
    obs = norm(paths.obs.reshape(-1, S))
    policy = lambda t: nets.gaussian(t, obs, NET)
    kl_to = lambda t: float(np.mean(nets.kl_gauss(*policy(theta), *policy(t))))
    small = "a small step must have the KL target_kl, mean over the rows; log sigma must not count in g and F v"
    judge.close(kl_to(new), 1e-8, small, 0.02, 0)
    judge.close(info["kl"], kl_to(new), "info['kl'] must be the mean KL(old || new) of the step", 1e-3, 0)
    heavy = run(1e-8, cg_damping=0.1)[0]
    paid = kl_to(heavy) + 0.1 * np.sum((heavy - theta) ** 2) / 2
    judge.close(paid, 1e-8, "the scale must be that of F + damping: KL + damping |step|^2 / 2 = target_kl", 0.02, 0)
    assert not np.array_equal(after.psi, critic.psi), "the value function must be fitted anew"

    _, _, adv, _, _ = trpo.advantages(critic, paths, norm, CFG)
    act, adv = paths.act.reshape(-1, 2), (adv - adv.mean()) / adv.std()
    rows = trpo.Rows(obs, act, adv, nets.mlp(theta, obs, *NET), theta[-2:])
    g, product = trpo.policy_gradient(theta, rows, NET)[:-2], trpo.fisher_product(theta, rows, NET)
    F = np.stack([product(v)[:-2] for v in np.eye(len(theta))[:-2]]) + CFG.cg_damping * np.eye(len(theta) - 2)
    x = np.linalg.solve(F, g)
    cosine = (new - theta)[:-2] @ F @ x / np.sqrt(2e-8 * (x @ F @ x))  # in the metric of F + damping
    way = "(F + damping)^-1 g, g of standardised advantages"
    assert cosine > 0.999, f"the step must have the direction of {way}: the cosine between them is {cosine:.2f}"

    large, _, info = run(4.0)
    judge.close(large - theta, 20_000 * (new - theta), "the step must grow with sqrt(target_kl), never shortened", 1e-4)
    judge.close(info["kl"], kl_to(large), "info['kl'] must be the real KL of the step, also of a large one", 1e-3, 0)
    seams.first_update(improve=improve)


if __name__ == "__main__":
    judge.main(check, __file__)
