#!/bin/sh
# d3rlpy 2.8.1: of values that are exactly right, TDErrorEvaluator reports a large error with n-step transitions, and
#   InitialStateValueEstimationEvaluator reports no initial value of episodes of more than 1,024 steps.
#
# One would guess: the TD error of exact values is 0 however many steps a transition spans, and the initial value is
#   that of the first observation, as the formulae in their documentation say.
# What happens: TDErrorEvaluator multiplies the next value by gamma instead of by gamma^n, n the transition's steps
#   (the algorithms do it right).  The other one takes the first state of every piece of 1,024 transitions, and the
#   mean.
# Where it matters: choosing a policy or a model without a simulator, which is what these numbers are for.
# Source: takuseno/d3rlpy, d3rlpy/metrics/evaluators.py (TDErrorEvaluator, InitialStateValueEstimationEvaluator,
#   WINDOW_SIZE).
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q d3rlpy==2.8.1 torch==2.13.0 numpy==2.4.6
"$dir/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
import structlog
from d3rlpy.dataset import BasicTransitionPicker, Episode, InfiniteBuffer, MultiStepTransitionPicker, ReplayBuffer
from d3rlpy.metrics import InitialStateValueEstimationEvaluator, TDErrorEvaluator

from d3rlpy import ActionSpace

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # errors only
print(*(f"{name} {version(name)}" for name in ("d3rlpy", "torch", "numpy")))
GAMMA = 0.9


class Exact:
    """An algorithm whose value is exact: the observation is the discounted sum of the rewards to come."""

    gamma, reward_scaler = GAMMA, None

    def predict(self, obs):
        return np.zeros((len(obs), 1), np.float32)

    def predict_value(self, obs, act):
        return obs[:, 0]


def replay(steps, picker):
    """One episode that pays 1 for each step, and terminates."""
    obs = (1 - GAMMA ** np.arange(steps, 0, -1, dtype=np.float64)) / (1 - GAMMA)
    ones = np.ones((steps, 1), np.float32)
    episode = Episode(obs[:, None].astype(np.float32), 0 * ones, ones, True)
    return ReplayBuffer(InfiniteBuffer(), episodes=[episode], transition_picker=picker, action_space=ActionSpace.CONTINUOUS)


errors = {}
for n in 1, 3:
    picker = BasicTransitionPicker() if n == 1 else MultiStepTransitionPicker(n, GAMMA)
    errors[n] = TDErrorEvaluator()(Exact(), replay(50, picker))
    print(f"transitions of {n} steps: TD error {errors[n]:.6f}")
initial = {}
for steps in 1024, 1025:
    stored = replay(steps, BasicTransitionPicker())
    first = float(stored.episodes[0].observations[0, 0])
    initial[steps] = InitialStateValueEstimationEvaluator()(Exact(), stored), first
    print(f"an episode of {steps} steps: value at its beginning {first:.3f}, reported {initial[steps][0]:.3f}")
right = errors[1] < 1e-6 and abs(initial[1024][0] - initial[1024][1]) < 1e-6
sys.exit(not (right and errors[3] > 0.5 and initial[1025][1] - initial[1025][0] > 1))
PYTHON
