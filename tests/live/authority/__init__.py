"""Who may say what: forged stanzas and statements, and floods of them, on real servers."""
