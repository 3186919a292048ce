"""The side of a Trac that a Trackgate gateway talks to."""
