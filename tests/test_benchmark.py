"""The benchmark at tiny sizes: its arithmetic by hand and by counting, its twins and peers do the same work as ours."""

import json
import os
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import benchmark
import numpy as np
import pytest
from PIL import Image

import bremen
import nets

ROOT = Path(__file__).resolve().parent.parent
QUICK = Namespace(quick=True, peers=[], threads=2, repeats=1)
ABOUT = {"measurement", "quiet", "notes", "command", "machine", "versions", "threads", "sgemm_gflops", "sgemm_before",
         "sgemm_after", "sgemm_size", "rounds", "load_at_start"}  # fmt: skip


# --- arithmetic -----------------------------------------------------------------------------------------------------


def test_flops_by_hand():
    """(2, 3, 1): 2*3 + 3 + 3*1 + 1 = 13 parameters; only the 3*1 weights of the second layer have inputs to follow."""
    assert benchmark.forward((2, 3, 1)) == 26
    assert benchmark.derivative((2, 3, 1)) == 26 + 6
    # 4 rows: a forward pass and 2 products of two derivatives; 10 rows: gradient, then 3 trials
    assert benchmark.update_flops((2, 3, 1), 10, 4, 2, 3) == 4 * (26 + 2 * 2 * 32) + 10 * (26 + 32 + 3 * 26)


class Counted(np.ndarray):
    """An array that counts the multiplications and additions of its matrix products."""

    flops = 0

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        if ufunc is np.matmul:
            Counted.count(*inputs)
        options |= {"out": tuple(map(plain, out))} if out else {}
        return np.asarray(getattr(ufunc, method)(*map(plain, inputs), **options)).view(Counted)

    def __array_function__(self, f, types, args, options):
        if f is np.dot:
            Counted.count(*args)
        return f(*map(plain, args), **{k: plain(v) for k, v in options.items()})

    @staticmethod
    def count(a, b):
        Counted.flops += 2 * a.shape[0] * a.shape[1] * b.shape[1]


def plain(x):
    return x.view(np.ndarray) if isinstance(x, Counted) else x


def counted(f, *args):
    """f(*args), matrix products counted.  -> result, FLOP"""
    Counted.flops = 0
    return f(*args), Counted.flops


@pytest.mark.parametrize("sizes", [(3, 4, 2), (11, 20, 20, 3), (5, 2)])
def test_flops_are_those_of_the_programs_own_functions(sizes):
    """Biases are met once by each row in the count; what nets does with them is no matrix product."""
    rng, rows = np.random.default_rng(0), 7
    theta, v = (nets.init_mlp(rng, sizes).view(Counted) for _ in range(2))
    x, g = (rng.standard_normal((rows, n), np.float32).view(Counted) for n in (sizes[0], sizes[-1]))
    biases = 2 * rows * sum(sizes[1:])
    tape, forward = counted(nets.mlp_tape, theta, x, sizes)
    assert forward + biases == rows * benchmark.forward(sizes)
    for f, y in ((nets.mlp_vjp, g), (nets.mlp_jvp, v)):
        assert counted(f, theta, tape, y, sizes)[1] + biases == rows * benchmark.derivative(sizes)


def test_exponent_of_exact_data():
    sizes = np.array([10, 100, 2000, 30_000])
    assert benchmark.exponent(sizes, 3e-3 * sizes**1.5) == pytest.approx(1.5)
    assert benchmark.exponent(sizes, np.full(4, 0.1)) == pytest.approx(0)
    assert benchmark.exponent([2], [0.1]) is None


# --- twins ----------------------------------------------------------------------------------------------------------


def works():
    """Name -> function that builds a piece of work anew."""
    cfg = benchmark.config(QUICK)
    return {
        "rollout": lambda: benchmark.rollout_work(cfg)[1],
        "rollout with residuals": lambda: benchmark.rollout_work(replace(cfg, model_noise=1.0))[1],
        "update": lambda: benchmark.update_work(cfg, 60)[1],
        "fit": lambda: benchmark.fit_work(cfg, 40, 8)[1],
        "clone": lambda: benchmark.clone_case(QUICK, None).work,
    }


def flat(x):
    """All numbers in a nest of tuples, lists and dicts."""
    if isinstance(x, dict):
        x = list(x.values())
    return np.concatenate([flat(y) for y in x]) if isinstance(x, (tuple, list)) else np.ravel(x).astype(float)


@pytest.mark.parametrize("name", works())
def test_the_twin_does_the_same_work(name):
    build = works()[name]
    ours = build()()
    with benchmark.plain_numpy(1):
        twin = build()()
    assert len(flat(ours)) > 10
    np.testing.assert_allclose(flat(ours), flat(twin), rtol=2e-3, atol=1e-5)


