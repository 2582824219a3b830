"""What is renewed in a forked child."""

import gc
import os
import subprocess
import sys
import textwrap
import threading

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


def fork_while_held(release_after):
    """Fork while a thread is inside ``held()``, which it leaves after so many seconds; return what the child and the parent saw."""
    inside, release, left = threading.Event(), threading.Event(), threading.Event()

    def hold():
        with forks.held():
            inside.set()
            release.wait(30)
            left.set()

    holder = threading.Thread(target=hold)
    holder.start()
    assert inside.wait(30)
    timer = threading.Timer(release_after, release.set)
    timer.start()

    def child():
        with forks.held():
            return in_child(lambda: True)

    worked, was_left = in_child(child), left.is_set()
    timer.cancel()
    release.set()
    holder.join()
    return worked, was_left


def test_a_fork_waits_for_those_who_look_a_name_up():
    """glibc's locks of that moment would stay locked in the child. There, forks can be held again."""
    assert fork_while_held(0.05) == (True, True)


def test_a_fork_does_not_wait_for_ever():
    """A name server that does not answer keeps nobody from forking."""
    assert fork_while_held(30) == (True, False)


def test_holding_overlaps():
    """It is no lock: two names may be looked up at once, and by one thread within another block."""

    def hold():
        with forks.held():
            held_too.set()

    held_too = threading.Event()
    with forks.held(), forks.held():
        threading.Thread(target=hold).start()
        assert held_too.wait(30)
    assert in_child(lambda: True)
