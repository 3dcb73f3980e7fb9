"""One member per step or one per path: `python compare.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import curves


def variants(part):
    return {"a member per step": curves.Variant(), "a member per path": curves.Variant(parts={"imagine": part.imagine})}


def main(argv=None):
    # few data and large steps: where models are good, it does not matter which of them predicts
    curves.main("Who predicts", variants, __file__, argv=argv, n_train=2000, target_kl=2e-2)


if __name__ == "__main__":
    main()
