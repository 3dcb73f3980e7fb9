#!/bin/sh
# One would guess: two geoms with a margin of 1 cm each make a contact as soon as they are nearer than 1 cm, as MuJoCo
# has always taken the larger of the two margins; and that a minor version does not change when things touch.
# What happens: since MuJoCo 3.5 the two margins are added, so the contact begins at 2 cm.
# Where it matters: whatever sets `margin` in a default class, so for both partners: of Gymnasium's robots ant and
# hopper touch the ground earlier, and a trajectory is another one from the first landing on.
# Source: measured below, two balls 1.5 cm apart; MuJoCo 3.4.0 and 3.5.0.  Ends with 0 where this still holds.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/touch.py" <<'PY'
import sys
import mujoco

XML = """<mujoco><worldbody><geom type="sphere" size="0.1" margin="0.01"/>
<body pos="0 0 {}"><freejoint/><geom type="sphere" size="0.1" margin="0.01"/></body></worldbody></mujoco>"""
found = []
for gap in (0.005, 0.015, 0.025):
    model = mujoco.MjModel.from_xml_string(XML.format(0.2 + gap))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    found.append(data.ncon)
print(f"MuJoCo {mujoco.__version__}: contacts of two balls with margins of 1 cm that are 0.5, 1.5, 2.5 cm apart:", *found)
sys.exit(found != [1, int(sys.argv[1]), 0])
PY
for pair in 3.4.0=0 3.5.0=1; do
    python3 -m venv "$folder/${pair%=*}"
    "$folder/${pair%=*}/bin/pip" install -q mujoco=="${pair%=*}" numpy==2.2.6
    "$folder/${pair%=*}/bin/python" "$folder/touch.py" "${pair#*=}"
done
