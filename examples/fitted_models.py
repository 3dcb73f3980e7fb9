"""--models DIR of mode offline: take the models of another run instead of fitting the same ones again.

For sweeps over numbers that do not change the models, such as --target_kl: fitting them is half of a run.
"""

import json
import os
from dataclasses import fields

import bremen
import envs
import run

DECIDE = "mode env seed n_train members validation clip_states gradients".split()  # and all that begins with model_


def fitted_models(root, cfg, history, progress):
    """Models that a run in or under `root` has fitted as this one would, to the last bit.  -> bremen.State, or None

    That is with the same data, seed, numbers and versions; whether the code is the same, too, the commit that is
    printed must tell.  They come with their validation losses and the seconds that fitting them took.
    """
    for path in sorted(root.rglob("run.json")):
        found = same_models(path, cfg, history.data["sha256"])
        if found:
            state, theirs, about = found
            history.models, history.models_from = theirs.models[:1], os.path.realpath(path.parent)
            progress.seconds["fit"] = theirs.rows[0]["fit_seconds"]
            loss = history.models[0]["model_loss"]
            run.say(f"models of {path.parent}, commit {about.get('commit')}: validation loss {loss:.4f}")
            rng = bremen.streams(cfg.seed) | {"model": state.rng["model"]}
            return bremen.State(rng, state.norm, state.dynamics)
    run.say(f"note: no run under {root} has fitted the same models")
    return None


def same_models(path, cfg, digest):
    """The run of this run.json, if it has fitted the same models.  -> bremen.State, run.History, run.json; or None"""
    names = [f.name for f in fields(cfg) if f.name in DECIDE or f.name.startswith("model_")]
    source = run.page("provenance")
    try:
        other = run.read_config({}, path.with_name("config.json"))
        if any(getattr(cfg, name) != getattr(other, name) for name in names):
            return None
        about = json.loads(path.read_text())
        state, history = run.page("resume").load_checkpoint(path.with_name("checkpoint.npz"), other)
        same = history.data["sha256"] == digest and history.rows[0]["fit_seconds"] >= 0
        same = same and about["versions"] == source.versions() | {"blas": source.blas()}
        return (state, history, about) if same else None
    except (run.UsageError, envs.DataError, OSError, ValueError, LookupError, TypeError):
        return None  # perhaps of another version of this program, or it has no row yet
