"""Another cloning loss: good episodes count more.  `python examples/parts/weighted_clone.py`

Each squared error is weighted by the exponential of its episode's return, as in reward-weighted regression (Peters &
Schaal, ICML 2007).  On mixed data (`eps3`: two rows of ten are of random actions) the clone is the better half.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))  # missing with python -P
from trial import compare

import bremen
import envs
import nets

TEMPERATURE = 0.5  # in standard deviations of the episodes' returns


def weights(data):
    """exp(return / temperature) of the episode of each row, 1 on average.  -> (N,) float32"""
    number = np.cumsum(data.episode_starts()) - 1
    returns = envs.episode_returns(data)[0]
    if len(returns) == 0:
        return np.ones(len(data.rew), np.float32)
    w = np.exp((returns - returns.max()) / (TEMPERATURE * returns.std() + 1e-8))
    # behind the whole episodes there may be one that was cut: nobody knows its return
    w = np.append(w, w.mean())[number]
    return (w / w.mean()).astype(np.float32)


def clone(data, norm, cfg, rng, report=bremen.ignore):
    """As bremen.clone_behavior.  -> beta (P,), info"""
    net, beta = bremen.policy_net(cfg), bremen.new_policy(cfg, rng)
    mu = nets.split(beta, net.sizes)[0]  # a view: Adam moves the weights of beta and leaves log_std alone
    moments, obs, w = nets.adam_init(mu), norm(data.obs), weights(data)
    for step in range(1, cfg.clone_steps + 1):
        rows = rng.integers(len(obs), size=cfg.clone_batch)
        tape = nets.mlp_tape(mu, obs[rows], *net)
        error = w[rows, None] * (tape[-1] - data.act[rows])  # the only line that differs
        moments = nets.adam(mu, nets.mlp_vjp(mu, tape, error / len(rows), *net), moments, cfg.clone_lr)
        if step % 500 == 0:
            report({"stage": "clone", "done": step, "total": cfg.clone_steps, "loss": float(np.mean(error**2))})
    return beta, {"clone_loss": nets.mean_loss(mu, obs, data.act, *net)}


if __name__ == "__main__":
    compare(numbers={"noise": "eps3"}, clone=clone)
