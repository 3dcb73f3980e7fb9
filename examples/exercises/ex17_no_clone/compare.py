"""With and without the clone: `python compare.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import curves


def variants(part):
    random = curves.Variant(parts={"clone": part.clone})
    return {"from the clone (BREMEN)": curves.Variant(), "from a random policy (ME-TRPO)": random}


def main(argv=None):
    curves.main("Where the policy starts", variants, __file__, argv=argv)


if __name__ == "__main__":
    main()
