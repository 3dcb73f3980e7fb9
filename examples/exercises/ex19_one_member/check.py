"""What a right answer to ex19 does; `python check.py` tries todo.py."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge
import seams

import bremen
import nets

CFG = replace(seams.PENDULUM, model_hidden=(16,), model_epochs=25, model_batch=32, model_lr=1e-2, model_lr_last=1e-3)


def check(fit):
    """One model of the right size, that has learnt something, and that train_offline can imagine with."""
    data = seams.logged()
    dynamics, info = fit(data, CFG, np.random.default_rng(0))
    wanted = (1, nets.n_params(bremen.model_sizes(CFG)))
    assert dynamics.phi.shape == wanted, f"phi must be {wanted}: an ensemble, but of one; it is {dynamics.phi.shape}"
    change = data.next_obs - data.obs
    off = bremen.predict(dynamics, data.obs, data.act, 0, CFG) - data.next_obs
    left = np.mean((off / change.std(axis=0)) ** 2, dtype=np.float64)
    assert left < 0.1, f"the model leaves {left:.0%} of the variance of next_obs - obs unexplained: it has not learnt"
    assert np.isfinite(info["model_loss"]), "model_loss must be a number"
    other, _ = fit(data, CFG, np.random.default_rng(1))
    assert not np.array_equal(other.phi, dynamics.phi), "another rng must make another model: draw everything from rng"
    seams.first_update(data, fit=fit)


if __name__ == "__main__":
    judge.main(check, __file__)
