"""ex17: no clone to start from, as in ME-TRPO."""


def clone(data, norm, cfg, rng, report=None):
    """In the place of behaviour cloning: a random policy, which never looks at the data's actions.

    bremen.new_policy(cfg, rng) makes one.  Training reads the second result, too: how far the new policy's mean action
    (nets.mlp on norm(data.obs)) is from the data, as bremen.clone_behavior reports it.  `report` may be left alone.
    data: an envs.Batch -> beta (P,), {"clone_loss": mean over the rows of 1/2 |act - mu|^2}
    """
    raise NotImplementedError("ex17: clone is still to be written")
