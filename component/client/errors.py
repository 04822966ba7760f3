"""Why a login, or something that was asked after it, did not succeed."""

from __future__ import annotations

from enum import StrEnum


class Trouble(StrEnum):
    """What kind of thing went wrong; the values are stable."""

    UNREACHABLE = "unreachable"
    """No connection, or it ended."""
    CERTIFICATE = "certificate"
    NO_ENCRYPTION = "no-encryption"
    REFUSED = "refused"
    """The password, or the account as such."""
    NO_MECHANISM = "no-mechanism"
    """The server offers no way to log in that we use."""
    SILENT = "silent"
    """An answer did not come in time."""
    SERVER = "server"
    """The server refused what was asked, or broke the rules of XMPP."""


class ClientFailed(Exception):
    """A login, or a question after it, failed.

    :ivar trouble: what kind of thing went wrong.
    :ivar remedy: what to do about it, in words.
    """

    def __init__(self, trouble: Trouble, sentence: str, remedy: str) -> None:
        super().__init__(f"{sentence}; {remedy}")
        self.trouble = trouble
        self.remedy = remedy
