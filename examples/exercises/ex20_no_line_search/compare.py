"""With and without a line search, for small and for large steps: `python compare.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import curves


def variants(part):
    return {
        "line search, delta 0.3": curves.Variant({"target_kl": 0.3}),
        "no line search, delta 0.3": curves.Variant({"target_kl": 0.3}, {"improve": part.improve}),
        "line search, delta 0.005": curves.Variant({"target_kl": 0.005}),
        "no line search, delta 0.005": curves.Variant({"target_kl": 0.005}, {"improve": part.improve}),
    }


def main(argv=None):
    curves.main("Look before you leap", variants, __file__, curves.STEP_KL, argv, fisher_rows=1.0)


if __name__ == "__main__":
    main()
