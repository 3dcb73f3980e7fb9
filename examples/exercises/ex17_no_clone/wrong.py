"""Plausible wrong answers to ex17."""

import numpy as np

import bremen
import nets


def still_a_clone(data, norm, cfg, rng, report=bremen.ignore):
    return bremen.clone_behavior(data, norm, cfg, rng, report)


def all_zeros(data, norm, cfg, rng, report=None):
    beta = np.zeros(nets.n_params(bremen.policy_net(cfg).sizes) + 1, np.float32)
    beta[-1] = np.log(cfg.std * bremen.policy_net(cfg).limit)
    return beta, {"clone_loss": float(np.mean(data.act**2) / 2)}


def wide(data, norm, cfg, rng, report=None):
    sizes, _ = bremen.policy_net(cfg)
    return np.concatenate([nets.init_mlp(rng, sizes, 0.01), np.zeros(1, np.float32)]), {"clone_loss": np.nan}


def own_generator(data, norm, cfg, rng, report=None):
    beta = bremen.new_policy(cfg, np.random.default_rng())
    return beta, {"clone_loss": nets.mean_loss(beta, norm(data.obs), data.act, *bremen.policy_net(cfg))}


WRONG = {
    "weights that rng does not know": own_generator,
    "the clone after all": still_a_clone,
    "all weights are zero: nothing can be learnt from there": all_zeros,
    "log sigma is 0: another policy than that of the run": wide,
}
