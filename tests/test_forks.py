"""What is renewed in a forked child."""

import gc
import os
import subprocess
import sys
import textwrap

from sls_tracing import forks


class Renewed:
    def __init__(self):
        self.times = 0
        forks.call_in_child(self.renew)

    def renew(self):
        self.times += 1


def in_child(check):
    """Fork; return whether ``check()`` was true in the child."""
    pid = os.fork()
    if not pid:
        os._exit(0 if check() else 1)
    return os.waitpid(pid, 0)[1] == 0


def test_once_a_child_and_not_in_the_parent():
    """Also in the child's child."""
    renewed = Renewed()
    assert in_child(lambda: renewed.times == 1)
    assert in_child(lambda: in_child(lambda: renewed.times == 2))
    assert renewed.times == 0


def test_the_object_is_held_weakly():
    """Nothing is kept alive by its wish to be renewed."""
    renewed = Renewed()
    number = len(forks._renewals)
    del renewed
    gc.collect()
    assert len(forks._renewals) < number
    assert in_child(lambda: True)


def test_registering_twice_renews_once():
    """One method an object."""
    renewed = Renewed()
    forks.call_in_child(renewed.renew)
    assert in_child(lambda: renewed.times == 1)


def test_uwsgis_hook_is_used_and_its_predecessor_kept():
    """uWSGI forks in C: its ``post_fork_hook`` is all that Python sees of it. Both hooks may run; once a child is enough."""
    program = textwrap.dedent(
        """
        import os, sys, types
        uwsgi = types.ModuleType("uwsgi")
        calls = []
        uwsgi.post_fork_hook = lambda: calls.append("application")
        sys.modules["uwsgi"] = uwsgi
        from sls_tracing import forks
        class Renewed:
            def renew(self):
                calls.append("renewed")
        renewed = Renewed()
        forks.call_in_child(renewed.renew)
        pid = os.fork()
        if not pid:
            uwsgi.post_fork_hook()
            os.write(1, repr(calls).encode())
            os._exit(0)
        os.waitpid(pid, 0)
        """
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert output.stdout == "['renewed', 'application']"
