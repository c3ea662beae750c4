"""A running lab's resources and learned routes, taken in as somebody's network, are a lab that explains them."""

from __future__ import annotations

from pathlib import Path

from labkit.arm.intake import BEYOND
from tests.e2e.command_line import Labkit


def test_what_a_route_server_learned_is_proved_by_the_imported_lab(tmp_path: Path) -> None:
    labkit = Labkit(tmp_path / "state")
    folder, file = tmp_path / "prod", tmp_path / "prod.lab.yml"
    try:
        assert labkit("up", "overview").returncode == 0
        assert labkit("nva", "advertise", "sdwan-nva", "10.9.0.0/16").returncode == 0
        exported = labkit("export", "--out", str(folder))
        assert exported.returncode == 0, exported.stderr
        assert "advertises: [10.9.0.0/16]" in (folder / "overview.lab.yml").read_text()
        for peer in ("sdwan-nva", "security-nva"):
            table = labkit("learned-routes", "rs1", peer, "--format", "json").stdout
            (folder / f"learned.{peer}.json").write_text(table)
        labkit("down", "--all")

        (folder / BEYOND).unlink()
        imported = labkit("import", str(folder))
        assert (imported.returncode, imported.stdout) == (0, f"{file}\n"), imported.stderr
        up = labkit("up", str(file))
        assert up.returncode == 0, up.stderr
        verified = labkit("verify")
        assert verified.returncode == 0, verified.stdout
        assert verified.stdout.count("65001-65010") == 2
        assert labkit("diff").returncode == 0
    finally:
        labkit("down", "--all")
