"""Runs labkit as an ordinary user whom the kernel refuses user namespaces, whoever starts this.

In a user namespace of its own, where the limit is its own too, so that the machine's setting stays as it is.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from labkit import linux

USER = 1000


def main() -> None:
    user, group = os.geteuid(), os.getegid()
    linux.unshare(linux.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{USER} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{USER} {group} 1")
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
    os.execv(sys.executable, [sys.executable, "-m", "labkit.cli.main", *sys.argv[1:]])  # takes the capabilities away


if __name__ == "__main__":
    main()
