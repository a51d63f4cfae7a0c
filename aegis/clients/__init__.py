"""The programs people talk to agents in: where their settings are, and how Aegis is put into them and taken out again.

Settings are edited as text, at the positions of what is changed, and never written anew: comments, order, indentation,
line ends and whatever the user has added since stay as they are.
"""
