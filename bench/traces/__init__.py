"""One trace as a scenario, and the collectors and trace backends that somebody else wrote."""
