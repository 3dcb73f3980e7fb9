"""What a right answer to ex15 does; `python check.py` tries todo.py."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from autograd import elementwise_grad, grad
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge
import seams

import nets

LOW, HIGH = -8.0, 0.5
ensemble = judge.load(Path(__file__).parent, "ensemble")


def check(bounded, nll, difference):
    """The bounds, SciPy's densities, and a training that must find the noise in its data."""
    raw = np.linspace(-30, 30, 241)
    log_var, slope = bounded(raw), elementwise_grad(bounded)(raw)
    assert log_var.min() > LOW - 1e-3 and log_var.max() < HIGH + 1e-3, "bounded must stay within [LOW, HIGH]"
    assert np.all(slope > 0), "bounded must rise everywhere: where the slope is 0, nothing is learnt any more"
    far = np.float32([-200, 200])
    with np.errstate(all="ignore"):
        finite = np.isfinite([bounded(far), elementwise_grad(bounded)(far)]).all()
    assert finite, "bounded or its slope is not finite at -200 or 200 in float32: exp overflows, logaddexp does not"
    judge.close(bounded(np.array([-4.0, -3.0])), [-4, -3], "bounded must be nearly the identity in the middle", 0.02)

    rng, sizes = np.random.default_rng(0), (3, 6, 4)
    phi, x, y = rng.standard_normal(nets.n_params(sizes)), rng.standard_normal((9, 3)), rng.standard_normal((9, 2))
    out = nets.mlp(phi, x, sizes)
    mean, sigma = out[:, :2], np.exp(bounded(out[:, 2:]) / 2)
    wanted = -norm.logpdf(y, mean, sigma).sum(axis=1).mean()
    judge.close(nll(phi, x, y, sizes), wanted, "nll is not that of scipy.stats.norm, summed over S, mean over rows")
    slopes = [(nll(phi + d, x, y, sizes) - nll(phi - d, x, y, sizes)) / 2e-6 for d in 1e-6 * np.eye(len(phi))]
    judge.close(grad(nll)(phi, x, y, sizes), slopes, "autograd cannot follow nll: use autograd.numpy", 1e-4, 1e-6)
    judge.close(difference(phi, x, np.zeros((9, 2)), sizes), mean, "difference: without noise it must be the mean")
    eps = rng.standard_normal((9, 2))
    judge.close(difference(phi, x, eps, sizes), mean + sigma * eps, "difference: sigma is exp(log-variance / 2)")

    data = seams.logged()  # a pendulum, and a speed that is measured with noise of 0.3 rad/s
    data.next_obs[:, 2] += 0.3 * np.random.default_rng(1).standard_normal(len(data.obs)).astype(np.float32)
    cfg = replace(seams.PENDULUM, members=1, model_epochs=15, model_batch=32, model_lr=1e-2, model_lr_last=1e-3)
    parts = dict(fit=ensemble.make_fit(nll), imagine=ensemble.make_imagine(difference))
    dynamics = seams.first_update(data, cfg, **parts)[0]["state"].dynamics
    x = dynamics.inputs(np.concatenate([data.obs, data.act], axis=1))
    sizes = ensemble.sizes_of(cfg)
    noise = [difference(dynamics.phi[0], x, e * np.ones((len(x), 3)), sizes)[:, 2].mean() for e in (0, 1)]
    sigma = (noise[1] - noise[0]) * dynamics.delta.scale[2]
    assert 0.2 < sigma < 0.45, f"trained on a speed with noise of 0.3 rad/s, a model believes in {sigma:.2g} rad/s"


if __name__ == "__main__":
    judge.main(check, __file__)
