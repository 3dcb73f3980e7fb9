#!/bin/sh
# MuJoCo 4.0.0: a half cheetah that is attached to another model weighs 21.2 kg instead of 14, and no warning says so.
#
# One would guess: attaching keeps a model as it is.  MuJoCo's page on model editing says that a child is compiled
#   with its own compiler flags, and that attributes in conflict are reported.
# What happens: Gymnasium's half_cheetah.xml gets its 14 kg from <compiler settotalmass="14"/>, and the compiler looks
#   at that attribute of the topmost model alone.  Attached by MjSpec.attach or by <attach>, to a model with the same
#   options, the robot has the mass of its geoms, and no warning names it.  With settotalmass in the parent all bodies
#   of the scene together get that mass.
# Where it matters: a cheetah on a terrain of one's own, or several in a scene: the same actions move another robot.
#   Gymnasium's hopper, walker and ant do not use the attribute.
# Source: google-deepmind/mujoco, src/user/user_model.cc (total mass of the compiled model),
#   src/user/user_resolver.cc.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q mujoco==4.0.0 gymnasium==1.4.0 numpy==2.4.6
"$dir/venv/bin/python" - <<'PYTHON'
import sys
import warnings
from pathlib import Path

import gymnasium
import mujoco

print("mujoco", mujoco.__version__, "gymnasium", gymnasium.__version__)
assets = Path(gymnasium.__file__).parent / "envs/mujoco/assets"


def masses(file):
    """Mass alone, attached by a spec, attached by XML [kg], and warnings while attaching."""
    path = str(assets / file)
    arena, child = mujoco.MjSpec(), mujoco.MjSpec.from_file(path)
    alone = mujoco.MjSpec.from_file(path).compile()
    arena.option.timestep, arena.option.integrator = child.option.timestep, child.option.integrator
    arena.nuser_geom = child.nuser_geom  # nothing is left that could be in conflict
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        arena.attach(child, frame=arena.worldbody.add_frame(), prefix="robot_")
        attached = arena.compile()
    xml = f'<mujoco><asset><model name="robot" file="{path}"/></asset><worldbody><attach model="robot" body="torso" '
    by_xml = mujoco.MjModel.from_xml_string(xml + 'prefix="robot_"/></worldbody></mujoco>')
    return *(round(float(m.body_mass.sum()), 3) for m in (alone, attached, by_xml)), len(told)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # 4.0 calls the attribute deprecated when it reads the file itself
    found = {file: masses(file) for file in ("half_cheetah.xml", "hopper.xml", "ant.xml")}
for file, (alone, attached, by_xml, told) in found.items():
    print(f"{file:17} alone {alone:6.3f} kg, MjSpec.attach {attached:6.3f} kg ({told} warnings), <attach> {by_xml:6.3f} kg")
cheetah = found.pop("half_cheetah.xml")
sys.exit(not (cheetah == (14.0, 21.184, 21.184, 0) and all(m[0] == m[1] == m[2] for m in found.values())))
PYTHON
