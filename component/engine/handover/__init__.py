"""The hand-over of an account's things between two servers that both run xmpp-moved.

:mod:`give` is the old account's side, :mod:`take` the new one's; they meet in PEP nodes of the two
accounts and nowhere else (docs/handover.md).
"""
