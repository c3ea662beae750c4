"""The user's own configurations, checked by the parsers of their daemons before anything is created."""

from __future__ import annotations

from labkit.daemons.registry import DAEMONS
from labkit.errors import InvalidInput
from labkit.lab.file.problems import FileProblem, LabFileError
from labkit.lab.load import Loaded
from labkit.lab.plan.model import Plan
from labkit.names import handle
from labkit.operate.records.record import Record
from labkit.render.own_files import OwnFiles, read_own_files
from labkit.runtimes.image import images, parser
from labkit.runtimes.select import SANDBOX


def checked(loaded: Loaded, plan: Plan, image: images.Image | None) -> OwnFiles:
    """The files that a plan has from next to the lab file; without an image no parser looks at them.

    Raises:
        LabFileError: one can't be read, or is not valid.
    """
    own = read_own_files(loaded, plan)
    # A file may be that of several NVAs, each with values of its own.
    files = {file.path: file for file in plan.files if file.own}
    for nva in loaded.lab.nvas if image is not None else ():
        if nva.config:
            config, folder = DAEMONS[nva.daemon].config, f"nodes/{handle(nva.name)}/"
            file = next(file for path, file in files.items() if path.startswith(folder))
            assert image is not None
            found = parser.mistakes(image, config, file.path.rpartition("/")[2], own.rendered(file))
            if found:
                remedy = f"Correct it: {nva.daemon} refuses it, and nothing was created."
                problems = [FileProblem(line, f"{text}.", remedy) for line, text in found.items()]
                raise LabFileError(str(own.folder / nva.config), problems)
    return own


def must_have_images(loaded: Loaded, runtime: str) -> None:
    """Check that a runtime can start every node's image.

    Raises:
        InvalidInput: a node has an image of its own, and the runtime is the sandbox.
    """
    for nva in loaded.lab.nvas if runtime == SANDBOX else ():
        if nva.container is not None:
            line = loaded.source.line(("nvas", nva.name, "image"))
            raise InvalidInput(
                f"{loaded.name}:{line}: NVA {nva.name}: the sandbox can't run image {nva.container.image}: it has "
                "labkit's own alone.",
                "Start the lab on containerlab: labkit up --runtime containerlab",
            )


def must_be_as_started(record: Record, plan: Plan, own: OwnFiles) -> None:
    """Check that a running lab has the user's own files as they are now.

    Raises:
        InvalidInput: one has changed since the lab started.
    """
    for file in plan.files:
        if file.own and (record.folder / file.path).read_text(encoding="utf-8") != own.rendered(file):
            raise InvalidInput(
                f"lab {record.lab} runs already, and {own.folder / file.own} has changed since it started.",
                f"Take it down first: labkit down {record.lab}",
            )
