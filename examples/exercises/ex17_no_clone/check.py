"""What a right answer to ex17 does; `python check.py` tries todo.py."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge
import seams

import bremen
import nets

CFG = seams.PENDULUM


def check(clone):
    """A policy that is new, whose actions owe nothing to the data, and that train_offline can start from."""
    data = seams.logged()
    norm, (sizes, limit) = nets.Normalizer.fit(data.obs), bremen.policy_net(CFG)
    beta, info = clone(data, norm, CFG, np.random.default_rng(0))
    wanted = nets.n_params(sizes) + 1
    assert beta.shape == (wanted,), f"beta must hold weights, biases and log sigma, ({wanted},), not {beta.shape}"
    judge.close(beta[-1], np.log(CFG.std * limit), "log sigma must be log(std * act_limit), as in every run", 1e-5)
    mu = nets.mlp(beta, norm(data.obs), sizes, limit)
    assert 0 < np.abs(mu).max() < 0.2, "a new policy acts near zero, but not exactly at zero"
    loss = np.mean((data.act - mu) ** 2) / 2
    judge.close(info["clone_loss"], loss, "clone_loss must be the mean of 1/2 |act - mu|^2 over all rows", 1e-4)
    again, _ = clone(data, norm, CFG, np.random.default_rng(0))
    assert np.array_equal(again, beta), "the same rng must make the same policy: draw its weights from rng"
    opposite, _ = clone(data._replace(act=-data.act), norm, CFG, np.random.default_rng(0))
    assert np.array_equal(opposite, beta), "other actions in the data must not change the policy: it is no clone"
    other, _ = clone(data, norm, CFG, np.random.default_rng(1))
    assert not np.array_equal(other, beta), "another rng must make another policy: draw its weights from rng"
    seams.first_update(data, clone=clone)


if __name__ == "__main__":
    judge.main(check, __file__)
