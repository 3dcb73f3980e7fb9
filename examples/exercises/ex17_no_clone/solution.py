"""The project's own new policy and loss; its command line calls the whole --no-bc_init.

Answer: The right one, of what the models promise, beside the left one. Further away: both are low, and rise together.
Wrong models: the promise rises and the pendulum does not follow.
"""

import bremen
import nets


def clone(data, norm, cfg, rng, report=None):
    beta, net = bremen.new_policy(cfg, rng), bremen.policy_net(cfg)
    return beta, {"clone_loss": nets.mean_loss(beta, norm(data.obs), data.act, *net)}
