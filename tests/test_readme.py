"""README and pages are held to what exists: map from paper to code, flags, files, commands, an example that runs."""

import importlib
import inspect
import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from PIL import Image

import bremen
import nets
import run

ROOT = Path(__file__).resolve().parent.parent
NAMES = "README.md", *(f"examples/{name}.md" for name in ("original", "data", "run_directory", "commands"))
README = "\n".join((ROOT / name).read_text() for name in NAMES)
MODULES = [ROOT / f"{name}.py" for name in ("bremen", "nets", "trpo", "envs", "run")]


def section(title):
    """The text below a heading of one of these pages."""
    return re.search(rf"^## {re.escape(title)}\n(.*?)(?=^##? |\Z)", README, re.M | re.S)[1]


def check_map(text):
    """Each row's label stands in the docstring of the function that the row names."""
    rows = re.findall(r"^\| ((?:Algorithm|Eq\.|arXiv)[^|]*?) \| `(\w+)\.(\w+)`", text, re.M)
    assert len(rows) >= 10, "an empty table proves nothing"
    for label, module, name in rows:
        doc = " ".join((getattr(importlib.import_module(module), name).__doc__ or "").split())
        assert label in doc, f"{module}.{name} does not say {label!r}"


def test_map_from_paper_to_code():
    check_map(section("Read the code"))


@pytest.mark.parametrize("wrong", [("`trpo.gae`", "`trpo.value`"), ("Eq. (16)", "Eq. (17)")], ids=str)
def test_a_wrong_map_is_refused(wrong):
    with pytest.raises(AssertionError):
        check_map(section("Read the code").replace(*wrong))


def check_departures(text):
    """Each row names code that speaks of the original, and a flag, an exercise or a file that shows the difference."""
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| [^|]+ \| `(\w+)\.(\w+)` \| ([^|]+) \|$", text, re.M)
    assert len(rows) == text.count("\n| ") - 1 >= 20, "every row but the heading"
    for topic, module, name, shown in rows:
        code = importlib.import_module(module)
        assert "examples/original.md" in code.__doc__, f"{module} speaks of the original and does not say where to look"
        source = inspect.getsource(getattr(code, name))
        assert re.search(r"\boriginal", source), f"{topic}: {module}.{name} does not say that the original differs"
        assert re.search(r"`--\w|ex\d\d|`\w+\.\w+`", shown), topic


def test_departures_from_the_original():
    check_departures(section("Where this code departs from the original"))


@pytest.mark.parametrize("wrong", [("`trpo.gae`", "`trpo.value`"), ("| `--seed` |", "| |")], ids=str)
def test_a_wrong_table_of_departures_is_refused(wrong):
    with pytest.raises(AssertionError):
        check_departures(section("Where this code departs from the original").replace(*wrong))


def test_quick_start_is_two_whole_commands():
    (block,) = re.findall(r"```sh\n(.*?)```", section("Quick start"), re.S)
    first, second = block.splitlines()
    assert first.startswith("(python3 -m venv .venv") and first.endswith("run.py --env hopper --mode offline")
    assert second.startswith("(python3 -m venv .venv") and second.endswith("-m pytest -n auto")


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 165


def test_the_robots_at_the_top_of_the_readme():
    """A moving picture, small enough to be loaded at once."""
    path = ROOT / "examples" / "results" / "hopper.gif"
    assert path.stat().st_size <= 2_000_000
    with Image.open(path) as film:
        assert film.n_frames > 20 and film.width > film.height, "three robots beside each other"


RULE = re.compile(r"^# === .* ===+$", re.M)


def test_modules_are_as_long_as_the_readme_says():
    """The paper first, then at most one ruled line; all of it within the lines that the README promises."""
    promised = int(re.search(r"at most ([\d,]+) lines", section("Read the code"))[1].replace(",", ""))
    texts = {path.stem: path.read_text() for path in MODULES}
    rules = {name: len(RULE.findall(text)) for name, text in texts.items()}
    assert rules == {"bremen": 1, "nets": 1, "trpo": 0, "envs": 1, "run": 1}  # all of trpo.py is the paper's
    assert sum(len(text.splitlines()) for text in texts.values()) <= promised
    assert len(texts["run"].splitlines()) <= 750
    paper = [len(RULE.split(texts[name])[0].splitlines()) for name in ("bremen", "nets", "trpo")]
    assert sum(paper) <= 1150, paper


def printed(code):
    """Run an example as it stands.  -> what it prints, line by line"""
    out, before = io.StringIO(), nets.workers()
    try:
        with redirect_stdout(out):
            exec(compile(code, "README.md", "exec"), {})
    finally:
        nets.use_threads(before)
    return out.getvalue().splitlines()


def announced(code):
    """What comments after print(...) say that it prints.  -> [text] and [(word, number)], the second ones roughly"""
    comments = re.findall(r"^ *print\(.*\)  # (.*)$", code, re.M)
    about = [(word, float(n)) for text in comments for word, n in re.findall(r"(\w+) about ([\d.]+)", text)]
    return [text for text in comments if " about " not in text], about


def test_the_example_prints_what_its_comments_say(monkeypatch):
    """Words and shapes are equal; a number that is "about" another is within a quarter of it on any processor."""
    monkeypatch.chdir(ROOT)
    (code,) = re.findall(r"```python\n(.*?)```", section("Change it"), re.S)
    exact, about = announced(code)
    assert exact and len(about) > 1, "nothing to compare"
    lines = printed(code)
    assert lines[: len(exact)] == exact
    assert [line.split()[0] for line in lines[len(exact) :]] == [word for word, _ in about]
    for line, (word, number) in zip(lines[len(exact) :], about):
        assert float(line.split()[1]) == pytest.approx(number, rel=0.25), word


