#!/bin/sh
# Gymnasium 1.4.0: two MuJoCo environments drawn in turn in one process get each other's textures, or black pictures.
#
# One would guess: env.render() draws env, whatever other environments do.
# What happens: a drawing context is made current when a renderer opens, and not again when it draws (only a renderer
#   with two render modes does that).  So the environment that drew first draws from then on in the context of the one
#   that drew last: with other textures, at once; black, once the other is dropped, because its destructor frees the
#   numbers of textures and buffers in whatever context is current.  Nothing raises or warns.
# Where it matters: a video of two environments side by side, RecordVideo or HumanRendering around SyncVectorEnv,
#   evaluation with pictures while the training environment draws too, learning from pixels.
# Source: gymnasium/envs/mujoco/mujoco_rendering.py, OffScreenViewer.render and MujocoRenderer._get_viewer.
# Way round: env.unwrapped.mujoco_renderer.viewer.make_context_current() before each render(), and before closing.
# Needs EGL (libegl1 on Debian and Ubuntu); no screen.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q "gymnasium[mujoco]==1.4.0" mujoco==4.0.0
MUJOCO_GL=egl "$dir/venv/bin/python" - <<'PYTHON'
import gc
import sys

import gymnasium as gym
import mujoco
import numpy as np

hopper, ant = (gym.make(f"{name}-v5", render_mode="rgb_array", width=200, height=200) for name in ("Hopper", "Ant"))
hopper.reset(seed=0), ant.reset(seed=0)
current = lambda: hopper.unwrapped.mujoco_renderer.viewer.make_context_current()
first = hopper.render()
same = [np.array_equal(hopper.render(), first)]
ant.render()
same.append(np.array_equal(hopper.render(), first))
current()
same.append(np.array_equal(hopper.render(), first))
del ant
gc.collect()
last = hopper.render()
print("gymnasium", gym.__version__, "mujoco", mujoco.__version__, "python", sys.version.split()[0])
print("the hopper has not moved; is its picture the same as the first?")
print("before the ant was drawn            ", same[0])
print("after the ant was drawn             ", same[1])
print("with its own context made current   ", same[2])
print("after the ant was dropped           ", np.array_equal(last, first), "- brightest pixel", last.max())
sys.exit(not (same == [True, False, True] and last.max() == 0))
PYTHON
