"""A first policy for a server, from what it says of its tools.

`arguments` reads the schemas, `proposal` decides, `text` writes. Whatever a server says can make the draft stricter;
only two explicit hints together can make a rule ``auto``.
"""
