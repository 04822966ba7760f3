"""An account's own things, read and written as its user through the hook's query.

:mod:`read` looks at an account, :mod:`write` changes one, :mod:`copies` carries out a plan of
:mod:`component.core.belongings` item by item and can take it back.
"""
