"""Progress bars and the wall clock of a run."""

import contextlib
import time

from tqdm import tqdm


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

    def lap(self):
        """Seconds per part since the last call.  -> {"<part>_seconds": s}"""
        laps = {f"{name}_seconds": round(s, 3) for name, s in self.seconds.items()}
        self.seconds.clear()
        return laps
