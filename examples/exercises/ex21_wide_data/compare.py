"""The same mean action with little and with much noise: `python compare.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import curves

COMMON = dict(n_train=1000, model_epochs=100, model_patience=100)


def variants(part):
    acting = lambda std: curves.Variant(act=lambda policy: part.with_noise(policy, std))
    return {f"sigma of the data {std:g}": acting(std) for std in (0.05, 0.2, 0.5, 1.0)}


def main(argv=None):
    curves.main("How wide the data are", variants, __file__, argv=argv, **COMMON)


if __name__ == "__main__":
    main()
