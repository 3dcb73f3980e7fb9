"""ex18: an explicit penalty for leaving the clone."""


def imagine(s, starts, cfg, rng):
    """Imagined paths whose reward charges each action for being likelier under the policy than under the clone.

        rew - cfg.alpha * ( log pi_theta(a | s) - log pi_beta(a | s) )

    Paths are those of bremen.imagine_paths *without* a penalty, dataclasses.replace(cfg, alpha=0.0); their act is as
    sampled, not clipped.  s.theta: the policy (P,), s.beta: the clone (P,); both see s.norm(obs), and their network is
    bremen.policy_net(cfg).
    -> trpo.Paths (T, B, ...) and what imagine_paths reports.  A part for bremen.train_offline.
    """
    raise NotImplementedError("ex18: imagine is still to be written")
