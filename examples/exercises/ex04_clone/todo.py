"""ex04: behaviour cloning."""


def loss(theta, obs, act, net):
    """Mean over the rows of 1/2 |act - mu(obs)|^2, summed over the action's coordinates: "behavior cloning".

    mu(obs) = nets.mlp(theta, obs, *net), the mean action.  theta (P,), obs (B, S) normalised, act (B, A) -> scalar
    """
    raise NotImplementedError("ex04: loss is still to be written")


def clone(data, norm, cfg, rng, report=None):
    """Clone the policy that made `data`: Algorithm 2 of arXiv:2006.03647, "behavior cloning".

    Start from bremen.new_policy(cfg, rng), whose last A entries are log sigma: they stay as they are.  Then
    cfg.clone_steps steps of Adam (nets.adam_init, nets.adam) with step size cfg.clone_lr on `loss`, each on
    cfg.clone_batch rows drawn by rng.  The policy sees norm(obs), never obs.  `report` may be left alone.
    data: an envs.Batch -> beta (P,), {"clone_loss": the loss over all rows}.  A part for bremen.train_offline.
    """
    raise NotImplementedError("ex04: clone is still to be written")
