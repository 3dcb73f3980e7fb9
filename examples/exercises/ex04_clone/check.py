"""What a right answer to ex04 does; `python check.py` tries todo.py."""

import sys
from pathlib import Path
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge

import bremen
import envs
import nets

CFG = bremen.Config(env="pendulum", policy_hidden=(16,), clone_steps=400, clone_batch=64, clone_lr=5e-3, std=0.3)


def check(loss, clone):
    """A loss worked on paper; then an expert whose torque is known in every state must be found again."""
    theta, net = np.array([1.0, 0, 0, 2, 0, 0]), nets.Net((2, 2))  # mu = [o1, 2 o2]
    obs, act = np.array([[1.0, 1], [0, 2]]), np.array([[1.0, 0], [3, 4]])  # errors [0, 2] and [-3, 0]
    judge.close(loss(theta, obs, act, net), 3.25, "loss: 1/2 |a - mu|^2 of rows 2 and 4.5 has the mean 3.25")
    judge.close(loss(theta, obs, act, net), 3.25, "loss: asked again, it must say the same: nothing in it is random")

    rng = np.random.default_rng(0)
    z = rng.standard_normal((1000, 3))
    z = z[np.argsort(z[:, 0])]  # the first rows are not like the others
    data = envs.Batch(*(x.astype(np.float32) for x in (40 + 20 * z, np.tanh(z @ [[1], [-1], [0.5]]))), *[None] * 4)
    norm = nets.Normalizer.fit(data.obs)
    with mock.patch.object(nets, "adam", wraps=nets.adam) as adam:
        beta, info = clone(data, norm, CFG, np.random.default_rng(1))
    sizes, limit = bremen.policy_net(CFG)
    assert beta.shape == (nets.n_params(sizes) + 1,), "clone: beta must hold weights, biases and log sigma"
    judge.close(beta[-1], np.log(0.3 * 2), "clone: log sigma must stay log(std * act_limit)", rtol=1e-5)
    taken = [call.args[2].t for call in adam.mock_calls if len(call.args) > 2]  # none: Adam was called in another way
    assert taken in ([], list(range(400))), "clone: 400 steps of nets.adam, each from the state that the last returned"
    new = bremen.new_policy(CFG, np.random.default_rng(1))
    assert not np.array_equal(beta, new), "clone: beta is still new_policy's: a copy was trained? (nets.split: views)"
    errors = (nets.mlp(beta, norm(data.obs), sizes, limit) - data.act).astype(np.float64)
    rms = np.sqrt(np.mean(errors**2))
    assert rms < 0.15, f"clone: on normalised observations its mean action is {rms:.3f} off the expert's, above 0.15"
    judge.close(
        info["clone_loss"], np.mean(errors**2) / 2, "clone: clone_loss must be the loss over all rows", rtol=1e-3
    )
    again, _ = clone(data, norm, CFG, np.random.default_rng(1))
    assert np.array_equal(again, beta), "clone: the same rng must give the same clone: draw everything from rng"


if __name__ == "__main__":
    judge.main(check, __file__)
