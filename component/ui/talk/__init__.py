"""Commands of users and admins, as ad-hoc commands and as a chat, in the user's language."""

from component.ui.talk.language import Languages
from component.ui.talk.service import Talk
from component.ui.talk.teller import LinkTeller

__all__ = ["Languages", "LinkTeller", "Talk"]
