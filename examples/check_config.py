"""Does every number of a Config make sense?  bremen.Config asks `check` when it is made."""

from dataclasses import fields
from numbers import Integral, Real
from pathlib import Path

KINDS = {  # what a field must be, by the type of its default; NumPy's numbers are welcome too
    int: (Integral, "an integer"),
    float: (Real, "a number"),
    tuple: (tuple, "a tuple of integers"),
    bool: (bool, "True or False"),
    str: (str, "a text"),
}
RANGES = {  # in which interval a number must lie if not in (0, inf)
    **dict.fromkeys(("seed", "threads", "alpha", "iterations", "model_steps", "cg_damping"), "[0, inf)"),
    **dict.fromkeys(("validation", "gamma", "backtrack"), "(0, 1)"),  # the value network predicts (1 - gamma) V
    **dict.fromkeys(("fisher_rows", "accept_ratio", "target_kl_end"), "(0, 1]"),
    **dict.fromkeys(("max_backtracks", "model_noise", "model_lr_last", "clip_margin"), "[0, inf)"),
    "lam": "[0, 1]",
}


def check(cfg, choices):
    """ValueError, in one line, for the first field of a Config that makes no sense."""
    for field in fields(cfg):
        name, value, kind = field.name, getattr(cfg, field.name), type(field.default)
        if name in choices and value not in tuple(choices[name]):
            raise ValueError(f"--{name} {value}: choose from {', '.join(choices[name])}")
        numbers = value if isinstance(value, tuple) else (value,) if kind in (int, float) else ()
        right = isinstance(value, KINDS[kind][0]) and isinstance(value, bool) == (kind is bool)
        if not right or (kind is tuple and not all(isinstance(n, Integral) for n in numbers)):
            raise ValueError(f"--{name} {value!r}: must be {KINDS[kind][1]}")
        interval = RANGES.get(name, "(0, inf)")
        if not all(lies_in(n, interval) for n in numbers):
            raise ValueError(f"--{name} {value}: must lie in {interval}")
    if cfg.mode == "recursive" and (cfg.iterations < cfg.deployments or cfg.n_train < 2 * cfg.deployments):
        parts = f"--deployments {cfg.deployments}: at most --iterations {cfg.iterations}"
        raise ValueError(f"{parts}, and at least two of --n_train {cfg.n_train} transitions each time")
    if cfg.mode == "recursive" and cfg.noise == "random":
        raise ValueError("--noise random: mode recursive begins with random actions, then it deploys its policy")


def lies_in(x, interval):
    """Whether a number lies in an interval like "(0, 1]", where the bracket says that 1 belongs to it.  -> bool"""
    low, high = map(float, interval[1:-1].split(","))
    return low < x < high or (x == low and interval[0] == "[") or (x == high and interval[-1] == "]")


FLAGS_OF_ONE_MODE = {
    "offline": ("data", "data_dir", "models"),
    "recursive": ("deployments", "deployed_steps", "all_bc"),
}


def check_flags(mode, opts):
    """run.UsageError for a flag that only the other mode uses."""
    import run  # not above: bremen.py needs this page, and not run.py

    for other, names in FLAGS_OF_ONE_MODE.items():
        for name in names:
            if name in opts and mode != other:
                raise run.UsageError(f"--{name}: only with --mode {other}")
    if "models" in opts and not Path(opts["models"]).is_dir():
        raise run.UsageError(f"--models {opts['models']}: no such folder")
