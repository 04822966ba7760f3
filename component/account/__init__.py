"""The things of an account, as typed pieces, and as files of XEP-0227 (version 1.1).

:mod:`model` has the pieces, :mod:`carried` the table of what comes along and what never does.
:mod:`read` and :mod:`write` are a streaming reader and writer on file objects that the caller
opens: no sockets, no database, no event loop.
"""
