"""A client's own login to any server: for accounts whose server knows nothing of xmpp-moved.

Nothing here uses the component's stream, its configuration or its database.
"""
