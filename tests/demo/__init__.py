"""``make demo``: a throw-away Prosody, the component, and a user who moves before your eyes."""
