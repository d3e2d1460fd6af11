"""Python imports this by itself in every process that has the folder on its path: the tests' subprocesses reach no network."""

import network_guard

network_guard.install()
