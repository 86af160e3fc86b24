"""What a stage says when it cannot go on; `script.run` turns each into one line and an exit code."""


class UserError(Exception):
    """Bad settings or input: one line that says what is wrong, where, and how to mend it. Exit code 2."""


class Paused(Exception):
    """The stage has come as far as it was asked to and has saved its state; without that request it goes on. Exit code 0."""


class Stopped(Exception):
    """The stage was told to stop and has saved its state; the same command goes on. Exit code `code`."""

    code = 75


INSTALL = "pip install -r envs/dev.txt has the versions that are tested"
"""The end of what is said where a package is missing: the machine is at fault, and no settings."""
