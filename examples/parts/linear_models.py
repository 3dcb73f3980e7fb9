"""Other dynamics models: straight lines, one for each bootstrap sample.  `python examples/parts/linear_models.py`

A network without hidden layers is linear, so imagination needs no change.  What changes is how it is fitted: no
gradient steps, but least squares in one line (bagging: Breiman, Machine Learning 24, 1996).  The pendulum's speed is
linear in what is observed, sine and torque; cosine and sine are not, and that is what these models get wrong:
improved in them, the pendulum ends worse than its clone.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))  # missing with python -P
from trial import compare

import bremen
import nets


def fit(data, cfg, rng, report=bremen.ignore):
    """As bremen.fit_dynamics, for model_hidden = ().  -> bremen.Dynamics, info"""
    if cfg.model_hidden:
        raise ValueError("linear models have no hidden layers: model_hidden must be ()")
    x, change = bremen.regression_rows(data, cfg)  # [obs, act] and next_obs - obs
    inputs, delta = nets.Normalizer.fit(x), nets.Normalizer.fit(change)
    x, y = np.pad(inputs(x), ((0, 0), (0, 1)), constant_values=1), delta(change)  # a column of ones for the bias
    phi, losses, predictions, left_out = [], [], [], []
    for k in range(cfg.members):
        rows = rng.integers(len(x), size=len(x))  # drawn with replacement: a third of the rows is left out
        W, *_ = np.linalg.lstsq(x[rows], y[rows], rcond=None)
        out = np.setdiff1d(np.arange(len(x)), rows)
        left_out.append(out)
        predictions.append(x @ W)
        losses.append(float(np.sum((y - predictions[k])[out] ** 2) / (2 * len(out))))
        phi.append(W.ravel())  # row by row, the bias last: the layout of nets.layers
        report({"stage": "model", "done": k + 1, "total": cfg.members, "loss": losses[-1]})
    seen = np.concatenate([data.obs, data.next_obs])
    predictions = np.stack(predictions)
    wrong = (y - predictions) / np.maximum(nets.spread(predictions), 1e-6)  # as bremen.held_out_residuals
    residuals = np.float32(np.concatenate([wrong[k, out] for k, out in enumerate(left_out)]))
    dynamics = bremen.Dynamics(np.float32(phi), inputs, delta, seen.min(axis=0), seen.max(axis=0), residuals)
    return dynamics, {"model_loss": float(np.mean(losses)), "model_curve": [losses]}


if __name__ == "__main__":
    compare({"model_hidden": ()}, fit=fit)