def test_plain_numpy_replaces_and_restores():
    before = {name: getattr(nets, name) for name in benchmark.PLAIN}
    with benchmark.plain_numpy(1):
        assert all(getattr(nets, name) is twin for name, twin in benchmark.PLAIN.items())
    assert {name: getattr(nets, name) for name in benchmark.PLAIN} == before


def test_full_sizes_are_those_of_the_table():
    cfg = benchmark.config(Namespace(quick=False), 1024, horizon=1000)
    assert bremen.policy_net(cfg).sizes == (11, 200, 200, 3) and bremen.model_sizes(cfg) == (14, 1024, 1024, 11)
    assert (cfg.members, cfg.imagined_steps, cfg.horizon) == (5, 50_000, 1000)
    assert (cfg.cg_iters, cfg.fisher_rows, cfg.clone_batch, cfg.env) == (10, 1.0, 256, "hopper")


# --- the command line -----------------------------------------------------------------------------------------------


def run_json(capsys, *words):
    """What `--quick --json` prints, checked to be JSON proper."""
    assert benchmark.main(["--quick", "--json", *words]) == 0
    return json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


def width(path):
    with Image.open(path) as picture:
        return picture.width


def test_a_quick_run_of_all_cases(capsys, tmp_path):
    result = run_json(capsys, "--only", *benchmark.CASES, "--out", str(tmp_path))
    assert result.keys() == ABOUT | benchmark.CASES.keys()
    assert result["measurement"] is False and benchmark.NO_MEASUREMENT in result["notes"][0]
    assert result["sgemm_gflops"] > 0
    for name, record in ((name, result[name]) for name in benchmark.CASES):
        key = "seconds" if name.startswith(("rollout", "trpo")) else "per_second"
        assert record[key] > 0 and record[f"plain_{key}"] > 0, name
        if name.startswith("collect"):
            assert record["gflops"] is record["share_of_peak"] is None
        else:
            assert record["gflops"] > 0 and record["plain_gflops"] > 0, name
            assert record["share_of_peak"] == pytest.approx(record["gflops"] / result["sgemm_gflops"])
    text = (tmp_path / "benchmark.md").read_text()
    assert benchmark.NO_MEASUREMENT in text and "40 imagined steps, models 2×8, 4 × 10" in text
    assert text.count("\n| ") == len(benchmark.CASES) + 1 and str(ROOT) not in text
    assert width(tmp_path / "benchmark.png") > 1000


def test_only_runs_what_is_named_and_leaves_the_results_alone(capsys):
    result = run_json(capsys, "--only", "clone", "--threads", "1")
    assert result.keys() == ABOUT | {"clone"} and result["threads"] == 1
    for words, leaves in (("", True), ("--scaling", True), ("--quick", False), ("--only clone", False)):
        opts = benchmark.prepared(benchmark.parser().parse_args(words.split()))
        assert bool(opts.out) == leaves, words


@pytest.mark.parametrize("words", ["--only rollouts", "--only", "--threads -1", "--threads 9999", "--threads two",
                                   "--fast", "clone", "--out {file}"])  # fmt: skip
def test_bad_input_is_refused_in_one_line(words, capsys, tmp_path):
    (tmp_path / "file").touch()
    assert benchmark.main(["--quick", *words.format(file=tmp_path / "file").split()]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("benchmark.py: ")


def test_a_machine_that_is_not_quiet_is_said_so():
    assert not list(benchmark.unrest({1: 90.0, 2: 180.0}, {1: 92.0, 2: 160.0}, 0.2))
    (slower,) = benchmark.unrest({1: 90.0, 2: 180.0}, {1: 92.0, 2: 140.0}, 0.2)
    assert "2 threads went from 180 to 140" in slower
    (load,) = benchmark.unrest({1: 90.0}, {1: 91.0}, 2.3)
    assert "load average was 2.3" in load


def test_peers_are_only_loaded_on_demand():
    code = "import sys, benchmark; print(*sys.modules)"
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "examples")))
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths}, capture_output=True)
    assert done.returncode == 0 and not set(done.stdout.decode().split()) & {"torch", "sb3_contrib", "matplotlib"}


