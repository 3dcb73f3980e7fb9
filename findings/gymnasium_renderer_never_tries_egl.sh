#!/bin/sh
# Gymnasium 1.4.0: without MUJOCO_GL the MuJoCo renderer never gets from GLFW to EGL, though its code tries one by one.
#
# One would guess: the renderer tries glfw, egl, osmesa in this order and takes the first that works, as the loop in
#   OffScreenViewer._get_opengl_backend says; a machine without a screen but with EGL can draw.
# What happens: mujoco.glfw.GLContext does not raise where there is no screen, it only warns (GLFWError) and holds no
#   window.  The loop takes that for success, and MjrContext fails after it ("an OpenGL platform library has not been
#   loaded into this process").  The same program with MUJOCO_GL=egl draws.  A stale DISPLAY is no better than none.
# Where it matters: servers, containers, batch jobs, continuous integration, ssh sessions whose display is gone.
# Source: gymnasium/envs/mujoco/mujoco_rendering.py (the loop), mujoco/glfw/__init__.py (glfw.init() is not looked at).
# Needs EGL (libegl1 on Debian and Ubuntu).
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q "gymnasium[mujoco]==1.4.0" mujoco==4.0.0
cat > "$dir/draw.py" <<'PYTHON'
import warnings

import gymnasium
import mujoco

warnings.simplefilter("ignore")
env = gymnasium.make("Hopper-v5", render_mode="rgb_array")
env.reset(seed=0)
try:
    print("drawn", env.render().shape)
except mujoco.FatalError as e:
    print("mujoco.FatalError:", e)
PYTHON
unset DISPLAY WAYLAND_DISPLAY MUJOCO_GL || true
"$dir/venv/bin/pip" list 2>/dev/null | grep -E "^(gymnasium|mujoco|glfw) "
plain=$("$dir/venv/bin/python" "$dir/draw.py" 2>/dev/null)
stale=$(DISPLAY=:77 "$dir/venv/bin/python" "$dir/draw.py" 2>/dev/null)
egl=$(MUJOCO_GL=egl "$dir/venv/bin/python" "$dir/draw.py" 2>/dev/null)
printf 'no screen:       %s\nDISPLAY=:77:     %s\nMUJOCO_GL=egl:   %s\n' "$plain" "$stale" "$egl"
case "$plain/$stale/$egl" in *FatalError*/*FatalError*/drawn*) ;; *) exit 1 ;; esac
