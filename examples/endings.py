"""How all programs of this project end: with one line and an exit status, whatever happens to them.

`guarded` runs the body of a program.  Ctrl-C, SIGTERM, a closed terminal, a reader such as `head` that has gone, a
full disk and input that cannot be used: each of them ends in one line on stderr, and never in a traceback.
"""

import contextlib
import os
import signal
import sys
import threading
import warnings

import envs
import run


def guarded(program, work, how_to_go_on=lambda: ""):
    """work(), the body of a program; its errors become one line, which `how_to_go_on` may end after an interruption.

    -> the exit status: that of `work`; 1 for training that diverged, 2 for what cannot be used or written,
    128 + the number of a signal: 130 for Ctrl-C, 143 for SIGTERM, 141 for output that nobody reads
    """
    warnings.simplefilter("ignore", RuntimeWarning)  # numbers that are not finite are reported once, in words
    plain_streams()
    try:
        with signals_as_ctrl_c():
            try:
                return work()
            finally:
                flush_output()
    except FloatingPointError as e:
        return complain(program, 1, e)
    except (run.UsageError, envs.DataError) as e:
        return complain(program, 2, e)
    except ImportError as e:
        return complain(program, 2, f"{e.__cause__ or e}{run.MEND}")
    except BrokenPipeError:
        return complain(program, 128 + 13, "interrupted", how_to_go_on())  # 13: SIGPIPE
    except OSError as e:
        return complain(program, 2, e, how_to_go_on())
    except KeyboardInterrupt as e:
        return complain(program, 128 + next(iter(e.args), signal.SIGINT), "interrupted", how_to_go_on())


def complain(program, status, *texts):
    """One line on stderr.  -> the status"""
    words = "; ".join(str(text) for text in texts if str(text)).split()
    print(f"{program}:", *words, file=sys.stderr)
    return status


def plain_streams():
    """Let stdout and stderr show "?" for letters that their encoding lacks: a ± or a name of a file ends no run."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w")  # None: closed by whoever started us
        setattr(sys, name, stream)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def flush_output():
    """Write out what was printed.  OSError where the disk is full; none where nobody reads it any more"""
    try:
        sys.stdout.flush()
    except OSError as e:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would try again, with a traceback
        if not isinstance(e, BrokenPipeError):
            raise


@contextlib.contextmanager
def writing(path, hint):
    """For a `with` block that writes `path`: run.UsageError with a hint where the disk refuses that.  Yields nothing"""
    try:
        yield
    except OSError as e:
        raise run.UsageError(f"cannot write {path}: {e.strerror or e}; {hint}") from e


@contextlib.contextmanager
def signals_as_ctrl_c():
    """For a `with` block: SIGTERM and SIGHUP end it by KeyboardInterrupt(number), as Ctrl-C does.  Yields nothing"""

    def stop(number, frame):
        raise KeyboardInterrupt(number)

    main_thread = threading.current_thread() is threading.main_thread()  # no other may set a handler
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if main_thread and hasattr(signal, name)]
    numbers = [n for n in numbers if signal.getsignal(n) == signal.SIG_DFL]  # under nohup SIGHUP is ignored
    for n in numbers:
        signal.signal(n, stop)
    try:
        yield
    finally:
        for n in numbers:
            signal.signal(n, signal.SIG_DFL)
