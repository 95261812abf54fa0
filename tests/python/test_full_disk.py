"""A full disk is told plainly and retried; other errors of the system keep their traceback."""

import errno
import os

import pytest

from hx_cli import EXIT_TEMPORARY, command


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_temporary(code, capsys):
    def main(argv):
        raise OSError(code, os.strerror(code), "out.tsv")

    assert command(main)([]) == EXIT_TEMPORARY
    assert f"make room in {os.getcwd()}" in (text := capsys.readouterr().err) and "out.tsv" in text


def test_other_errors_of_the_system_are_not_hidden():
    def main(argv):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), "out.tsv")

    with pytest.raises(PermissionError):
        command(main)([])
