"""XEP-0283: Moved 2.0, as a plugin for slixmpp.

Imports nothing but slixmpp.  Importing this package makes the plugin known::

    import contrib.xep_0283
    xmpp.register_plugin('xep_0283')
"""

from slixmpp.plugins.base import register_plugin

from . import stanza
from .moved import XEP_0283
from .stanza import Moved

register_plugin(XEP_0283)

__all__ = ["XEP_0283", "Moved", "stanza"]
