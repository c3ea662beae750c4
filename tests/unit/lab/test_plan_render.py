"""Writing a rendered folder: all or nothing, and nobody else's files."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from labkit.errors import EnvironmentProblem, InvalidInput
from labkit.lab.build import plan
from labkit.lab.load import load, load_text
from labkit.lab.plan.model import File, Plan
from labkit.names import handle
from labkit.render.environment import environment, yaml_scalar
from labkit.render.render import render, render_files

from .samples import EVERYTHING, OVERVIEW

IMAGE = "labkit/node:test"


def write(out: Path, planned: Plan | None = None) -> Path:
    return render(planned or plan(load(OVERVIEW)), out, image=IMAGE, lab_file=OVERVIEW.read_bytes())


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def narrow_umask() -> Iterator[None]:
    former = os.umask(0o077)
    yield
    os.umask(former)


def test_a_new_folder_and_its_parents(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    assert write(out) == out / "overview.clab.yml"
    assert (out / "lab.yml").read_bytes() == OVERVIEW.read_bytes()
    written = tree(out)
    listed = json.loads(written.pop(".labkit.json"))["files"]
    assert listed == sorted(written)
    assert [p.name for p in out.parent.iterdir()] == ["b"], "the staging folder is gone"


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    write(tmp_path)
    assert (tmp_path / "overview.clab.yml").is_file()


@pytest.mark.usefixtures("narrow_umask")
def test_everything_can_be_read_whatever_the_umask(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out)
    for path in [out, *out.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path


def test_a_foreign_folder_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InvalidInput, match="is not empty") as caught:
        write(tmp_path)
    assert caught.value.exit_code == 2
    assert tree(tmp_path) == {"thesis.txt": b"years of work"}


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"files": 3}', "\x00"])
def test_a_damaged_manifest_does_not_open_a_folder(tmp_path: Path, manifest: str) -> None:
    (tmp_path / ".labkit.json").write_text(manifest)
    with pytest.raises(InvalidInput):
        write(tmp_path)


def test_a_manifest_cannot_reach_out_of_its_folder(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    (out / ".labkit.json").write_text(json.dumps({"files": ["../victim", str(victim)]}))
    write(out)
    assert victim.read_text() == "mine"


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(InvalidInput, match="is not a folder"):
        write(tmp_path / "out")


def test_what_the_system_refuses_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem) as caught:
        write(tmp_path / "file" / "out")
    assert caught.value.remedy


def test_our_own_folder_is_brought_up_to_date(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "clab-overview").mkdir()
    (tmp_path / "clab-overview" / "topology-data.json").write_text("{}")
    (tmp_path / "controller" / "events.jsonl").write_text("what happened\n")
    (tmp_path / "nodes" / "branch" / "frr.conf").write_text("broken")
    untouched = (tmp_path / "nodes" / "sdwan-nva" / "frr.conf").stat()  # reading it changes its time of access

    without_vm2 = OVERVIEW.read_text().split("\nproofs:")[0].replace("  vm2: {subnet: vnet1/workload}\n", "")
    write(tmp_path, plan(load_text(without_vm2, "x")))

    assert (tmp_path / "clab-overview" / "topology-data.json").exists()
    assert (tmp_path / "controller" / "events.jsonl").read_text() == "what happened\n"
    assert (tmp_path / "nodes" / "branch" / "frr.conf").read_text().startswith("frr defaults")
    assert not (tmp_path / "run" / "vm2" / "alive").exists()
    now = (tmp_path / "nodes" / "sdwan-nva" / "frr.conf").stat()
    assert (now.st_ino, now.st_mtime_ns) == (untouched.st_ino, untouched.st_mtime_ns)
    assert not list(tmp_path.rglob("*.partial"))


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    planned = plan(load(OVERVIEW))
    impossible = Plan(
        planned.lab, planned.nodes, planned.links, (*planned.files, File("controller/.keep/x", "")), planned.owners
    )
    with pytest.raises(EnvironmentProblem):
        write(tmp_path / "out", impossible)
    assert list(tmp_path.iterdir()) == []


def test_an_undefined_name_in_a_template_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        environment().from_string("{{ nobody }}").render()


def frr(options: str, node: str = "sdwan-nva", asn: int = 65001) -> str:
    text = OVERVIEW.read_text().replace(f"asn: {asn},", f"asn: {asn}, {options},", 1)
    return render_files(plan(load_text(text, "x")), image=IMAGE, lab_file=b"")[f"nodes/{node}/frr.conf"].decode()


def test_the_paths_that_an_nva_sends() -> None:
    plain, longer, own = frr("prepend: 0"), frr("prepend: 3"), frr("as_override: true")
    assert "prepend" not in plain
    for to, sessions in (("rs1", 2), ("branch", 1)):
        assert f"route-map to-{to} permit 10\n set as-path prepend 65001 65001 65001\nexit\n" in longer
        assert longer.count(f" route-map to-{to} out\n") == sessions
    assert "route-map to-rs1 permit 10\n set as-path replace 65515 65001\nexit\n" in own
    assert own.count(" route-map to-") == 2, "towards both instances, and not towards the branch"
    assert " route-map to-" not in plain, "without a rule FRR advertises what it advertises by default"


def test_an_nva_that_redistributes_its_static_routes() -> None:
    routes = "static_routes: {10.7.0.0/16: 10.1.1.9, 10.8.0.0/16: 10.1.1.9}"
    assert "redistribute" not in frr(routes)
    configured = frr(f"{routes}, redistribute_static: true")
    for number, prefix in ((5, "10.7.0.0/16"), (10, "10.8.0.0/16")):
        assert f"ip prefix-list redistributed seq {number} permit {prefix}\n" in configured
    assert configured.count("ip prefix-list redistributed ") == 2, "not the default route, which the file does not have"
    assert "  redistribute static route-map redistributed\n" in configured


def test_an_nva_that_strips_the_route_servers_asn() -> None:
    stripped = frr("strip_route_server_asn: true, prepend: 1")
    permit = "route-map to-rs1 permit 10\n set as-path exclude 65515\n set as-path prepend 65001\nexit\n"
    assert permit in stripped


def test_an_nva_without_policy_or_multihop() -> None:
    plain, near = frr("prepend: 0"), frr("ebgp_multihop: false")
    fresh = frr("requires_policy: true, communities: 1:1")
    assert " no bgp ebgp-requires-policy\n" in plain
    assert " bgp ebgp-requires-policy\n" in fresh.replace(" no bgp ebgp-requires-policy\n", "")
    assert "route-map to-" not in fresh, "a policy would let routes out"
    assert plain.count(" ebgp-multihop 2\n") == 2
    assert [line for line in plain.splitlines() if "multihop" not in line] == near.splitlines()


@pytest.mark.parametrize(
    ("options", "inspects", "translates"),
    [("stateful: true", True, False), ("snat: true", False, True), ("stateful: true, snat: true", True, True)],
)
def test_the_firewall_of_an_nva(options: str, inspects: bool, translates: bool) -> None:
    text = OVERVIEW.read_text().replace("asn: 65001,", f"asn: 65001, {options},", 1)
    files = render_files(plan(load_text(text, "x")), image=IMAGE, lab_file=b"")
    rules = files["nodes/sdwan-nva/nftables.conf"].decode()
    assert ("ct state invalid drop" in rules, "snat ip to 10.1.1.4" in rules) == (inspects, translates)


def test_an_nva_without_bgp_has_its_static_routes_and_no_bgp_daemon() -> None:
    text = OVERVIEW.read_text().replace("nvas:\n", "nvas:\n  box: {subnet: vnet1/workload, stateful: true}\n", 1)
    made = plan(load_text(text, "x"))
    box, speaker = (next(node for node in made.nodes if node.name == name) for name in ("box", "sdwan-nva"))
    assert box.services == ("mgmtd", "zebra", "staticd")
    assert speaker.services == (*box.services, "bgpd")
    files = render_files(made, image=IMAGE, lab_file=b"")
    lines = files["nodes/box/frr.conf"].decode().splitlines()
    assert "ip route 0.0.0.0/0 10.1.10.1" in lines
    assert not [line for line in lines if line.startswith(("router", "route-map"))]


def test_the_paths_that_a_site_sends() -> None:
    longer = frr("prepend: {sdwan-nva: 1}", "branch", 65010)
    assert "route-map to-sdwan-nva permit 10\n set as-path prepend 65010\n" in longer
    assert " route-map to-sdwan-nva out\n" in longer


@pytest.mark.parametrize(
    ("target", "address"),
    [("internet", "198.51.100.10"), ("branch", "10.250.0.10"), ("203.0.113.1", "203.0.113.1")],
)
def test_an_nva_that_tracks(target: str, address: str) -> None:
    text = OVERVIEW.read_text().replace("asn: 65002,", f"asn: 65002, tracks: {target},", 1)
    nva = next(node for node in plan(load_text(text, "x")).nodes if node.name == "security-nva")
    assert nva.services[-1] == "tracker"
    asked = {name: nva.env[name] for name in nva.env if "TRACK" in name}
    assert asked == {"LABKIT_TRACK": address, "LABKIT_TRACK_ASN": "65002", "LABKIT_TRACK_PREFIXES": "0.0.0.0/0"}


@pytest.mark.parametrize(
    ("value", "text"),
    [("vm1", "vm1"), ("no", "'no'"), ("1", "'1'"), (1, "1"), ("a: b", "'a: b'"), ("", "''"), ("x" * 300, "x" * 300)],
)
def test_yaml_scalars_come_back_as_they_were(value: object, text: str) -> None:
    assert yaml_scalar(value) == text


@pytest.mark.parametrize("text", [OVERVIEW.read_text(), EVERYTHING], ids=["overview", "everything"])
def test_exabgp_accepts_what_we_render(tmp_path: Path, text: str) -> None:
    files = render_files(plan(load_text(text, "x")), image=IMAGE, lab_file=b"")
    for path in (p for p in files if p.endswith("exabgp.conf")):
        (tmp_path / "exabgp.conf").write_bytes(files[path])
        (tmp_path / "exabgp.env").write_bytes(files[path.removesuffix("conf") + "env"])
        done = subprocess.run(
            [sys.executable, "-m", "exabgp", "validate", str(tmp_path / "exabgp.conf")],
            env={**os.environ, "EXABGP_ENVFILE": str(tmp_path / "exabgp.env")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_every_router_is_called_by_its_handle() -> None:
    router = "  Router.Prod: {subnet: vnet1/workload}\n"
    planned = plan(load_text(OVERVIEW.read_text().replace("nvas:\n", f"nvas:\n{router}", 1), "x"))
    files = render_files(planned, image=IMAGE, lab_file=b"")
    hosts = {path.split("/")[-2]: files[path].decode() for path in files if path.endswith("frr.conf")}
    assert handle("Router.Prod") in hosts
    assert all(f"\nhostname {name}\n" in configuration for name, configuration in hosts.items())
