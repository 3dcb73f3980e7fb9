#!/bin/sh
# d3rlpy 2.8.1: with n-step transitions the reward scalers shift and measure sums of n rewards as if each were one
#   reward.
#
# One would guess: a constant that is added to the reward is added to every reward, and the returns by which
#   ReturnBasedRewardScaler divides are those of the episodes, however many steps a transition spans.
# What happens: scalers see what the transition picker gives, and MultiStepTransitionPicker gives the sum of n
#   rewards.  A shift of -1 takes 1 from a sum of five, so a task that pays 1 per step pays 4 for five steps instead
#   of 0; and a return is the sum of overlapping sums, nearly n times the return.
# Where it matters: reward_scaler beside transition_picker=MultiStepTransitionPicker(n_steps=n, ...): IQL's usual
#   scaling by returns, rewards that are made negative.
# Source: takuseno/d3rlpy, d3rlpy/preprocessing/reward_scalers.py, fit_with_transition_picker and transform.
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
from d3rlpy.dataset import BasicTransitionPicker, Episode, MultiStepTransitionPicker
from d3rlpy.preprocessing import ConstantShiftRewardScaler, ReturnBasedRewardScaler

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # errors only
print(*(f"{name} {version(name)}" for name in ("d3rlpy", "torch", "numpy")))
ones = np.ones((100, 1), np.float32)
episodes = [Episode(0 * ones, 0 * ones, pay * ones, True) for pay in (1, 2, 3)]
print("returns of the episodes:", [float(e.compute_return()) for e in episodes])
seen = {}
for n in 1, 5:
    picker = BasicTransitionPicker() if n == 1 else MultiStepTransitionPicker(n_steps=n, gamma=1.0)
    scaler = ReturnBasedRewardScaler()
    scaler.fit_with_transition_picker(episodes, picker)
    shifted = ConstantShiftRewardScaler(shift=-1.0).transform_numpy(picker(episodes[0], 0).reward)
    seen[n] = scaler.return_min, scaler.return_max, float(np.ravel(shifted)[0])
    print(f"transitions of {n} steps: lowest and highest return {seen[n][0]:.0f} and {seen[n][1]:.0f}; "
          f"{n} rewards of 1, shifted by -1: {seen[n][2]:.0f}")
sys.exit(seen != {1: (100, 300, 0), 5: (490, 1470, 4)})
PYTHON