def test_every_flag_in_the_readme_exists():
    flags = set(re.findall(r"(?<![\w-])--([a-z]\w*(?:-\w+)?)", README)) - {"help"}
    known = {name.lstrip("-") for action in run.parser(bremen.Config())._actions for name in action.option_strings}
    original = run.page("original")
    known |= original.RENAMED.keys() | original.SHORTCUTS.keys()
    for page in (ROOT / "examples").glob("*.py"):
        known |= set(re.findall(r'add_argument\(\s*"--([\w-]+)"', page.read_text()))
    assert flags <= known, flags - known
    assert len(flags) > 15


def test_every_command_in_the_readme_is_understood():
    commands = re.findall(r"^python run\.py (.*?)(?:  +#.*)?$", README, re.M)
    assert len(commands) >= 5
    for command in commands:
        if command != "--help":
            words = command.split()
            if run.mode_of(words) not in run.PAGES:
                assert isinstance(run.read_config(run.read_flags(words)).mode, str)


def pages():
    """Every page of the project.  -> [path]"""
    return [*ROOT.glob("*.md"), *ROOT.glob("examples/**/*.md")]


def shown():
    """Every file that a page of the project links to, pictures among them.  -> {path: page}"""
    links = ((page, re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())) for page in pages())
    return {(page.parent / path).resolve(): page for page, paths in links for path in paths}


def test_every_file_that_a_page_shows_exists():
    assert len(shown()) > 40
    missing = {str(path): page for path, page in shown().items() if not path.exists()}
    assert not missing, missing


def anchors(page):
    """The names of a page's headings as GitHub makes them: small letters, no punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_to_a_heading_finds_it():
    places = []
    for page in pages():
        for path, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text()):
            places.append((page, (page.parent / path).resolve() if path else page, anchor))
    assert places
    lost = [(str(page), anchor) for page, target, anchor in places if anchor not in anchors(target)]
    assert not lost, lost


def test_every_picture_is_shown_by_a_page():
    pictures = {*ROOT.glob("examples/results/*.png"), *ROOT.glob("examples/walkthrough/*.png")}
    assert len(pictures) > 5 and not (idle := pictures - shown().keys()), idle


FLAGS = {  # every flag of the original: the test that shows what it does here
    "env": "test_run.test_the_originals_commands_run",
    "exp_name": "test_run.test_names_and_places_of_runs",
    "sub_exp_name": "test_run.test_names_and_places_of_runs",
    "param_path": "test_run.test_config_reproduces_the_run",
    "random_seeds": "test_run.test_same_seed_same_bytes",
    "target_kl": "test_trpo.test_a_step_goes_to_the_edge_of_the_trust_region",
    "max_path_length": "test_bremen.test_imagined_paths_by_hand",
    "alpha": "test_bremen.test_alpha_takes_the_log_ratio_of_policy_and_clone_off_the_reward",
    "bc_init": "test_bremen.test_the_clone_or_a_random_policy_to_begin_with",
    "onpol_iters": "test_run.test_progress_has_a_row_per_iteration_and_one_for_the_clone",
    "interval": "test_run.test_the_hoppers_command_at_full_size",
    "n_train": "test_run.test_n_train_is_honoured",
    "trpo_batch_size": "test_bremen.test_imagined_paths_by_hand",
    "noise": "test_run.test_collect_random_actions",
    "gaussian": "test_bremen.test_imagined_actions_have_the_policys_mean_and_its_one_sigma",
    "const_sampling": "test_run.test_const_sampling_overrides_a_file",
    "ensemble_model_count": "test_bremen.test_members_differ_and_one_generator_makes_the_same_ensemble_twice",
    "param_value": "test_trpo.test_mlp_value_reduces_its_error_at_the_scale_of_a_return",
    "save_variables": "test_run.test_recursive_leaves_the_promised_files",
    "restore_path": "test_run.test_restore_path_goes_on_with_a_run",
    "restart_iter": "test_run.test_bad_input_is_refused_in_one_line_and_changes_nothing",
    "use_s_t": "test_bremen.test_paths_start_and_restart_in_logged_states",
    "use_s_0": "test_bremen.test_paths_start_and_restart_in_logged_states",
    "pretrain_value": "test_bremen.test_pretrain_value_is_used",
    "all_bc": "test_bremen.test_models_see_all_data_the_clone_the_newest",
    "eval_model": "test_run.test_eval_model_leaves_numbers_and_a_picture",
    "video_dir": "test_run.test_video",
}


def test_every_flag_of_the_original_is_in_the_readme_and_has_a_test():
    table = section("The original's command lines")
    listed = {flag for row in re.findall(r"^\| (`--.*?) \|", table, re.M) for flag in re.findall(r"--(\w+)", row)}
    assert listed == set(FLAGS)
    for flag, place in FLAGS.items():
        module, name = place.split(".")
        assert callable(getattr(importlib.import_module(module), name)), flag


def test_citation_names_the_paper():
    """Keys of the Citation File Format 1.2.0; https://github.com/citation-file-format/citation-file-format"""
    yaml = pytest.importorskip("yaml")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= cited.keys() and cited["cff-version"] == "1.2.0"
    paper = cited["preferred-citation"]
    assert {"type", "title", "authors"} <= paper.keys() and paper["year"] == 2021
    assert "2006.03647" in paper["url"] and "2006.03647" in (ROOT / "README.md").read_text()
    assert f"version = {cited['version']!r}".replace("'", '"') in (ROOT / "pyproject.toml").read_text()
