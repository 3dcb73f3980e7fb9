#!/bin/sh
# MuJoCo 4.0.0: by default a box that slides on the floor goes 1.4 times as far at 45 degrees as along an axis.
#
# One would guess: on a level floor with one friction coefficient nothing depends on the direction, so a robot that is
#   turned about the vertical axis does the same, turned; data of an ant may be turned, and its models may leave the
#   heading away.
# What happens: the default friction cone is a pyramid whose edges lie along the world's axes.  A box that starts at
#   2 m/s stops after 0.203 m along x and after 0.287 m along the diagonal.  With cone="elliptic" both are the same.
#   Gymnasium's Ant has the default, too: a robot with a leg on the floor that is turned by 45 degrees takes another step.
# Where it matters: augmentation of data by rotation, equivariant models, tests of symmetries.  Mirror images and
#   quarter turns keep the pyramid, and are exact.
# Source: google-deepmind/mujoco, issue 67 (the collider decides how a contact frame is turned); chapter Computation,
#   "Friction cones", of its documentation; gymnasium/envs/mujoco/assets/ant.xml sets no cone.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q mujoco==4.0.0 gymnasium==1.4.0
"$dir/venv/bin/python" - <<'PYTHON'
import sys
from pathlib import Path

import gymnasium
import mujoco
import numpy as np

print("mujoco", mujoco.__version__, "gymnasium", gymnasium.__version__, "python", sys.version.split()[0])
BOX = """<mujoco><option cone="{}"/><worldbody><geom type="plane" size="9 9 1"/>
<body pos="0 0 .1"><freejoint/><geom type="box" size=".2 .2 .1" friction="0.5 0 0"/></body></worldbody></mujoco>"""


def slide(cone, degrees):
    """Distance [m] that a box slides which starts at 2 m/s, its sides along and across its way."""
    model = mujoco.MjModel.from_xml_string(BOX.format(cone))
    data, half = mujoco.MjData(model), np.radians(degrees) / 2
    data.qpos[3:7] = np.cos(half), 0, 0, np.sin(half)
    data.qvel[:2] = 2 * np.cos(2 * half), 2 * np.sin(2 * half)
    for _ in range(2000):
        mujoco.mj_step(model, data)
    return float(np.hypot(*data.qpos[:2]))


ratio = {}
for cone in "pyramidal", "elliptic":
    far = [slide(cone, degrees) for degrees in (0, 45, 90)]
    ratio[cone] = far[1] / far[0]
    print(f"{cone}: {far[0]:.3f} m at 0, {far[1]:.3f} m at 45, {far[2]:.3f} m at 90 degrees")

ant = mujoco.MjModel.from_xml_path(str(Path(gymnasium.__file__).parent / "envs/mujoco/assets/ant.xml"))
print("Gymnasium's Ant: cone", mujoco.mjtCone(ant.opt.cone).name)
as_seen = ratio["pyramidal"] > 1.3 and abs(ratio["elliptic"] - 1) < 0.01
sys.exit(not (as_seen and ant.opt.cone == mujoco.mjtCone.mjCONE_PYRAMIDAL))
PYTHON
