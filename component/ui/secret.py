"""Asks for a password: on the terminal, or from a file descriptor.

There is no option for the password itself: arguments and the environment can be read by others.
"""

from __future__ import annotations

import getpass
import os
import warnings

from component.ui.exits import CommandFailed, Exit

_LONGEST = 4096


def read_password(of: str, descriptor: int | None) -> str:
    """The password of an account; one newline at its end is dropped.

    :param descriptor: an open file descriptor to read it from; None: the terminal
    :raises CommandFailed: there is none, or no way to ask
    """
    if descriptor is None:
        return _prompt(of)
    try:
        with open(descriptor, "rb") as file:
            data = file.read(_LONGEST + 1)
    except OSError as error:
        raise CommandFailed(
            f"--password-fd {descriptor} cannot be read ({os.strerror(error.errno or 0)}); "
            f"redirect it, as in --password-fd 3 3< FILE",
            Exit.USAGE,
        ) from None
    try:
        password = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise CommandFailed(f"what --password-fd {descriptor} gives is no UTF-8 text") from None
    if len(data) > _LONGEST or "\n" in password:
        raise CommandFailed(f"--password-fd {descriptor} gives more than one line; give one")
    return password


def _prompt(of: str) -> str:
    with warnings.catch_warnings():
        # Where the terminal cannot be told to be silent, the password would be seen.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(f"Password of {of}: ")
        except (getpass.GetPassWarning, EOFError, OSError):
            raise CommandFailed(
                "there is no terminal to ask for the password; give it with --password-fd",
                Exit.USAGE,
            ) from None
