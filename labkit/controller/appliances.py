"""What NVAs advertise since an operator has changed it, written to where their nodes find it.

The services of a node make it true at once, and again whenever the daemon or the node starts: files stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from labkit.azure.model import Azure
from labkit.daemons.protocol import ORIGINATED_FILE, POLICY_FILE
from labkit.daemons.registry import DAEMONS
from labkit.errors import EnvironmentProblem
from labkit.lab.model import Lab
from labkit.lab.plan.speakers import nva_speaker
from labkit.names import handle


class Policies:
    """The files of a lab's NVAs, below its folder `run`."""

    def __init__(self, lab: Lab, run: Path) -> None:
        self._lab, self._run = lab, run

    def prepare(self, azure: Azure) -> Mapping[Path, Path]:
        """Write the files that are new next to those that are there: by these, in the order to put them in place.

        Raises:
            EnvironmentProblem: the disk is full. Nothing is in place of another file.
        """
        found: dict[Path, Path] = {}
        for file, text in self._files(azure):
            if file.exists() and file.read_text(encoding="utf-8") == text:
                continue
            found[file] = fresh = file.with_name(f".{file.name}")
            try:
                fresh.write_text(text, encoding="utf-8")
            except OSError as error:
                discard(found)
                raise EnvironmentProblem(
                    f"the controller can't configure the NVA: {file}: {error.strerror}.",
                    "Free some space where labs are stored (XDG_STATE_HOME), then repeat the command.",
                ) from error
        return found

    def _files(self, azure: Azure) -> Iterator[tuple[Path, str]]:
        """The files of NVAs that are not as their nodes were rendered, or have not been so before."""
        for appliance in azure.appliances:
            folder, nva = self._run / handle(appliance.name), self._lab.nva[appliance.name]
            if appliance != self._lab.azure.appliance[appliance.name] or (folder / POLICY_FILE).exists():
                yield folder / ORIGINATED_FILE, "".join(f"{prefix}\n" for prefix in appliance.advertises)
                yield folder / POLICY_FILE, DAEMONS[nva.daemon].config.policy(nva_speaker(self._lab, nva, appliance))


def put_in_place(prepared: Mapping[Path, Path]) -> None:
    """Put files in place that `Policies.prepare` has written; it takes no room."""
    for file, fresh in prepared.items():
        fresh.replace(file)


def discard(prepared: Mapping[Path, Path]) -> None:
    """Remove files that `Policies.prepare` has written."""
    for fresh in prepared.values():
        fresh.unlink(missing_ok=True)
