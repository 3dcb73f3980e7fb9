"""Mode video: an episode of a saved policy as a GIF or MP4, or several policies beside each other.

python run.py --mode video --env hopper --policy FILE.npz
python examples/film.py --env hopper --policy A.npz B.npz --titles before after --sampled 1 --out FILE.gif

All robots begin in the same state, which --seed decides.  A policy acts with its mean action; those whose numbers
--sampled names (the first policy is number 1) draw their actions, as when data are collected.  Beside each other,
every robot has its title above, its return so far and its time below; one that has fallen stays as it was.
"""

import contextlib
import importlib.util
import sys
from pathlib import Path
from typing import NamedTuple

import imageio
import numpy as np
from tqdm import tqdm

import bremen
import envs
import run

safe_files = run.page("safe_files")

FPS = 25  # pictures per second of simulated time
ALONE, BESIDE = (400, 304), (272, 336)  # width and height of a robot's picture [pixels]: multiples of 16, for MP4
STRIP, EDGE = 32, 2  # height of a title and of the line below a robot, and half the gap between two robots [pixels]
COLORS = 48  # of a GIF with several robots; more of them make the file larger


class Moment(NamedTuple):
    """What there is to see at one time of an episode."""

    picture: np.ndarray  # (height, width, 3) RGB
    steps: int
    seconds: float  # of simulated time
    total: float  # return so far
    fell: bool


def moments(task, act, seed, size, every, last):
    """An episode of at most `last` steps.  act(obs (1, S)) -> (1, A); size: of a picture [pixels]

    Yields a Moment before each `every`-th step, and then one more: the end.
    """
    with contextlib.closing(envs.TaskEnv(task, "rgb_array", *size)) as env:
        obs, _ = env.reset(seed=seed)
        steps, total, fell = 0, 0.0, False
        while steps < last and not fell:
            if steps % every == 0:
                yield Moment(env.render(), steps, steps * task.dt, total, fell)
            obs, rew, fell, _, _ = env.step(act(obs[None])[0])
            steps, total = steps + 1, total + rew
        yield Moment(env.render(), steps, steps * task.dt, total, fell)


def at_once(episodes):
    """Episodes at the same time; one that has ended stays as it was.  episodes: iterators of Moment.  Yields lists"""
    now = [next(episode) for episode in episodes]
    yield now
    while any(coming := [next(episode, None) for episode in episodes]):
        now = [new or old for old, new in zip(now, coming)]
        yield now


def pace(task, opts):
    """How many steps there are from one picture to the next, and in the whole film at most."""
    last = min(task.max_steps, opts.get("seconds", np.inf) / task.dt)
    return max(1, round(1 / (FPS * task.dt))), round(last)


# --- one robot ------------------------------------------------------------------------------------------------------


def film_one(path, task, act, opts, seed):
    """Film one episode into the file `path`."""
    every, last = pace(task, opts)
    pictures = moments(task, act, seed, ALONE, every, last)
    *shown, end = tqdm(pictures, desc="filming", unit="picture", disable=None, leave=False)
    save(path, [moment.picture for moment in shown], every * task.dt)
    run.say(f"{path}: {len(shown)} frames, {end.steps} steps, return {end.total:,.0f}")


def save(path, pictures, seconds):
    """Write pictures (height, width, 3), each of which is shown for some seconds, as a GIF or MP4."""
    fps = 1 / seconds
    times = {"fps": fps} if path.suffix == ".mp4" else {"duration": 1000 / fps, "loop": 0}
    imageio.mimsave(path, pictures, **times)


# --- several robots -------------------------------------------------------------------------------------------------


def film_many(path, task, acts, titles, opts, seed):
    """Film an episode of each policy, beside each other, into the file `path`."""
    every, last = pace(task, opts)
    episodes = [moments(task, act, seed, BESIDE, every, last) for act in acts]
    pictures, fonts = [], (font("DejaVuSans-Bold", 17), font("DejaVuSans", 14))
    for now in tqdm(at_once(episodes), desc="filming", unit="picture", disable=None, leave=False):
        picture = side_by_side(now, titles, fonts)
        if path.suffix == ".gif":  # at once: it takes a third of the memory
            picture = fewer_colors(picture, pictures[0] if pictures else None)
        pictures.append(picture)
    if path.suffix == ".gif":
        save_small(path, pictures, every * task.dt)
    else:
        save(path, [np.array(picture) for picture in pictures], every * task.dt)
    for title, end in zip(titles, now):
        run.say(f"{title}: {end.steps} steps, return {end.total:,.0f}" + ", fell" * end.fell)
    run.say(f"{path}: {len(pictures)} frames, {path.stat().st_size / 1e6:.2f} MB")


def font(name, size):
    """A font that matplotlib brings along.  size [pixels]  -> PIL font"""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf"), size)


