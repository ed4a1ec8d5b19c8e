"""A baked site on its way to readers: the headers that it is sent with, a preview, and a check. Needs no torch."""
