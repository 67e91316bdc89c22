"""One trace as a story, and the collectors and trace backends that somebody else wrote."""