def test_gymnasium_steps_in_three_ways():
    line = [sys.executable, str(ROOT / "examples" / "benchmark.py"), "--quick", "--peers", "--json", "--only"]
    done = subprocess.run([*line, "collect_hopper"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    peers = json.loads(done.stdout)["collect_hopper"]["peers"]["Gymnasium"]
    assert set(peers) == {"single", "sync × 8", "async × 8"} and all(x["per_second"] > 0 for x in peers.values())


# --- peers: only where they are installed ---------------------------------------------------------------------------


@pytest.mark.parametrize("model_noise", [0.0, 1.0])
def test_pytorch_imagines_the_same_paths(model_noise):
    pytest.importorskip("torch")
    given, work = benchmark.rollout_work(benchmark.config(QUICK, model_noise=model_noise))
    for ours, theirs in zip(work(), benchmark.torch_rollout(*given)()):
        np.testing.assert_allclose(theirs.numpy(), ours, atol=1e-4)


def test_pytorch_takes_the_same_step():
    pytest.importorskip("torch")
    given, work = benchmark.update_work(benchmark.config(QUICK), 60)
    _, gain, kl, backtracks, accepted = benchmark.torch_update(*given)()
    info = work()[1]
    assert (accepted, backtracks) == (info["accepted"], info["backtracks"]) and accepted
    assert (gain, kl) == pytest.approx((info["surrogate_gain"], info["kl"]), rel=1e-2)


def test_pytorchs_epoch_is_ours():
    torch = pytest.importorskip("torch")
    rng, sizes = np.random.default_rng(0), (4, 8, 3)
    theta, x, y = nets.init_mlp(rng, sizes), *(rng.standard_normal((40, n), np.float32) for n in (4, 3))
    net, order = benchmark.torch_net(theta, sizes), rng.permutation(40)
    adam = torch.optim.Adam(net.parameters(), lr=1e-2, fused=True)
    benchmark.torch_epoch(net, adam, torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(order), 8)
    nets.adam_epoch_fast(theta, nets.adam_init(theta), x, y, order, 8, 1e-2, sizes)
    theirs = net(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(theirs, nets.mlp(theta, x, sizes), atol=1e-5)


def test_pytorchs_two_ensembles_learn_the_same(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch, "randperm", torch.arange)  # without chance, one is as good as the other
    (x, y, cfg), _ = benchmark.fit_work(benchmark.config(QUICK), 64, 8)
    (separate, n), (batched, m) = benchmark.torch_fits(x, y, cfg).values()
    assert n == m == 64 * 5
    losses = [(separate(), batched()) for _ in range(3)]
    np.testing.assert_allclose(*zip(*losses), rtol=1e-4)
    assert losses[2][0] < losses[0][0]


def test_pytorch_clones():
    pytest.importorskip("torch")
    cfg, data = benchmark.config(QUICK, clone_lr=1e-2), benchmark.transitions(40)
    epoch = benchmark.torch_clone(data.obs, data.act, cfg)
    losses = [epoch() for _ in range(20)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_sb3_steps_into_the_same_trust_region():
    pytest.importorskip("sb3_contrib")
    given, _ = benchmark.update_work(benchmark.config(QUICK), 60)
    update, _ = benchmark.sb3_update(*given)["train()"]
    kl = update()
    assert 0 < kl <= given[-1].target_kl
    assert update() == pytest.approx(kl, rel=1e-3)  # each time from the same policy


# --- whole runs -----------------------------------------------------------------------------------------------------


def test_a_run_that_fails_is_reported_in_one_line(capsys, monkeypatch):
    monkeypatch.setitem(benchmark.WHOLE, "cold_start", lambda opts: benchmark.run_program("x", "--env moon"))
    assert benchmark.main(["--quick", "--only", "cold_start"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "moon" in err


@pytest.mark.slow
def test_whole_runs(capsys, tmp_path):
    result = run_json(capsys, "--only", *benchmark.WHOLE)
    assert {"collect", "fit", "clone", "imagine", "improve", "evaluate"} < result["offline_hopper"]["phases"].keys()
    assert 100 < result["offline_hopper"]["peak_mb"] < 1500
    start = result["cold_start"]
    assert start["seconds"] > 0 and start["phases"]["compilation"] > 0
    assert all(result[name]["gflops"] is None for name in benchmark.WHOLE)


@pytest.mark.slow
def test_scaling(capsys, tmp_path):
    result = run_json(capsys, "--scaling", "--out", str(tmp_path))["scaling"]
    assert set(result["time"]) == {"rows", "members", "width of the models", "horizon [steps]", "threads"}
    assert result["memory_rows"] == 2000 and result["memory_mb"] > 100 and result["side_by_side_gain"] > 0.5
    assert "what grows" in (tmp_path / "benchmark_scaling.md").read_text()
    assert width(tmp_path / "benchmark_scaling.png") > 1000
