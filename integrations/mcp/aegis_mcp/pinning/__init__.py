"""Tool pinning: what a server's tools were when somebody accepted them, and what they are now.

A server may change what its tools say of themselves whenever it likes, and a model believes it. `lockfile` keeps the
definitions that were accepted, `pins` holds what a connection sees against them, `changes` says what differs. Knows no
transport and no SDK.
"""
