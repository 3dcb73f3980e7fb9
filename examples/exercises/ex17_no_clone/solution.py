"""The project's own new policy and loss; its command line calls the whole --no-bc_init."""

import bremen
import nets


def clone(data, norm, cfg, rng, report=None):
    beta, net = bremen.new_policy(cfg, rng), bremen.policy_net(cfg)
    return beta, {"clone_loss": nets.mean_loss(beta, norm(data.obs), data.act, *net)}
