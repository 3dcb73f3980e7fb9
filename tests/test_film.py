"""examples/film.py: robots beside each other, in one GIF.  (One robot alone, and mode video: test_run.py.)"""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from test_envs import headless_gl  # noqa: F401 (a fixture)

import envs
import run

FILES = [run.HERE / "examples" / folder / "pendulum.npz" for folder in ("behavior", "pretrained")]
film = run.page("film")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory, and pendulums and hoppers with episodes of 10 steps."""
    monkeypatch.chdir(tmp_path)
    for name in ("pendulum", "hopper"):
        monkeypatch.setitem(envs.TASKS, name, dataclasses.replace(envs.TASKS[name], max_steps=10))
    return tmp_path


def pendulums(*words, files=FILES):
    """Film pendulums.  -> exit status"""
    return film.main(["--env", "pendulum", "--policy", *map(str, files), *words])


def frames_of(path):
    """The frames of a GIF, and for how long each is shown.  -> (T, height, width, 3), [ms]"""
    with Image.open(path) as gif:
        assert gif.format == "GIF" and gif.info["loop"] == 0
        shown = [(np.array(gif.convert("RGB")), gif.info["duration"]) for i in range(gif.n_frames) if not gif.seek(i)]
    frames, times = zip(*shown)
    return np.array(frames), list(times)


def test_two_policies_beside_each_other(here, capsys):
    """A frame for each of 10 steps and one for the end, which is shown for two seconds."""
    assert pendulums("--titles", "before", "after", "--out", "new/two.gif") == 0
    frames, times = frames_of("new/two.gif")
    width, height = film.BESIDE
    assert frames.shape == (11, height + 2 * film.STRIP, 2 * width, 3) and times == [50] * 10 + [2000]
    robots = frames[:, film.STRIP : -film.STRIP]
    assert all(np.any(robots[0, :, half] != robots[-1, :, half]) for half in (np.s_[:width], np.s_[width:]))
    before, after, total = capsys.readouterr().out.splitlines()
    assert before.startswith("before: 10 steps, return -") and after.startswith("after: 10 steps, return -")
    assert total.startswith("new/two.gif: 11 frames, ") and total.endswith(" MB")
    assert [p.name for p in here.rglob("*")] == ["new", "two.gif"]


def test_the_command_line_of_run_py_makes_the_same_film(here):
    assert pendulums("--seed", "3", "--sampled", "1") == 0
    words = ["--mode", "video", "--env", "pendulum", "--policy", *map(str, FILES), "--sampled", "1"]
    assert run.main([*words, "--random_seeds", "3", "4", "--video_dir", "v"]) == 0
    assert (here / "v/pendulum_seed3.gif").read_bytes() == (here / "videos/pendulum_seed3.gif").read_bytes()
    assert (here / "v/pendulum_seed3.gif").read_bytes() != (here / "v/pendulum_seed4.gif").read_bytes()


def test_one_seed_gives_all_robots_one_start_and_each_its_own_noise(here):
    """The same policy three times: twice with its noise, once without."""
    assert pendulums("--sampled", "1", "2", "--out", "three.gif", files=[FILES[0]] * 3) == 0
    frames, _ = frames_of("three.gif")
    first, second, mean = np.split(frames, 3, axis=2)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first[0], mean[0])
    assert np.any(first[-1] != mean[-1])


def test_a_film_ends_after_its_seconds(here):
    assert pendulums("--seconds", "0.2", "--out", "short.gif") == 0
    assert len(frames_of("short.gif")[0]) == 5


def test_hoppers(here, request):
    """Drawn by OpenGL: pictures of steps 0 and 5, and of the end; a title alone makes a film of one robot with text."""
    request.getfixturevalue("headless_gl")
    file = str(run.HERE / "examples" / "behavior" / "hopper.npz")
    for titles in (["a", "b"], ["a"]):
        out = f"{len(titles)}.gif"
        files = [file] * len(titles)
        assert film.main(["--env", "hopper", "--policy", *files, "--titles", *titles, "--out", out]) == 0
        frames, times = frames_of(out)
        assert len(frames) == 3 and times == [40, 40, 2000] and frames.shape[2] == len(titles) * film.BESIDE[0]
        assert frames.std() > 20, "all one color"


class Upright(envs.PendulumSim):
    """A pendulum that stands upright at first, and stays so until it is pushed."""

    def initial(self, rng):
        return np.zeros(2)


def pushed_and_not():
    """Two pendulums that may not turn faster than 1 rad/s.  -> Task, act of the first, act of the second"""
    pendulum, fastest = envs.TASKS["pendulum"], np.array([np.inf, np.inf, 1.0])
    task = dataclasses.replace(pendulum, low=-fastest, high=fastest, max_steps=10, physics=Upright)
    return task, lambda obs: np.array([[2.0]]), lambda obs: np.array([[-0.1]])


def test_one_that_has_fallen_stays_as_it_was():
    """By hand: a torque of 2 makes speeds of 0.3, 0.61, 0.95 and, after step 4, 1.3 rad/s."""
    task, *acts = pushed_and_not()
    film_of_both = list(film.at_once([film.moments(task, act, 0, film.BESIDE, 1, 10) for act in acts]))
    assert len(film_of_both) == 11
    pushed, other = zip(*film_of_both)
    assert [moment.steps for moment in pushed] == [0, 1, 2, 3, *[4] * 7]
    assert [moment.fell for moment in pushed] == [*[False] * 4, *[True] * 7]
    assert [moment.steps for moment in other] == list(range(11)) and not other[-1].fell
    assert pushed[-1].seconds == pytest.approx(0.2) and pushed[-1].total < other[-1].total < 0


def test_the_film_of_one_that_falls_goes_on(tmp_path, capsys):
    task, *acts = pushed_and_not()
    film.film_many(tmp_path / "fall.gif", task, acts, ["pushed", "not"], {}, 0)
    frames, times = frames_of(tmp_path / "fall.gif")
    assert sum(times) == 10 * 50 + 2000
    pushed, other = np.split(frames, 2, axis=2)
    np.testing.assert_array_equal(pushed[-2], pushed[-1])
    assert np.any(other[-2] != other[-1]) and np.any(pushed[0] != pushed[-1])
    assert capsys.readouterr().out.splitlines()[0].endswith(", fell")


def test_what_stands_above_and_below_a_robot():
    moment = film.Moment(np.full((336, 272, 3), 99, np.uint8), 300, 2.4, 1234.4, False)
    assert film.caption(moment) == "return 1,234, 2.4 s"
    assert film.caption(moment._replace(fell=True)) == "return 1,234, fell after 2.4 s"
    fonts = film.font("DejaVuSans-Bold", 17), film.font("DejaVuSans", 14)
    plain, titled = (np.array(film.side_by_side([moment] * 2, ["", text], fonts)) for text in ("", "BREMEN"))
    rows, columns = np.nonzero(np.any(plain != titled, axis=2))
    assert rows.max() < film.STRIP and film.BESIDE[0] + 50 < columns.min() < columns.max() < 2 * film.BESIDE[0] - 50
    assert film.shortened("BREMEN", fonts[0]) == "BREMEN"
    assert film.shortened("BREMEN" * 9, fonts[0]).startswith("BREMENBREMEN")
    assert fonts[0].getlength(film.shortened("BREMEN" * 9, fonts[0])) <= film.BESIDE[0]


def test_mp4_of_several(here):
    pytest.importorskip("imageio_ffmpeg")
    import imageio.v3

    assert pendulums("--out", "two.mp4") == 0
    assert imageio.v3.immeta("two.mp4", plugin="FFMPEG")["size"] == (2 * film.BESIDE[0], 400)


REFUSED = {  # flags: words of the message
    "--titles one": "--titles: one for each policy, please: 2",
    "--sampled 0": "from 1 to 2",
    "--sampled 3": "from 1 to 2",
    "--seconds 0": "--seconds: at least 0.05",
    "--seconds nan": "--seconds: at least 0.05",
    "--out a.png": "ends in .gif or .mp4",
    "--out a.gif --video_dir v": "leave --video_dir away",
    "--out a.gif --random_seeds 1 2": "leave --random_seeds away",
    "--out here.gif": "here.gif exists",
    "--out here.gif/a.gif": "cannot write",
    "--members 3": "--members",
    "--env hopper": "a policy of pendulum",
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_film_that_makes_no_sense_is_refused_in_one_line(words, here, capsys):
    (here / "here.gif").touch()
    assert pendulums(*words.split()) == 2
    err = capsys.readouterr().err
    assert REFUSED[words] in err and err.startswith("run.py: ") and err.count("\n") == 1
    assert [p.name for p in here.iterdir()] == ["here.gif"]
