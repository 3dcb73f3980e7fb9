"""Policies in files, those of runs and those that are shipped: run.save_policy and run.load_policy."""

import json

import numpy as np

import envs
import nets

safe_files, provenance = envs.page("safe_files"), envs.page("provenance")


def save_policy(path, policy, cfg, **meta):
    """Write a policy with its normaliser; `meta` says where it comes from."""
    sizes, limit = policy.net
    meta = {"env": cfg.env, "sizes": list(sizes), "limit": limit, "versions": provenance.versions(), **meta}
    norm = {"norm_mean": policy.norm.mean, "norm_std": policy.norm.std, "norm_count": policy.norm.count}
    safe_files.write_npz(path, theta=policy.theta, **norm, meta=json.dumps(meta))


def load_policy(path, task):
    """Read and check a policy of `task`, or of another task of its robot.  -> nets.Policy, meta; or envs.DataError"""
    arrays = envs.read_npz(path)
    meta = envs.read_meta(path, arrays)
    other = envs.TASKS.get(str(meta.get("env")))
    same_robot = other is not None and other.xml is not None and other.xml == task.xml
    if meta.get("env") != task.name and not same_robot:
        raise envs.DataError(f"{path}: a policy of {meta.get('env')}, not of {task.name}")
    try:
        sizes = tuple(int(n) for n in meta["sizes"])
        if (sizes[0], sizes[-1]) != (task.obs_dim, task.act_dim):
            raise ValueError(f"its sizes are {sizes}")
        theta = finite_array(arrays, "theta", nets.n_params(sizes) + task.act_dim)
        mean, std = (finite_array(arrays, name, task.obs_dim) for name in ("norm_mean", "norm_std"))
        norm = nets.Normalizer(mean, std, float(arrays["norm_count"]))
        if "return_mean" in meta:
            meta |= {name: float(meta[name]) for name in ("return_mean", "return_std")}
        if "mean_action_return" in meta:
            mean, std = meta["mean_action_return"]
            meta["mean_action_return"] = [float(mean), float(std)]
        return nets.Policy(theta.astype(np.float32), norm, nets.Net(sizes, task.act_limit)), meta
    except Exception as e:  # a damaged file may hold anything
        why = f"no {e} in it" if isinstance(e, KeyError) else f"{type(e).__name__}: {e}"
        raise envs.DataError(f"{path}: not a policy of {task.name} ({why})") from e


def finite_array(arrays, name, n):
    """The array of this name, if it holds n finite numbers.  -> (n,); or ValueError"""
    x = arrays[name]
    with np.errstate(over="ignore"):
        if x.shape != (n,) or x.dtype.kind != "f" or not np.isfinite(x.astype(np.float32)).all():
            raise ValueError(f"{name} is {x.dtype} {x.shape}, not {n} finite numbers")
    return x
