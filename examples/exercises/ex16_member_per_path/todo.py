"""ex16: one member per path instead of one per step."""


def imagine(s, starts, cfg, rng):
    """As bremen.imagine_paths, but every path keeps the member that it was given at its beginning.

    A member is a column's for good, also after a restart in place; all members have about the same share of columns.
    bremen.parallel_rollout(s, cfg, pool, noise, members) does the rollout: pool (T, B, S) start states, pool[t] for
    the paths that ended at t - 1; noise (T, B, A) on the mean action; members, a list of C arrays (T,): who predicts at
    each step for the first, second, ... C-th group of columns -> obs, act, next_obs, terminated, all (T, B, ...).
    T = cfg.horizon, B = cfg.imagined_steps // T.  All else as in ex09.
    -> trpo.Paths (T, B, ...), {"imagined_reward": mean of rew}.  A part for bremen.train_offline.
    """
    raise NotImplementedError("ex16: imagine is still to be written")
