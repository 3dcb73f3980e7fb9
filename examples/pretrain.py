"""A value function that knows the logged episodes before the first update: `--pretrain_value`, as in the original."""

import bremen
import trpo


def pretrain(critic, data, norm, cfg, rng, sweeps=20):
    """Fit the value function to the episodes of a Batch.  -> trpo.Critic

    Several times, because the lambda-returns that it is fitted to depend on the value function itself.
    """
    paths = logged_paths(data)
    for _ in range(sweeps):
        obs, time, _, target, _ = trpo.advantages(critic, paths, norm, cfg)
        critic = trpo.fit_value(critic, obs, time, target, cfg, rng)
    return critic


def logged_paths(data):
    """The rows of a Batch as one long path (N, 1) that restarts wherever an episode ended.  -> trpo.Paths"""
    columns = {name: column[:, None] for name, column in data._asdict().items()}
    return trpo.Paths(**columns, time=bremen.time_of(columns["terminated"] | columns["truncated"]))
