"""Flag --models DIR: take the models of a run in or under DIR instead of fitting the same ones again.

python run.py --env hopper --mode offline --models log --target_kl 5e-4 --exp_name small

Only some numbers of a run decide what its models are.  A run with another trust region, say, ends with the same bytes
as if it had fitted the models itself.  Only the seconds of the fit are those of the run that lends them.
"""

import os
from dataclasses import fields

import bremen
import run

DECIDES = {"mode", "env", "seed", "n_train", "members", "validation", "clip_states", "clip_margin", "gradients"}
DECIDES |= {f.name for f in fields(bremen.Config) if f.name.startswith("model_") and f.name != "model_noise"}


def fitted_models(root, cfg, history, progress):
    """Models of a run in or under the folder `root`, to the last bit those that this run would fit.

    They come with their validation losses and seconds.  Whether the code was the same, the commit must tell, which is
    printed.  -> bremen.State to go on from, or None where no run has such models
    """
    for path in sorted(root.rglob("run.json")):
        try:
            lent = lent_by(path.parent, cfg, history.data["sha256"])
        except (run.UsageError, OSError, ValueError, LookupError, TypeError):
            continue  # of another version of this program, or not far enough, perhaps
        if lent:
            state, model, seconds, commit = lent
            history.models, history.models_from = [model], os.path.realpath(path.parent)
            progress.seconds["fit"] = seconds
            run.say(f"models of {path.parent}, commit {commit}: validation loss {model['model_loss']:.4f}")
            rng = bremen.streams(cfg.seed) | {"model": state.rng["model"]}
            return bremen.State(rng, state.norm, state.dynamics)
    run.say(f"note: no run under {root} has fitted the same models")
    return None


def lent_by(folder, cfg, digest):
    """What the run in a folder lends, if its numbers, data (SHA-256 `digest`), versions and kernels of BLAS are those
    of the run `cfg`.  -> its State, record of its models, seconds of their fit, its commit; or None"""
    other = run.read_config({}, folder / "config.json")
    if any(getattr(cfg, name) != getattr(other, name) for name in DECIDES):
        return None
    state, theirs = run.page("resume").load_checkpoint(folder / "checkpoint.npz", other)
    about, source = run.read_json(folder / "run.json"), run.page("provenance")
    model, seconds = theirs.models[0], theirs.rows[0]["fit_seconds"]  # of a run that has got so far
    if theirs.data["sha256"] != digest or about["versions"] != source.versions() | {"blas": source.blas()}:
        return None
    return state, model, seconds, about.get("commit")
