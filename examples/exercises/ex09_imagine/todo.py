"""ex09: imagined rollouts in the ensemble."""


def imagine(s, starts, cfg, rng):
    """Roll the policy out in the ensemble: Algorithm 2 of arXiv:2006.03647, "imagined rollouts".

    T = cfg.horizon steps of B = cfg.imagined_steps // T paths side by side.  Each begins in a row of starts (R, S),
    drawn by rng.  At each step: an action is sampled from the policy; *one* member, drawn anew at each step and shared
    by all paths, predicts from the *clipped* action (bremen.predict); the prediction is kept between dynamics.lowest
    and dynamics.highest; a path whose next state is not healthy has terminated, and goes on in another row of starts.
    s: a bremen.State with theta, norm and dynamics
    -> trpo.Paths, all (T, B, ...): act as sampled, not clipped; rew that of the clipped action; next_obs the state
       that the step led to, even where the path then restarts; truncated True in the last row unless terminated;
       time the steps since the path's start: and {"imagined_reward": mean of rew}.  A part for bremen.train_offline.
    """
    raise NotImplementedError("ex09: imagine is still to be written")
