#!/bin/sh
# MuJoCo 4.0.0: after mj_step with RK4 the sensors are of the state before the step, and xpos, contacts and velocities
#   of bodies are of a trial state that is on no trajectory.
#
# One would guess: after mj_step all that is computed from the state belongs to the state before, as MuJoCo's
#   documentation says ("Consistency in mjData"): a framepos sensor of a body and its xpos are equal.
# What happens: that is so with the Euler integrator.  RK4 computes three trial states more and leaves what belongs to
#   the last one: xpos, cvel, contacts and qacc.  Sensors are only computed at the first.
# Where it matters: Gymnasium's Hopper, Walker2d, Ant and Humanoid use RK4.  Observations or rewards from data.xpos,
#   data.contact or mj_objectVelocity do not fit those from sensors, nor any state of the episode; an ant's torso is up
#   to 3 cm off.  After mj_forward all are of the present state.
# Source: google-deepmind/mujoco, src/engine/engine_forward.c, mj_RungeKutta.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q mujoco==4.0.0 gymnasium==1.4.0 numpy==2.4.6
"$dir/venv/bin/python" - <<'PYTHON'
import sys
from pathlib import Path

import gymnasium
import mujoco
import numpy as np

print("mujoco", mujoco.__version__, "gymnasium", gymnasium.__version__)
assets = Path(gymnasium.__file__).parent / "envs/mujoco/assets"


def last_trial(m, before):
    """The fourth stage of Runge and Kutta's method from the state in `before`, by hand.  -> MjData"""
    d, h = mujoco.MjData(m), m.opt.timestep
    mujoco.mj_copyData(d, m, before)
    slope_q, slope_v = before.qvel.copy(), before.qacc.copy()
    for share in 0.5, 0.5, 1.0:
        d.qpos[:] = before.qpos
        mujoco.mj_integratePos(m, d.qpos, slope_q, share * h)
        slope_q = d.qvel[:] = before.qvel + share * h * slope_v
        mujoco.mj_forward(m, d)
        slope_v = d.qacc.copy()
    return d


def gaps(file, integrator):
    """In 600 steps, the largest of |sensor - state before|, |xpos - state before|, |xpos - trial|, and steps with other
    contacts than in the state before."""
    spec = mujoco.MjSpec.from_file(str(assets / file))
    spec.option.integrator = integrator
    body = mujoco.mjtObj.mjOBJ_XBODY
    spec.add_sensor(name="pos", type=mujoco.mjtSensor.mjSENS_FRAMEPOS, objtype=body, objname="torso")
    m = spec.compile()
    d, before, rng, torso = mujoco.MjData(m), mujoco.MjData(m), np.random.default_rng(0), m.body("torso").id
    rows = []
    for t in range(600):
        if t % 4 == 0:
            d.ctrl[:] = rng.uniform(-1, 1, m.nu)
        mujoco.mj_copyData(before, m, d)
        mujoco.mj_forward(m, before)
        trial = last_trial(m, before)
        mujoco.mj_step(m, d)
        sensor, xpos = d.sensor("pos").data, d.xpos[torso]
        pairs = (sensor, before.xpos[torso]), (xpos, before.xpos[torso]), (xpos, trial.xpos[torso])
        rows.append([*(np.abs(a - b).max() for a, b in pairs), d.ncon != before.ncon])
    rows = np.array(rows)
    return [float(x) for x in (*rows[:, :3].max(axis=0), rows[:, 3].sum())]


right = True
for file in "hopper.xml", "walker2d_v5.xml", "ant.xml":
    for kind in mujoco.mjtIntegrator.mjINT_EULER, mujoco.mjtIntegrator.mjINT_RK4:
        sensor, xpos, trial, contacts = gaps(file, kind)
        print(f"{file:15} {kind.name:12} sensor - before {sensor:.1e} m, xpos - before {xpos:.1e} m, xpos - last trial "
              f"{trial:.1e} m, other contacts in {contacts:.0f} of 600 steps")
        if kind == mujoco.mjtIntegrator.mjINT_RK4:
            right &= sensor == 0 and xpos > 1e-3 and trial < 1e-8 and contacts > 0
        else:
            right &= sensor == xpos == contacts == 0
sys.exit(not right)
PYTHON
