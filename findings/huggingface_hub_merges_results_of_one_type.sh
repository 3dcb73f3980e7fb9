#!/bin/sh
# huggingface_hub 2.4.0: a model card's results on two environments become two results on the first one, if their
#   dataset_type is the same.
#
# One would guess: EvalResult's dataset_name tells results apart, so Hopper's return and Ant's are read back as such.
# What happens: results are grouped by task_type and dataset_type (and config, split, revision) alone; a group has the
#   dataset_name of its first member.  The card says that the second return is the hopper's, too.
# Where it matters: cards of agents for several environments with dataset_type="gymnasium", say: the leaderboards and
#   readers of model-index see the wrong environment.  With the environment's id as dataset_type, too, all is right.
# Source: huggingface/huggingface_hub, huggingface_hub/repocard_data.py, eval_results_to_model_index and
#   EvalResult.unique_identifier.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q huggingface_hub==2.4.0
"$dir/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

from huggingface_hub import EvalResult, ModelCard, ModelCardData

print("huggingface_hub", version("huggingface_hub"))
RETURNS = {"Hopper-v5": "3400 +/- 20", "Ant-v5": "4100 +/- 90"}


def read_back(kind):
    """What a card says after it was written and read; kind(environment): its dataset_type."""
    results = [
        EvalResult("reinforcement-learning", kind(env), env, "mean_reward", value) for env, value in RETURNS.items()
    ]
    text = ModelCardData(model_name="agent", eval_results=results).to_yaml()
    return [(r.dataset_name, r.metric_value) for r in ModelCard(f"---\n{text}\n---\n").data.eval_results]


merged, apart = read_back(lambda env: "gymnasium"), read_back(lambda env: env)
print("written:                    ", list(RETURNS.items()))
print("read, one dataset_type:     ", merged)
print("read, a type of its own each:", apart)
sys.exit(not (merged == [("Hopper-v5", value) for value in RETURNS.values()] and apart == list(RETURNS.items())))
PYTHON
