"""The project's own paths and densities."""

from dataclasses import replace

import bremen
import nets


def imagine(s, starts, cfg, rng):
    paths, info = bremen.imagine_paths(s, starts, replace(cfg, alpha=0.0), rng)
    obs, act, net = (
        s.norm(paths.obs.reshape(paths.rew.size, -1)),
        paths.act.reshape(paths.rew.size, -1),
        bremen.policy_net(cfg),
    )
    policy, clone = (nets.log_prob(act, nets.mlp(v, obs, *net), nets.split(v, net[0])[1]) for v in (s.theta, s.beta))
    return paths._replace(rew=paths.rew - cfg.alpha * (policy - clone).reshape(paths.rew.shape)), info
