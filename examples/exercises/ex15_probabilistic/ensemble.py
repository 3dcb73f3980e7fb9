"""Given, not to be changed: the training loop and the rollout of an ensemble that predicts a mean and a variance.

`make_fit(nll)` and `make_imagine(difference)` turn the functions of todo.py into parts for bremen.train_offline.
"""

import numpy as np
from autograd import grad

import bremen
import envs
import nets
import trpo


def sizes_of(cfg):
    """Layer widths of a member: [obs, act] -> means and raw log-variances of the normalised differences."""
    *rest, S = bremen.model_sizes(cfg)
    return (*rest, 2 * S)


def make_fit(nll):
    """A `fit` for train_offline that minimises nll(phi, x, y, sizes), differentiated by autograd."""
    slope = grad(nll)

    def fit(data, cfg, rng, report=bremen.ignore):
        x, delta = np.concatenate([data.obs, data.act], axis=1), data.next_obs - data.obs
        inputs, outputs = nets.Normalizer.fit(x), nets.Normalizer.fit(delta)
        order = rng.permutation(len(x))
        x, y, sizes, held = inputs(x)[order], outputs(delta)[order], sizes_of(cfg), round(cfg.validation * len(x))
        bests = []
        for _ in range(cfg.members):
            phi = nets.init_mlp(rng, sizes)
            moments, best = nets.adam_init(phi), (np.inf, phi)
            for epoch in range(cfg.model_epochs):
                lr = cfg.model_lr * (cfg.model_lr_last / cfg.model_lr) ** (epoch / max(1, cfg.model_epochs - 1))
                rows = held + rng.permutation(len(x) - held)
                for i in np.array_split(rows, -(-len(rows) // cfg.model_batch)):
                    moments = nets.adam(phi, slope(phi, x[i], y[i], sizes).astype(phi.dtype), moments, lr)
                loss = float(nll(phi, x[:held], y[:held], sizes))
                best = min(best, (loss, phi.copy()), key=lambda pair: pair[0])
            bests.append(best)
        seen = np.concatenate([data.obs, data.next_obs])
        phi = np.stack([phi for _, phi in bests])
        dynamics = bremen.Dynamics(phi, inputs, outputs, seen.min(axis=0), seen.max(axis=0), None)
        return dynamics, {"model_loss": float(np.mean([loss for loss, _ in bests]))}

    return fit


def make_imagine(difference):
    """An `imagine` for train_offline, a member per step: difference(phi, x, eps, sizes) draws what it predicts."""

    def imagine(s, starts, cfg, rng):
        task, policy, model, sizes = envs.TASKS[cfg.env], bremen.policy_of(s, cfg), s.dynamics, sizes_of(cfg)
        T = cfg.horizon
        pool = starts[rng.integers(len(starts), size=(T, max(1, cfg.imagined_steps // T)))]
        obs, rows = pool[0], []
        for t in range(T):
            act = policy.sample(obs, rng)
            x = model.inputs(np.concatenate([obs, task.clip(act)], axis=1))
            eps = rng.standard_normal(obs.shape, np.float32)
            delta = model.delta.undo(difference(model.phi[rng.integers(len(model.phi))], x, eps, sizes))
            next_obs = np.clip(obs + delta, model.lowest, model.highest)
            terminated = ~task.healthy(next_obs)
            rows.append((obs, act, task.reward(obs, task.clip(act), next_obs), next_obs, terminated))
            obs = np.where(terminated[:, None], pool[min(t + 1, T - 1)], next_obs)
        *columns, terminated = (np.stack(column) for column in zip(*rows))
        truncated = np.zeros_like(terminated)
        truncated[-1] = ~terminated[-1]
        paths = trpo.Paths(*columns, terminated, truncated, bremen.time_of(terminated))
        return paths, {"imagined_reward": float(np.mean(paths.rew, dtype=np.float64))}

    return imagine