def side_by_side(now, titles, fonts):
    """One picture of all robots.  now: a Moment of each; fonts: of titles, and of the lines below  -> PIL image"""
    from PIL import Image, ImageDraw

    width, height = BESIDE
    whole = Image.new("RGB", (width * len(now), STRIP + height + STRIP), "white")
    draw = ImageDraw.Draw(whole)
    for i, (moment, title) in enumerate(zip(now, titles)):
        left, middle = i * width, i * width + width // 2
        whole.paste(Image.fromarray(moment.picture[:, EDGE : width - EDGE]), (left + EDGE, STRIP))
        draw.text((middle, STRIP // 2), shortened(title, fonts[0]), "black", fonts[0], anchor="mm")
        draw.text((middle, STRIP + height + STRIP // 2), caption(moment), "black", fonts[1], anchor="mm")
    return whole


def shortened(title, font):
    """As much of a title as there is room for above a robot.  -> text"""
    while font.getlength(title) > BESIDE[0] - 2 * EDGE:
        title = title.rstrip("…")[:-1] + "…"
    return title


def caption(moment):
    """The line below a robot.  -> text"""
    time = f"{moment.seconds:.1f} s"
    return f"return {moment.total:,.0f}, " + (f"fell after {time}" if moment.fell else time)


def fewer_colors(picture, like=None):
    """An image with COLORS colors: those of the image `like`, or the best ones.  -> PIL image with a palette"""
    from PIL import Image

    plain = Image.Dither.NONE  # dots of two colors make a file larger
    if like:
        return picture.quantize(palette=like, dither=plain)
    return picture.quantize(COLORS, kmeans=3, dither=plain)  # without k-means the sky gets nearly all of them


def save_small(path, pictures, seconds):
    """Write a GIF of images with one palette, each shown for some seconds, the last one for two seconds."""
    times = [round(1000 * seconds)] * (len(pictures) - 1) + [2000]
    write = lambda f: pictures[0].save(
        f, "GIF", save_all=True, append_images=pictures[1:], duration=times, loop=0, optimize=False
    )
    safe_files.write_whole(path, write)


# --- the command line -----------------------------------------------------------------------------------------------


def video(cfg, opts):
    """--mode video for one seed."""
    task, files = envs.TASKS[cfg.env], opts.get("policy", [])
    policies = [run.load_policy(file, task)[0] for file in files]
    check(opts, task)
    path, titles = place(cfg, opts), opts.get("titles", [Path(file).stem for file in files])
    acts = [actor(policy, i in opts.get("sampled", ()), cfg.seed) for i, policy in enumerate(policies, 1)]
    with run.writing(path, "--out or --video_dir names another place"):
        safe_files.make_folder(path.parent)
    try:
        if len(acts) > 1 or "titles" in opts:
            film_many(path, task, acts, titles, opts, cfg.seed)
        else:
            film_one(path, task, acts[0], opts, cfg.seed)
    except Exception as e:  # drawing and encoding fail in as many ways as there are drivers
        why = (str(e) or type(e).__name__).splitlines()[0]
        raise run.UsageError(f"cannot film {path}: {why} (examples/commands.md says what drawing needs)") from e


def actor(policy, noisy, seed):
    """How a policy acts in a film: with its noise or without.  -> function, obs (1, S) -> act (1, A)"""
    rng = bremen.streams(seed)["evaluate"]
    return (lambda obs: policy.sample(obs, rng)) if noisy else policy.mean


def check(opts, task):
    """UsageError for flags that do not fit together."""
    n = len(opts.get("policy", ()))
    if n == 0:
        raise run.UsageError("--mode video needs --policy FILE (a policy.npz of a run)")
    if len(opts.get("titles", range(n))) != n:
        raise run.UsageError(f"--titles: one for each policy, please: {n}")
    if not set(opts.get("sampled", ())) <= set(range(1, n + 1)):
        raise run.UsageError(f"--sampled: numbers of policies, please, from 1 to {n}")
    if not opts.get("seconds", 1) >= task.dt:
        raise run.UsageError(f"--seconds: at least {task.dt:g}, please: that is one step")
    if "out" in opts and (idle := opts.keys() & {"video_dir", "video_format", "random_seeds"}):
        raise run.UsageError(f"--out names one file: leave --{min(idle)} away")


def place(cfg, opts):
    """The file of a film, which must not exist yet.  -> Path; or UsageError"""
    if "out" in opts:
        path, way = Path(opts["out"]), "name another file with --out"
    else:
        name = f"{cfg.env}_seed{cfg.seed}.{opts.get('video_format', 'gif')}"
        path, way = Path(opts.get("video_dir", "videos")) / name, "choose another --video_dir or --seed"
    if path.exists():
        raise run.UsageError(f"{path} exists: {way}")
    if path.suffix not in (".gif", ".mp4"):
        raise run.UsageError(f"--out {path}: a name that ends in .gif or .mp4, please")
    if path.suffix == ".mp4" and not importlib.util.find_spec("imageio_ffmpeg"):
        raise run.UsageError("--video_format mp4 needs the extra: pip install -e '.[video]'")
    return path


def parser(argv):
    """The flags of this page.  -> run.Parser"""
    p = run.page("collect").page_parser("video", "env preset seed threads".split(), __doc__, argv)
    p.add_argument("--policy", metavar="FILE", nargs="+", help="policy.npz to film, or several of them")
    p.add_argument("--titles", metavar="TEXT", nargs="+", help="what stands above each robot (the names of the files)")
    p.add_argument("--sampled", metavar="N", nargs="+", type=int, help="numbers of the policies that act with noise")
    p.add_argument("--seconds", metavar="S", type=float, help="of simulated time at most (a whole episode)")
    p.add_argument("--video_dir", metavar="DIR", help="where to put the film (videos)")
    p.add_argument("--video_format", choices=("gif", "mp4"), help="gif, or mp4 with the extra `video` (gif)")
    p.add_argument("--out", metavar="FILE", help="the film itself, .gif or .mp4 (<env>_seed<seed>.gif in --video_dir)")
    return p


def main(argv=None):
    """Run the command line.  -> exit status, as run.guarded says"""
    return run.page("collect").run_page("video", parser, video, argv)


if __name__ == "__main__":
    sys.exit(main())
