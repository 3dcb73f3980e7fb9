"""Five models or one: `python compare.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import curves

COMMON = dict(n_train=500, target_kl=0.01)  # models have something to be wrong about, and a policy comes to it


def variants(part):
    return {"five members": curves.Variant(), "one member": curves.Variant(parts={"fit": part.fit})}


def main(argv=None):
    curves.main("How many models", variants, __file__, argv=argv, **COMMON)


if __name__ == "__main__":
    main()
