#!/usr/bin/env python3
"""What every command line of HistoGEx shares: exit codes, errors that list all faults at once, logging."""

import argparse
import errno
import functools
import logging
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

EXIT_OK = 0
EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_DATA = 65  # bad input: never retried
EXIT_TEMPORARY = 75  # may go through next time: retried

log = logging.getLogger("histogex")


class DataError(Exception):
    """Bad input. `faults` holds one message a fault: file, row and what to do about it."""

    def __init__(self, *faults: str):
        super().__init__("\n".join(faults))
        self.faults = list(faults)


class TemporaryFailure(Exception):
    """Something that may succeed when tried again: out of device memory, a lost connection."""


class Faults:
    """Collects the faults of an input, so that a user sees them all at once.

    >>> faults = Faults()
    >>> faults.add("donors.tsv, row 3: duplicate donor D1: keep one")
    >>> bool(faults)
    True
    """

    def __init__(self) -> None:
        self.messages: list[str] = []

    def add(self, message: str) -> None:
        self.messages.append(message)

    def __bool__(self) -> bool:
        return bool(self.messages)

    def stop(self) -> None:
        """Raise DataError with every fault collected so far; do nothing when there is none."""
        if self.messages:
            raise DataError(*self.messages)


def command(main: Callable[[list[str] | None], None]) -> Callable[[list[str] | None], int]:
    """Turn `main(argv)` into a command that returns an exit code (DESIGN: 0, 65, 75; a bug keeps its traceback).

    argparse itself leaves with 2 on a usage error.
    """

    @functools.wraps(main)
    def wrapped(argv: list[str] | None = None) -> int:
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s: %(message)s", force=True)
        try:
            main(argv)
        except DataError as error:
            print(f"{len(error.faults)} fault{'s' * (len(error.faults) != 1)} in the input:", file=sys.stderr)
            for fault in error.faults:
                print(f"  * {fault}", file=sys.stderr)
            return EXIT_DATA
        except TemporaryFailure as error:
            print(f"temporary failure: {error}", file=sys.stderr)
            return EXIT_TEMPORARY
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            places = f"{Path.cwd()} or {os.environ.get('TMPDIR', '/tmp')}"  # pandas and pyarrow do not name the file
            print(f"temporary failure: {error}: make room in {places}, then -resume", file=sys.stderr)
            return EXIT_TEMPORARY
        return EXIT_OK

    return wrapped


def parser(description: str) -> argparse.ArgumentParser:
    """Argument parser of a command: the module's docstring as help, defaults shown, no abbreviations."""

    class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
        pass

    return argparse.ArgumentParser(description=description, formatter_class=Formatter, allow_abbrev=False)


def primary_setting(text: str) -> str:
    """<size>,<encoder>,<aggregation> (argparse type)."""
    if text.count(",") != 2:
        raise argparse.ArgumentTypeError(f"{text}: size,encoder,aggregation is expected")
    return text


def skipped_stage(text: str) -> tuple[str, str]:
    """(stage, why) of 'stage: why' (argparse type)."""
    stage, colon, why = text.partition(": ")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text}: 'stage: why' is expected")
    return stage, why


def comma_list(text: str) -> list[str]:
    """'a, b,,c' -> ['a', 'b', 'c'] (argparse type)."""
    return [part.strip() for part in text.split(",") if part.strip()]


def preview(items: Iterable[object], limit: int = 5) -> str:
    """'a, b, c and 4 more': names for a message that stays readable."""
    items = [str(item) for item in items]
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more
