"""Words in the user's language: gettext catalogs, read from their source with Babel.

English is the source language; every other language has a catalog
``component/ui/locale/LANG/LC_MESSAGES/xmpp-moved.po``.
"""

from __future__ import annotations

import gettext
import io
import unicodedata
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

from babel.dates import format_date, format_time, format_timedelta
from babel.lists import format_list
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LOCALE: Final = Path(__file__).parents[1] / "locale"
DOMAIN: Final = "xmpp-moved"
SOURCE: Final = "en"
LANGUAGES: Final[dict[str, str]] = {
    "en": "English",
    "de": "Deutsch",
    "fr": "Français",
    "es": "Español",
}
"""Every language by its tag, in its own name."""
_REMEMBERED = 10_000
"""Users whose client's language is remembered."""


def N_(message: str) -> str:  # noqa: N802 - the name that gettext's tools know
    """Mark a message for extraction where it is translated elsewhere."""
    return message


def known(tag: str | None) -> str | None:
    """The language of ours that a tag asks for (BCP 47: ``de-AT`` is ``de``), or None."""
    primary = (tag or "").strip().replace("_", "-").partition("-")[0].lower()
    return primary if primary in LANGUAGES else None


@cache
def _catalog(language: str) -> gettext.NullTranslations:
    if language == SOURCE:
        return gettext.NullTranslations()
    path = LOCALE / language / "LC_MESSAGES" / f"{DOMAIN}.po"
    with path.open("rb") as source:
        catalog = read_po(source, locale=language)
    compiled = io.BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def folded(text: str) -> str:
    """A text as words are compared: small letters without accents, single blanks."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(c for c in apart if not unicodedata.combining(c)).split())


@cache
def _spellings(message: str, language: str) -> frozenset[str]:
    """Words of a list with commas; German ones without umlauts are spelt in two ways."""
    listed = _catalog(language).gettext(message)
    spelt = listed.casefold().translate(_UMLAUTS)
    return frozenset(folded(word) for word in f"{listed},{spelt}".split(",")) - {""}


_UMLAUTS: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


class Words:
    """Sentences of one language.

    :param language: one of :data:`LANGUAGES`.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self._catalog = _catalog(language)

    def say(self, message: str, /, **facts: object) -> str:
        """A sentence, the facts put in."""
        return self._catalog.gettext(message).format(**facts)

    def say_n(self, one: str, many: str, n: int, /, **facts: object) -> str:
        """A sentence with a number; ``{n}`` is put in as the language writes it."""
        return self._catalog.ngettext(one, many, n).format(n=n, **facts)

    def either(self, message: str) -> frozenset[str]:
        """Words that mean the same when somebody writes them: a list with commas, in this
        language and in English, as :func:`folded` has them."""
        return _spellings(message, SOURCE) | _spellings(message, self.language)

    def anywhere(self, message: str) -> frozenset[str]:
        """The same in every language: the one that is spoken may just have been changed."""
        return frozenset().union(*(_spellings(message, language) for language in LANGUAGES))

    def duration(self, seconds: float) -> str:
        """A rough length of time; what is below a minute is said so."""
        if seconds < 60:
            return self.say("less than a minute")
        delta = timedelta(seconds=seconds)
        return format_timedelta(delta, granularity="minute", threshold=1.5, locale=self.language)

    def date(self, moment: datetime) -> str:
        """A day."""
        return format_date(moment.date(), format="long", locale=self.language)

    def time(self, moment: datetime) -> str:
        """A time of day, in UTC: where the user's clock stands is not known."""
        utc = moment.astimezone(UTC)
        return f"{format_time(utc, format='short', locale=self.language)} UTC"

    def listed(self, items: list[str]) -> str:
        """``a, b and c``."""
        return format_list(items, locale=self.language) if items else ""


class Languages:
    """Which language is whose.

    What a user has chosen wins; then what the stanza at hand says; then what their client said
    last; then the default.

    :param default: one of :data:`LANGUAGES`, for users of whom nothing is known.
    """

    def __init__(self, default: str) -> None:
        self._default = known(default) or SOURCE
        self._chosen: dict[str, str] = {}
        self._heard: OrderedDict[str, str] = OrderedDict()

    def set_default(self, tag: str) -> None:
        """Change the language of users of whom nothing is known."""
        self._default = known(tag) or SOURCE

    def choose(self, jid: str, tag: str | None) -> None:
        """Keep what a user has chosen; None: whatever the client says."""
        language = known(tag)
        if language is None:
            self._chosen.pop(jid, None)
        else:
            self._chosen[jid] = language

    def hear(self, jid: str, tag: str | None) -> None:
        """Remember what a user's client says, for messages that answer none of theirs."""
        language = known(tag)
        if language is None:
            return
        self._heard[jid] = language
        self._heard.move_to_end(jid)
        if len(self._heard) > _REMEMBERED:
            self._heard.popitem(last=False)

    def words(self, jid: str | None, said: str | None = None) -> Words:
        """The words for a user.

        :param jid: their bare JID; None for somebody who is no user of ours.
        :param said: the ``xml:lang`` of the stanza at hand.
        """
        chosen = self._chosen.get(jid or "") or known(said) or self._heard.get(jid or "")
        return Words(chosen or self._default)
