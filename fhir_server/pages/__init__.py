"""Pages for people: sign-in, pickers, consent, grants; plain HTML that works without JavaScript."""
