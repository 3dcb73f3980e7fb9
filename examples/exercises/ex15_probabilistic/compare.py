"""Deterministic or probabilistic models: `python compare.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import curves
import judge

ensemble = judge.load(Path(__file__).parent, "ensemble")


def variants(part):
    parts = dict(fit=ensemble.make_fit(part.nll), imagine=ensemble.make_imagine(part.difference))
    return {"deterministic models": curves.Variant(), "probabilistic models": curves.Variant(parts=parts)}


def main(argv=None):
    curves.main("Models without and with a variance", variants, __file__, curves.IMAGINED_REWARD, argv)


if __name__ == "__main__":
    main()
