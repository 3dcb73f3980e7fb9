"""What a run shows: progress bars, the wall clock of its parts, and the table at the end."""

import contextlib
import time
from dataclasses import replace

import numpy as np
from tqdm import tqdm

import bremen
import envs
import nets
import run
import trpo


class Progress:
    """Progress bars, one per stage (none where there is no terminal), and the wall clock of every part."""

    STAGES = {  # of a record: what its bar says, its unit, the number beside it
        "collect": ("collecting transitions", "row", None),
        "deploy": ("deploying", "row", None),
        "model": ("fitting the models", "epoch", "loss"),
        "clone": ("cloning the behaviour", "step", "loss"),
        "update": ("imagining and improving", "update", "imagined_reward"),
    }

    def __init__(self):
        self.bar, self.stage, self.seconds = tqdm(disable=True), None, {}

    def __call__(self, record):
        """Show a record {"stage", "done", "total", and the number of STAGES}."""
        title, unit, number = self.STAGES[record["stage"]]
        if record["stage"] != self.stage:
            self.close()
            self.stage = record["stage"]
            first = record["done"] - 1 if unit == "update" else 0  # a resumed run has some updates already
            self.bar = tqdm(total=record["total"], initial=first, desc=title, unit=unit, disable=None, leave=False)
        if number in record:
            self.bar.set_postfix({number: f"{record[number]:.4g}"}, refresh=False)
        self.bar.update(record["done"] - self.bar.n)

    def close(self):
        """Take the bar away."""
        self.bar.close()
        self.stage = None

    @contextlib.contextmanager
    def timed(self, name):
        """A clock for a `with` block or, as a decorator, for a function: the seconds add up under `name`."""
        began = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def parts(self):
        """The parts of Algorithm 2, with a clock on each.  -> {name: function}"""
        parts = {"fit": bremen.fit_dynamics, "clone": clone_and_compile, "imagine": bremen.imagine_paths}
        parts["improve"] = trpo.improve
        return {name: self.timed(name)(part) for name, part in parts.items()}

    def lap(self):
        """Seconds per part since the last call.  -> {"<part>_seconds": s}"""
        laps = {f"{name}_seconds": round(s, 3) for name, s in self.seconds.items()}
        self.seconds.clear()
        return laps


def clone_and_compile(data, norm, cfg, rng, report):
    """`bremen.clone_behavior`, which keeps one core busy.  In a first run another one compiles rollouts meanwhile."""
    first = not getattr(nets.rollout_fast, "signatures", "plain Python")  # none: neither compiled nor loaded yet
    if not first or nets.workers() == 1:
        return bremen.clone_behavior(data, norm, cfg, rng, report)
    compiled = nets.beside(compile_rollouts, data, norm, cfg)
    result = bremen.clone_behavior(data, norm, cfg, rng, report)
    compiled.result()  # an error must be seen
    return result


def compile_rollouts(data, norm, cfg):
    """Imagine one step with models of a few rows: it is the first call that compiles a kernel, or loads a kept one."""
    few, rng = envs.Batch(*(column[:64] for column in data)), np.random.default_rng(0)
    tiny = dict(validation=0.5, model_epochs=1, model_steps=0, model_lr=1e-6, model_lr_last=1e-6)
    cfg = replace(cfg, **tiny, horizon=1, imagined_steps=1, alpha=0)
    dynamics, _ = bremen.fit_dynamics(few, cfg, rng)
    policy = bremen.State({}, norm, dynamics, theta=bremen.new_policy(cfg, rng))
    bremen.imagine_paths(policy, few.obs, cfg, rng)


def returns_text(mean, std, episodes):
    """Mean and standard deviation of the returns of `episodes` episodes.  -> text"""
    return f"{mean:,.0f} ± {std:,.0f} over {episodes} episodes" if episodes else "unknown (no complete episode)"


def row_text(row):
    """One line about an iteration.  -> text"""
    text = f"update {row['updates']:4d}: real return {row['real_return']:7,.0f} ± {row['real_return_std']:5,.0f}"
    text += f", imagined {row['imagined_return']:7,.0f} ± {row['imagined_return_std']:5,.0f}"
    return text + (f", KL {row['kl']:.1e}" if "kl" in row else "  (before the first update)")


def closing_table(cfg, history, folder):
    """Print what the run was for: data, clone and BREMEN side by side, and what they cost."""
    run.say(f"\n{'':22}{'real return':>18}{'imagined return':>18}")
    for title, known in ("behaviour policy", history.policy), ("its mean action", history.mean_action):
        if known:
            run.say(table_line(title, known))
    for i, batch in enumerate(history.batches, 1):
        rows = [row for row in history.rows if row["deployment"] == i]
        if cfg.mode == "recursive":
            run.say(f"deployment {i}: {batch['transitions']:,} transitions")
        run.say(table_line("dataset", (batch["mean"], batch["std"])))
        first = "clone" if cfg.bc_init else "start"
        for title, row in ((first, rows[0]), ("BREMEN, last policy", rows[-1])):
            real = row["real_return"], row["real_return_std"]
            imagined = row["imagined_return"], row["imagined_return_std"]
            run.say(table_line(title, real, imagined))
    trained = sum(batch["transitions"] for batch in history.batches)
    steps = f"for training: {trained:,}, for evaluation: {history.rows[-1]['evaluation_steps']:,}"
    run.say(f"({cfg.eval_episodes} episodes each; real transitions {steps})")
    run.say(f"wall time: {wall_time(history)}\nlook at {folder / 'curves.png'}")


def table_line(title, *pairs):
    """A line of the closing table, with a cell for each (mean, standard deviation).  -> text"""
    cells = ("unknown" if mean is None else f"{mean:,.0f} ± {std:5,.0f}" for mean, std in pairs)
    return f"{title:22}" + "".join(f"{cell:>18}" for cell in cells)


def wall_time(history):
    """Seconds of each part of the whole run.  -> text"""
    columns = dict.fromkeys(name for row in history.rows for name in row if name.endswith("_seconds"))
    seconds = {name.removesuffix("_seconds"): sum(row.get(name, 0) for row in history.rows) for name in columns}
    text = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    return text + (" (fit: of the run that has lent its models)" if history.models_from else "")
