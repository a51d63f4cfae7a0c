"""The workbench: what people who write policies need. Functions over policies and history; the commands are thin."""
